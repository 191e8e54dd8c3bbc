"""Measures `fraudstream demo` from outside: time to the first alert, latency to the store, loss, memory by process.

    python -m benchmarks.demo_figures --data creditcard_subset.csv --legitimate-share 0.18594 --rates 200 2000

Each rate is a demo of its own in an empty folder: the model is trained, the whole file is sent, and what the store then
holds is compared with `fraudstream score` on the same file and model.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import FRAUDSTREAM
from benchmarks.system.percentiles import quantiles
from benchmarks.system.resources import resident_mib
from fraudstream.runtime.processes import free_port, wait_until


def ask(url: str) -> dict[str, Any]:
    """What the dashboard answers; empty while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            document: dict[str, Any] = json.loads(answer.read())
    except OSError:
        return {}
    return document


def alerts(url: str) -> Iterator[dict[str, Any]]:
    """Every alert of the store, page by page."""
    cursor = ""
    while True:
        page = ask(f"{url}/api/alerts?limit=1000{cursor}")
        yield from page["alerts"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def seconds_between(earlier: str, later: str) -> float:
    """Between two times as an alert writes them."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def frauds_of(data: Path, model: Path, folder: Path) -> dict[int, float]:
    """Row and score of each fraud that `fraudstream score` finds."""
    output = folder / "scores.csv"
    command = [*FRAUDSTREAM, "score", "--data", str(data), "--model", str(model), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with output.open() as lines:
        return {int(line["row"]): float(line["score"]) for line in csv.DictReader(lines) if line["outcome"] == "alert"}


def run(data: Path, rate: float, rows: int, legitimate_share: float) -> dict[str, Any]:
    """One demo from its start until all rows are scored, and what it left."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "demo"
        began = time.monotonic()
        demo = subprocess.Popen(
            [
                *FRAUDSTREAM, "demo", "--data", data, "--rate", str(rate), "--port", str(port), "--workdir", workdir,
                "--legitimate-share", str(legitimate_share), "--no-browser",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: ask(f"{url}/api/stats").get("alerts", 0) > 0, 300, every=0.1)
            first_alert = time.monotonic() - began
            wait_until(
                lambda: ask(f"{url}/api/stats").get("scored", 0) >= rows, 60 + 2 * rows / (rate or 2000), every=0.5
            )
            time.sleep(2)  # the last alert is on its way from the topic to the store
            pids = json.loads((workdir / "pids.json").read_text())
            running = {name: pid for name, pid in pids.items() if psutil.pid_exists(pid)}
            memory = {name: resident_mib(pid) for name, pid in running.items()}
            memory["demo itself"] = round(resident_mib(demo.pid) - sum(memory.values()), 1)
            stored = list(alerts(url))
            scores = {alert["source_row"]: alert["score"] for alert in stored}
            expected = frauds_of(data, workdir / "models" / "current", Path(folder))
            latency = [1000 * seconds_between(alert["produced_at"], alert["received_at"]) for alert in stored]
            stats = ask(f"{url}/api/stats")
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(60)
    return {
        "rate": rate,
        "rows_sent": stats["payments_seen"],
        "rows_scored": stats["scored"],
        "alerts": len(stored),
        "alerts_that_score_finds": len(expected),
        "missing": len(expected.keys() - scores.keys()),
        "not_expected": len(scores.keys() - expected.keys()),
        "doubled": len(stored) - len(scores),
        "other_score": sum(scores[row] != score for row, score in expected.items() if row in scores),
        "seconds_to_first_alert_in_the_store": round(first_alert, 1),
        "produced_to_store_ms": quantiles(latency, (50, 90, 99)),
        "resident_mib": memory,
    }


def main() -> None:
    """Run a demo at each rate and write the JSON."""
    parser = study.parser(__doc__, "demo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--legitimate-share", type=float, default=1.0)
    parser.add_argument("--rates", type=float, nargs="+", default=[200.0, 2000.0])
    arguments = parser.parse_args()
    rows = sum(1 for _ in arguments.data.open("rb")) - 1
    result: dict[str, Any] = {
        **circumstances(),
        "data": {"name": arguments.data.name, "rows": rows},
        "runs": [],
    }
    for rate in arguments.rates:
        result["runs"].append(run(arguments.data, rate, rows, arguments.legitimate_share))
        print(json.dumps(result["runs"][-1]), flush=True)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
