"""Measures what the batch interval costs: the pause at a batch's end, against what is read again after a kill -9.

    python -m benchmarks.batch_interval --minutes 1 2 5 --rate 500

Every row is an alert (threshold 0), so that every row's way from its production to `fraud_alerts` is seen. For each
interval a broker and a detector of its own: two ends of a batch, then a kill -9 just before the third.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import FRAUDSTREAM, Material, prepare
from benchmarks.system.percentiles import quantiles
from fraudstream.model.deployment.current import deploy
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.transactions.wire import Topic

ENDS: Final = 2
NEAR_SECONDS: Final = 5.0
"""So long before a batch's end the detector is killed."""


class Alerts:
    """What arrives on `fraud_alerts`, in the order of arrival."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "log_level": 0})
        self._consumer.assign([TopicPartition(Topic.ALERTS.value, 0, 0)])
        self.produced: list[float] = []
        self.arrived: list[float] = []
        self.ids: list[str] = []

    def read(self) -> bool:
        """Take what is there; False, so that a wait can go on with it."""
        for message in self._consumer.consume(10_000, timeout=0.2):
            self._take(message)
        return False

    def _take(self, message: Message) -> None:
        alert = orjson.loads(message.value() or b"{}")
        self.produced.append(datetime.fromisoformat(alert["produced_at"]).timestamp())
        self.arrived.append(message.timestamp()[1] / 1000)
        self.ids.append(alert["alert_id"])

    def is_live(self, since: float = 0.0) -> bool:
        """Whether the newest alert is of a payment of this second, and of one after `since`."""
        self.read()
        return bool(self.produced) and since < self.produced[-1] and time.time() - self.produced[-1] < 1.0


def commits(folder: Path) -> int:
    """How many batches are committed."""
    return len(list((folder / "checkpoint" / "commits").glob("[0-9]*")))


def measure(minutes: float, rate: float, folder: Path, material: Material) -> dict[str, Any]:
    """One interval."""
    with study.broker(folder, 2) as bootstrap:
        alerts = Alerts(bootstrap)
        producer = subprocess.Popen(
            [
                *FRAUDSTREAM, "produce", "--data", material.source.path, "--rate", str(rate), "--loop",
                "--bootstrap-servers", bootstrap, "--progress-file", folder / "produced.json",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return {"minutes": minutes} | follow(bootstrap, folder, material.model, minutes, alerts)
        finally:
            stop(producer, 20)


def follow(bootstrap: str, folder: Path, model: Path, minutes: float, alerts: Alerts) -> dict[str, Any]:
    """Two ends of a batch, then a kill before the third, and the way back."""
    interval = ("--batch-interval", f"{round(minutes * 60)} seconds")
    with study.detector(bootstrap, model, folder, *interval, end=signal.SIGKILL):
        assert wait_until(alerts.is_live, 120)
        wait_until(lambda: alerts.read() or commits(folder) >= 1, 120 + minutes * 60)
        warm = len(alerts.ids)
        assert wait_until(lambda: alerts.read() or commits(folder) >= 1 + ENDS, 60 + ENDS * minutes * 90)
        quiet = time.monotonic() + minutes * 60 - NEAR_SECONDS
        wait_until(lambda: alerts.read() or time.monotonic() >= quiet, minutes * 60)
    steady = slice(warm, len(alerts.ids))
    delay = (np.array(alerts.arrived[steady]) - np.array(alerts.produced[steady])) * 1000
    killed, killed_at = time.monotonic(), time.time()
    wait_until(alerts.read, 2.0)  # what it had sent
    before = set(alerts.ids)
    first_again = len(alerts.ids)
    with study.detector(bootstrap, model, folder, *interval, end=signal.SIGKILL):
        assert wait_until(lambda: alerts.is_live(killed_at + 2.0), 300, every=0.05)
        back = time.monotonic() - killed
    return {
        "to_fraud_alerts_ms": quantiles(delay.tolist(), (50, 90, 99, 99.9)),
        "rows": len(delay),
        "ends_of_a_batch": ENDS,
        "rows_judged_again": sum(1 for each in alerts.ids[first_again:] if each in before),
        "seconds_until_live_again_after_kill": round(back, 1),
    }


def main() -> None:
    """Measure each interval and write the JSON."""
    parser = study.parser(__doc__, "batch_interval")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 5.0])
    parser.add_argument("--rate", type=float, default=500.0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        **circumstances(),
        "rate": arguments.rate,
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as name:
        material = prepare(Path(name), None, "logistic-regression", os.environ, study.say)
        models = material.model.parent
        now = datetime.now(UTC)
        deploy(models, material.manifest.model_id, 0.0, who="bench", why="all alerts", now=now)
        for minutes in arguments.minutes:
            folder = Path(name) / f"{minutes:g}"
            folder.mkdir()
            result["runs"].append(measure(minutes, arguments.rate, folder, material))
            print(json.dumps(result["runs"][-1]), flush=True)
            write_result(arguments.output, result)


if __name__ == "__main__":
    main()
