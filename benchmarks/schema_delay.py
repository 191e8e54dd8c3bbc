"""Measures how soon each kind of schema change is reported, at a slow and a fast stream, and that nothing is lost.

    python -m benchmarks.schema_delay --rates 1 5000

The whole system runs; rows as trained flow, then rows of one kind of change, then the next. The delay is from the
production of the first changed row until `GET /api/events` has the event (asked every 20 ms).
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Producer

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import FRAUDSTREAM
from fraudstream.runtime.processes import free_port, wait_until
from fraudstream.simulator.simulate import simulate
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic

ROWS: Final = 5_000
LONGEST_SECONDS: Final = 15.0

Change = Callable[[dict[str, Any]], dict[str, Any]]

CHANGES: Final[Mapping[str, Change]] = {
    "column added": lambda row: row | {"Channel": "web"},
    "column missing": lambda row: {name: value for name, value in row.items() if name != "V26"},
    "column null": lambda row: row | {"V26": None},
    "number as text": lambda row: row | {"V26": str(row["V26"])},
    "text that is no number": lambda row: row | {"V26": "a", "V25": str(row["V25"])},
    "NaN": lambda row: row | {"V26": float("nan")},
    "boolean": lambda row: row | {"V26": True},
    "nested object": lambda row: row | {"place": {"lat": 1.5, "long": 2}},
    "renamed": lambda row: {("v_26" if name == "V26" else name): value for name, value in row.items()},
    "more missing than allowed": lambda row: {name: value for name, value in row.items() if name in ("V1", "Amount")},
}


class World:
    """The running system, its broker and a stream of rows."""

    def __init__(self, bootstrap: str, url: str, rows: list[dict[str, Any]]) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "log_level": 0})
        self._url = url
        self._rows = cycle(rows)
        self.sent = 0

    def ask(self, route: str) -> dict[str, Any]:
        """The JSON of a route; empty while nobody answers."""
        try:
            with urllib.request.urlopen(self._url + route, timeout=10) as answer:
                document: dict[str, Any] = json.loads(answer.read())
        except OSError:
            return {}
        return document

    def schema_events(self) -> list[dict[str, Any]]:
        """The events of new schemas, newest first."""
        events: list[dict[str, Any]] = self.ask("/api/events?type=schema&limit=100").get("events", [])
        return events

    def send(self, rate: float, until: Callable[[], bool], change: Change = dict) -> None:
        """Send rows at a rate until a condition holds, looked at every 20 ms."""
        began, number, looked = time.monotonic(), 0, 0.0
        while True:
            now = time.monotonic()
            while began + number / rate <= now:
                row = json.dumps(change(dict(next(self._rows))), separators=(",", ":"))
                self._producer.produce(Topic.TRANSACTIONS.value, row.encode(), partition=self.sent % 2)
                self.sent += 1
                number += 1
                if number % 500 == 0:
                    break
            self._producer.poll(0.001)
            if now - looked >= 0.02:
                looked = now
                if until() or now - began > LONGEST_SECONDS:
                    break
        self._producer.flush(10)


def after(seconds: float) -> Callable[[], bool]:
    """A condition that holds after so many seconds."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def measure(world: World, rate: float, name: str, change: Change, tag: str) -> dict[str, Any]:
    """One kind of change: rows as trained for a moment, then changed ones until the event is there."""
    world.send(rate, after(2.0))
    known = len(world.schema_events())

    # Its own name, so that each rate meets a set of columns that was never seen.
    def changed(row: dict[str, Any]) -> dict[str, Any]:
        return change(row) | {tag: 1}

    began = time.monotonic()
    world.send(rate, lambda: len(world.schema_events()) > known, changed)
    delay = time.monotonic() - began
    event = world.schema_events()[0]
    return {"rate": rate, "change": name, "seconds_until_told": round(delay, 2), "message": event["message"]}


def main() -> None:
    """Run every change at every rate and write the JSON."""
    parser = study.parser(__doc__, "schema_delay")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 5000.0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(ROWS * 6, 42, folder / "payments.csv")
        rows = [orjson.loads(row) for row in open_data(folder / "payments.csv").json_rows()]
        port = free_port()
        with study.broker(folder, 2) as bootstrap:
            demo = subprocess.Popen(
                [
                    *FRAUDSTREAM, "demo", "--data", str(folder / "payments.csv"), "--rate", "0", "--no-browser",
                    "--bootstrap-servers", bootstrap, "--port", str(port),
                    "--workdir", str(folder / "demo"),
                ],
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            world = World(bootstrap, f"http://127.0.0.1:{port}", rows)
            try:
                if not wait_until(lambda: world.ask("/api/stats").get("scored") == len(rows), 180, every=0.5):
                    raise SystemExit("the demo did not come up")
                runs = [
                    measure(world, rate, name, change, f"tag{rate:g}")
                    for rate in arguments.rates
                    for name, change in CHANGES.items()
                ]
                expected = len(rows) + world.sent
                wait_until(lambda: world.ask("/api/stats").get("scored") == expected, 60, every=0.5)
                stats = world.ask("/api/stats")
                starts = len(world.ask("/api/events?type=query")["events"])
            finally:
                demo.send_signal(signal.SIGTERM)
                demo.wait(60)
    result = {
        **circumstances(),
        "rows_sent": expected,
        "rows_scored": stats["scored"],
        "query_starts": starts,
        "runs": runs,
    }
    write_result(arguments.output, result)
    for each in runs:
        print(json.dumps(each))
    print(json.dumps({key: result[key] for key in ("rows_sent", "rows_scored", "query_starts")}))


if __name__ == "__main__":
    main()
