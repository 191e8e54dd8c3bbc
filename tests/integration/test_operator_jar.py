"""Where the jar of the history operator comes from; a script stands for the compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudstream.errors import JarsMissing
from fraudstream.runtime import jars
from fraudstream.runtime.jars import find_operator, operator_jar
from fraudstream.runtime.java import Java

COMPILES = 'while [ "$1" != "-d" ]; do shift; done; echo classes > "$2"'


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "History.scala").write_text("object History")
    monkeypatch.setattr(jars, "SOURCES", folder)
    return folder


def java(folder: Path, script: str) -> Java:
    executable = folder / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True, exist_ok=True)
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return Java(folder / "java", 17, "PATH")


def test_the_jar_is_compiled_once_for_a_source(tmp_path: Path, sources: Path) -> None:
    compiler, lines = java(tmp_path, COMPILES), list[str]()
    assert find_operator(tmp_path / "cache") is None
    jar = operator_jar(tmp_path / "cache", compiler, lines.append)
    assert lines
    again = operator_jar(tmp_path / "cache", java(tmp_path, "exit 1"), lines.append)
    assert jar == again == find_operator(tmp_path / "cache")
    (sources / "History.scala").write_text("object History // changed")
    assert find_operator(tmp_path / "cache") is None


def test_a_jar_in_the_package_is_preferred(tmp_path: Path, sources: Path) -> None:
    jar = operator_jar(tmp_path / "cache", java(tmp_path, COMPILES), lambda line: None)
    packaged = sources / jar.name
    packaged.write_bytes(jar.read_bytes())
    assert find_operator(tmp_path / "cache") == packaged
    assert find_operator(tmp_path / "other") == packaged


def test_a_compiler_that_fails_is_an_error_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing) as failed:
        operator_jar(tmp_path / "cache", java(tmp_path, "echo error: not found; exit 3"), lambda line: None)
    assert "exit code 3" in failed.value.what
    assert "not found" in Path(str(failed.value.where).removeprefix("log: ")).read_text()
    assert find_operator(tmp_path / "cache") is None
