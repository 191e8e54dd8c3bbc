"""What the detector's JVM is started with: heap, cores, Spark's own scripts, and the user's properties of Spark."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from fraudstream.config import Settings
from fraudstream.detector.launch import detector_plan
from fraudstream.errors import SettingsError
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import FOR_FEW_CORES, HEAP, SparkPlan, submit_command

CLUSTER = "spark://one:7077"
MEMORY = {"spark.executor.memory": "3g"}


@pytest.mark.parametrize(("cores", "few"), [(1, True), (2, True), (3, False), (None, True)])
def test_only_few_cores_get_what_helps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, few: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert set(plan(tmp_path).java_options) == {HEAP, *(FOR_FEW_CORES if few else ())}


@pytest.mark.parametrize("memory", ["2048", "2 g", "1.5g", "2gb", "0m", "", "٢g"])
def test_what_java_would_refuse_is_refused_by_name(memory: str) -> None:
    with pytest.raises(SettingsError, match="driver_memory"):
        Settings.load(driver_memory=memory)


def plan(tmp_path: Path, master: str | None = None, partitions: int = 1, **more: Any) -> SparkPlan:
    settings = Settings(cache=tmp_path, spark_master=master, **more)
    return detector_plan(settings, Java(tmp_path, 17, "setting"), Jars((), (Path("/kafka.jar"),)), partitions)


def test_sparks_scripts_get_the_heap_and_leave_the_users_own_options_alone(tmp_path: Path) -> None:
    command = submit_command(plan(tmp_path, CLUSTER, driver_memory="3g"))
    assert "spark.driver.memory=3g" in command
    assert any(word.startswith(f"spark.driver.defaultJavaOptions={HEAP}") for word in command)
    assert not any("extraJavaOptions" in word or "extraClassPath" in word for word in command)


def test_our_defaults_are_not_on_the_command_line_where_they_would_override_the_users_file(tmp_path: Path) -> None:
    words = submit_command(plan(tmp_path, CLUSTER, spark=MEMORY))
    names = {word.partition("=")[0] for word in words[2:-1:2]}
    assert names == {"spark.app.name", "spark.master", "spark.executor.memory", "spark.driver.defaultJavaOptions"}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("executor.memory", "spark.executor.memory"),
        ("spark.sql.session.timeZone", "always UTC"),
        ("spark.master", "spark_master"),
        ("spark.driver.memory", "driver_memory"),
        ("spark.authenticate.secret", "spark-defaults.conf"),
        ("spark.ssl.keyStorePassword", "spark-defaults.conf"),
        ("spark.some.accessToken", "spark-defaults.conf"),
        ("spark.kafka.sasl.jaas.config", "spark-defaults.conf"),
    ],
)
def test_a_property_that_would_be_ignored_or_seen_is_refused(tmp_path: Path, name: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(name)) as error:
        plan(tmp_path, spark={name: "x"})
    assert remedy in error.value.remedy
    assert "x" not in error.value.what.split()


def test_properties_of_the_toml_file_reach_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fraudstream.toml").write_text("[spark]\nspark.executor.memory = '3g'\n'spark.task.maxFailures' = 9\n")
    assert plan(tmp_path, spark=Settings.load().spark).conf == MEMORY | {"spark.task.maxFailures": "9"}
