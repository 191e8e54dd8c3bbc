"""A demo in processes of its own, as a user looks at it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil

from commands import ROWS, command_line
from fraudstream.runtime.processes import free_port, wait_until

FREQUENT = {"FRAUDSTREAM_BATCH_INTERVAL": "10 seconds", "FRAUDSTREAM_SAMPLE_EVERY": "8"}
"""The ledger has an entry for each batch, and the schema is observed by samples."""


@dataclass
class Demo:
    """A running demo."""

    process: subprocess.Popen[bytes]
    url: str
    workdir: Path
    output: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {**os.environ})

    @property
    def database(self) -> str:
        return f"sqlite:///{self.workdir.absolute() / 'alerts.db'}"

    @property
    def bootstrap(self) -> str:
        """The broker's address, as the relay has it."""
        relay = psutil.Process(self.pids()["relay"]).cmdline()
        return relay[relay.index("--bootstrap-servers") + 1]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            body: bytes = answer.read()
        return body

    def json(self, path: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.get(path))
        return document

    def stats(self) -> dict[str, Any]:
        try:
            return self.json("/api/stats")
        except (URLError, OSError):
            return {}

    def alerts(self, outcome: str = "alert") -> list[dict[str, Any]]:
        """All of an outcome, page by page."""
        alerts: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.json(f"/api/alerts?limit=1000&outcome={outcome}{cursor}")
            alerts += page["alerts"]
            if page["next_cursor"] is None:
                return alerts
            cursor = f"&cursor={page['next_cursor']}"

    def query_runs(self) -> list[str]:
        """The runs of Spark's query so far, the newest first."""
        return [event["run_id"] for event in self.json("/api/events?type=query")["events"] if "run_id" in event]

    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.workdir / "pids.json").read_text())
        return pids

    def is_caught_up(self, rows: int) -> bool:
        stats = self.stats()
        return stats.get("payments_seen") == rows and stats.get("scored") == rows

    def wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        return wait_until(until, seconds)

    def explain(self) -> str:
        logs = "".join(f"\n== {log.name}\n{log.read_text()[-2000:]}" for log in (self.workdir / "logs").glob("*.log"))
        return f"{self.output.read_text()[-2000:]}{logs}"


@contextmanager
def running_demo(payments: Path, workdir: Path) -> Iterator[Demo]:
    """A demo that has trained on the payments and scored each of them."""
    port = free_port()
    output = workdir / "screen.log"
    with output.open("wb") as screen:
        process = subprocess.Popen(
            command_line(
                "demo", "--data", payments, "--rate", 400, "--port", port, "--workdir", workdir, "--no-browser",
                "--algorithm", "logistic-regression", "--archive",
            ),
            stdout=screen,
            stderr=subprocess.STDOUT,
            env={**os.environ, **FREQUENT},
        )  # fmt: skip
    demo = Demo(process, f"http://127.0.0.1:{port}", workdir, output)
    try:
        assert wait_until(lambda: demo.is_caught_up(ROWS) or process.poll() is not None, 600, every=0.5)
        assert process.poll() is None, demo.explain()
        yield demo
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
