"""Sends hostile records through the running system between frauds, all of which must arrive; then a clean run.

    python -m benchmarks.hostile_records --records 10000

Broker, detector, relay and dashboard run as processes, and none may have to be started again. At the end an audit
counts that every record has its one outcome. The delay of a fraud is from production to the commit in the store.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chaos.hostile import Hostile, hostile_records
from chaos.hostile_run import BATCH, audited, run_through

from fraudstream.bench.material import prepare, split_by_outcome
from fraudstream.bench.system import BenchSystem, stopped_at_the_end

RESULT: Final = Path(__file__).parent / "results" / "hostile_records.json"


def clean_records(count: int, clear: bytes) -> Iterator[Hostile]:
    """As many rows that raise no alert."""
    return (Hostile("a clear row", clear, False) for _ in range(count))


def main() -> None:
    """Run both and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100.0, help="records a second")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--data", type=Path, help="a CSV; simulated without")
    parser.add_argument("--folder", type=Path, help="keeps payments and model for another run")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="hostile-"))
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    material = prepare(folder, arguments.data, "logistic-regression", environment, _say)
    rows = split_by_outcome(folder, material, environment, _say)
    clear, fraud = (path.read_bytes().splitlines()[0] for path in rows)
    running = Path(tempfile.mkdtemp(prefix="system-", dir=folder))
    with stopped_at_the_end(BenchSystem(running, material.model, 2, environment, extra=BATCH)) as system:
        system.start_all()
        # The first rows wait for the query's code to be generated and compiled.
        run_through(system, clean_records(200, clear), fraud, rate=arguments.rate, name="warm-up")
        _say("the clean run ...")
        records = clean_records(arguments.records, clear)
        clean = run_through(system, records, fraud, rate=arguments.rate, name="clean")
        _say(f"{clean['delay_of_the_frauds_between_ms']}; hostile records ...")
        records = hostile_records(arguments.records, fraud, arguments.seed)
        hostile = run_through(system, records, fraud, rate=arguments.rate, name="hostile")
        result = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
            "load_average": round(os.getloadavg()[0], 1),
            "rate": arguments.rate,
            "seed": arguments.seed,
            "clean": clean,
            "hostile": hostile,
            "restarts": system.restarts(),
            **audited(system),
        }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    _say(json.dumps(result, indent=2))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
