"""Spark's JVM started without Spark's scripts: with the options of its own launcher, and with its errors reported."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fraudstream.errors import SetupError
from fraudstream.runtime import jvm as jvm_module
from fraudstream.runtime.jars import SCALA, spark_home
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import OPTIONS, SparkPlan, log_file, start_jvm

pytestmark = pytest.mark.spark


def test_the_options_are_those_that_sparks_own_launcher_gives(java: Java) -> None:
    launcher = subprocess.run(
        [
            *(str(java.executable), "-cp", str(spark_home() / "jars" / "*")),
            *("org.apache.spark.launcher.Main", "org.apache.spark.deploy.SparkSubmit", "pyspark-shell"),
        ],
        env={"SPARK_HOME": str(spark_home()), "JAVA_HOME": str(java.home), "SPARK_SCALA_VERSION": SCALA},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    words = [word for word in launcher.stdout.strip().split("\0") if word.strip()]
    options = [word for word in words[:-1] if word.startswith("-") and word != "-cp" and not word.startswith("-Xmx")]
    assert set(options[1:] if options[0].endswith("java") else options) == set(OPTIONS.read_text().split())


def test_it_answers_with_where_its_gateway_is_and_ends_on_request(java: Java, tmp_path: Path) -> None:
    jvm = start_jvm(SparkPlan(app="test", java_home=java.home, memory="256m", log=tmp_path / "jvm.log"))
    try:
        port, secret = jvm.connection()
        assert 0 < port < 65536
        assert len(secret) > 20
    finally:
        jvm.stop()
    assert jvm.process.returncode is not None
    assert not jvm.folder.exists()


def test_a_jvm_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    log = tmp_path / "jvm.log"
    jvm = start_jvm(SparkPlan(app="test", java_home=tmp_path, log=log))
    with pytest.raises(SetupError, match="did not start") as raised:
        jvm.connection()
    assert str(log) in str(raised.value)


def test_a_log_is_emptied_only_once_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm_module, "MOST_LOG_BYTES", 5)
    log = log_file(tmp_path, "detector")
    log.write_text("12345")
    assert log_file(tmp_path, "detector").read_text() == "12345"
    log.write_text("123456")
    assert log_file(tmp_path, "detector").read_text() == ""
    assert log.parent.stat().st_mode & 0o077 == 0
