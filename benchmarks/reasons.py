"""Measures what the reasons of alerts cost the alerts (nothing, it should be), and how soon they are there.

    python -m benchmarks.reasons --data creditcard_subset.csv --models models

Two real dashboards run side by side, one with reasons and one without; the alerts go to the one and to the other in
turns of some seconds, so that both meet the same machine. An alert's latency is that of its post, which is answered
after the commit; that of its reasons ends when a live stream has them. Then a storm, and how long it takes to catch up.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import urllib3

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.percentiles import summary
from benchmarks.system.resources import resident_mib
from fraudstream.model.artifact import is_artifact, load_artifact
from fraudstream.model.explanation.cells import parse_transaction, plain
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.data_source import open_data

ROWS: Final = 400
STORM_PER_POST: Final = 50
CATCH_UP_SECONDS: Final = 300.0


@dataclass
class Dashboard:
    """A running dashboard, with a live stream on it that notes when reasons come."""

    url: str
    worker: int
    pool: urllib3.PoolManager
    sent: dict[str, float] = field(default_factory=dict)
    answered: list[float] = field(default_factory=list)
    explained: dict[str, float] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Post alerts under new ids."""
        posted = [alert | {"alert_id": f"a-{next(self.numbers)}"} for alert in alerts]
        began = time.perf_counter()
        self.sent.update((each["alert_id"], began) for each in posted)
        answer = self.pool.request(
            "POST",
            f"{self.url}/api/alerts",
            body=orjson.dumps(posted),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status == 200, answer.data
        self.answered.append(time.perf_counter() - began)

    def watch(self) -> None:
        """Read the live stream, as a page does."""
        stream = self.pool.request("GET", f"{self.url}/api/stream", preload_content=False, timeout=600)
        buffer = b""
        for piece in stream.stream(1 << 16):
            *events, buffer = (buffer + piece).split(b"\n\n")
            now = time.perf_counter()
            for event in events:
                if event.startswith(b"event: reasons\ndata: "):
                    for each in orjson.loads(event.split(b"data: ", 1)[1]):
                        self.explained.setdefault(each["alert_id"], now)

    def is_explained(self) -> bool:
        """Whether the live stream has had the reasons of every alert."""
        return self.sent.keys() <= self.explained.keys()

    def forget(self) -> None:
        """Begin to measure anew."""
        self.sent.clear()
        self.answered.clear()
        self.explained.clear()


@contextmanager
def running(folder: Path, model: Path, *, explain: bool) -> Iterator[Dashboard]:
    """A dashboard on a free port, and a live stream on it."""
    folder.mkdir()
    with study.dashboard(folder, model=model, explain_alerts=explain) as (url, worker):
        dashboard = Dashboard(url, worker, urllib3.PoolManager(maxsize=8, retries=False, timeout=60))
        threading.Thread(target=_watch, args=(dashboard,), daemon=True).start()
        time.sleep(1)
        yield dashboard


def _watch(dashboard: Dashboard) -> None:
    with contextlib.suppress(urllib3.exceptions.HTTPError):  # the dashboard ends first
        dashboard.watch()


def alerts_of(model: Path, data: Path) -> list[dict[str, Any]]:
    """Alerts of the rows that the model finds most suspect among the first ones, with their scores."""
    explainer = Explainer(load_artifact(model))
    rows = [parse_transaction(row) for row in itertools.islice(open_data(data).json_rows(), 20 * ROWS)]
    scored = [(explainer.explain(row, {}).score, plain(row)) for row in rows]
    scored.sort(key=lambda pair: -pair[0])
    return [
        {
            "outcome": "alert",
            "score": score,
            "threshold": 0.0,
            "model_id": model.name,
            "revision": 0,
            "imputed": [],
            "produced_at": "2026-01-01T00:00:00Z",
            "transaction": row,
        }
        for score, row in scored[:ROWS]
    ]


def at_rate(
    dashboards: Sequence[Dashboard], alerts: Sequence[dict[str, Any]], rate: float, turn: float, turns: int
) -> None:
    """Post one alert at a time at a steady rate, to one dashboard after the other."""
    endless = itertools.cycle(alerts)
    for _ in range(turns):
        for dashboard in dashboards:
            began = time.perf_counter()
            for number in range(int(rate * turn)):
                time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                dashboard.post([next(endless)])


def measure(
    model: Path, data: Path, rate: float, turn: float, turns: int, storm_rate: float, storm: float
) -> dict[str, Any]:
    """All figures of one model."""
    alerts = alerts_of(model, data)
    with (
        tempfile.TemporaryDirectory(prefix="reasons-") as folder,
        running(Path(folder) / "without", model, explain=False) as without,
        running(Path(folder) / "with", model, explain=True) as within,
    ):
        at_rate([without, within], alerts, rate, 2, 1)
        assert wait_until(within.is_explained, 60)
        without.forget()
        within.forget()
        at_rate([without, within], alerts, rate, turn, turns)
        assert wait_until(within.is_explained, 30)
        steady = {
            "alerts_a_second": rate,
            "without_reasons": summary(without.answered),
            "with_reasons": summary(within.answered),
            "until_reasons": summary([within.explained[name] - at for name, at in within.sent.items()]),
            "load_average": os.getloadavg()[0],
        }
        without.forget()
        within.forget()
        before = resident_mib(within.worker)
        lots = [alerts[at : at + STORM_PER_POST] for at in range(0, len(alerts), STORM_PER_POST)]
        peak = before
        for _ in range(2):
            for dashboard in (without, within):
                began = time.perf_counter()
                for number in range(int(storm_rate * storm / STORM_PER_POST)):
                    time.sleep(max(0.0, began + number * STORM_PER_POST / storm_rate - time.perf_counter()))
                    dashboard.post(lots[number % len(lots)])
                    peak = max(peak, resident_mib(within.worker))
        ended = time.perf_counter()
        assert wait_until(within.is_explained, CATCH_UP_SECONDS), len(within.explained)
        return {
            "model": model.name,
            "steady": steady,
            "storm": {
                "alerts_a_second": storm_rate,
                "alerts": len(within.sent),
                "alerts_a_post": STORM_PER_POST,
                "post_without_reasons": summary(without.answered),
                "post_with_reasons": summary(within.answered),
                "until_reasons": summary([within.explained[name] - at for name, at in within.sent.items()]),
                "caught_up_seconds_after": round(time.perf_counter() - ended, 1),
                "megabytes_before": round(before),
                "megabytes_peak": round(peak),
            },
        }


def main() -> None:
    """Measure every model of a directory."""
    parser = study.parser(__doc__, "reasons")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--turn", type=float, default=10.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--storm-rate", type=float, default=1000.0)
    parser.add_argument("--storm", type=float, default=5.0)
    options = parser.parse_args()
    runs = []
    for model in sorted(path for path in options.models.iterdir() if is_artifact(path)):
        runs.append(
            measure(model, options.data, options.rate, options.turn, options.turns, options.storm_rate, options.storm)
        )
        print(json.dumps(runs[-1], indent=1))
    result = {
        **circumstances(),
        "data": options.data.name,
        "runs": runs,
    }
    write_result(options.output, result)


if __name__ == "__main__":
    main()
