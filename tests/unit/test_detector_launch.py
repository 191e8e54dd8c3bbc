"""What the detector's JVM is started with, by its heap and by the machine's cores, and by Spark's own scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fraudstream.config import Settings
from fraudstream.detector.service import detector_plan
from fraudstream.errors import SettingsError
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import FOR_FEW_CORES, HEAP, submit_command


def options(tmp_path: Path, memory: str) -> tuple[str, ...]:
    settings = Settings(driver_memory=memory, cache=tmp_path)
    return tuple(detector_plan(settings, Java(tmp_path, 17, "setting"), Jars((), ())).java_options)


@pytest.mark.parametrize("memory", ["512m", "2g", "1T", "2097152k"])
def test_a_heap_that_is_large_enough_begins_with_a_known_size(tmp_path: Path, memory: str) -> None:
    assert HEAP in options(tmp_path, memory)


@pytest.mark.parametrize("memory", ["511m", "1k"])
def test_a_small_heap_begins_as_java_likes(tmp_path: Path, memory: str) -> None:
    assert HEAP not in options(tmp_path, memory)


@pytest.mark.parametrize(("cores", "few"), [(1, True), (2, True), (3, False), (None, True)])
def test_only_few_cores_get_what_helps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, few: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert set(options(tmp_path, "2g")) == {HEAP, *(FOR_FEW_CORES if few else ())}


@pytest.mark.parametrize("memory", ["2048", "2 g", "1.5g", "2gb", "0m", "", "٢g"])
def test_what_java_would_refuse_is_refused_by_name(memory: str) -> None:
    with pytest.raises(SettingsError, match="driver_memory"):
        Settings.load(driver_memory=memory)


def test_sparks_scripts_get_the_heap_and_leave_the_users_own_options_alone(tmp_path: Path) -> None:
    settings = Settings(driver_memory="3g", cache=tmp_path, spark_master="spark://one:7077")
    command = submit_command(detector_plan(settings, Java(tmp_path, 17, "setting"), Jars((), ())), {})
    assert "spark.driver.memory=3g" in command
    assert any(word.startswith(f"spark.driver.defaultJavaOptions={HEAP}") for word in command)
    assert not any("extraJavaOptions" in word for word in command)
