"""Sends hostile records through the running system between frauds, all of which must arrive; then a clean run.

    python -m benchmarks.hostile_records --records 10000

Broker, detector, relay and dashboard run as processes, and none may have to be started again. At the end an audit
counts that every record has its one outcome. The delay of a fraud is from production to the commit in the store.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chaos.hostile import Hostile, hostile_records
from chaos.hostile_run import BATCH, audited, run_through

from benchmarks.study import parser, say
from benchmarks.system.machine import circumstances, load, write_result
from benchmarks.system.material import prepare, split_by_outcome
from benchmarks.system.system import BenchSystem, stopped_at_the_end


def clean_records(count: int, clear: bytes) -> Iterator[Hostile]:
    """As many rows that raise no alert."""
    return (Hostile("a clear row", clear, False) for _ in range(count))


def main() -> None:
    """Run both and write the result."""
    arguments = parser(__doc__, "hostile_records")
    arguments.add_argument("--records", type=int, default=10_000)
    arguments.add_argument("--rate", type=float, default=100.0, help="records a second")
    arguments.add_argument("--seed", type=int, default=15)
    arguments.add_argument("--data", type=Path, help="a CSV; simulated without")
    options = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    (folder / "logs").mkdir(parents=True)
    environment = dict(os.environ)
    material = prepare(folder, options.data, "logistic-regression", environment, say)
    rows = split_by_outcome(folder, material, environment, say)
    clear, fraud = (path.read_bytes().splitlines()[0] for path in rows)
    with stopped_at_the_end(BenchSystem(folder, material.model, 2, environment, extra=BATCH)) as system:
        system.start_all()
        # The first rows wait for the query's code to be generated and compiled.
        run_through(system, clean_records(200, clear), fraud, rate=options.rate, name="warm-up")
        say("the clean run ...")
        clean = run_through(system, clean_records(options.records, clear), fraud, rate=options.rate, name="clean")
        say(f"{clean['delay_of_the_frauds_between_ms']}; hostile records ...")
        records = hostile_records(options.records, fraud, options.seed)
        hostile = run_through(system, records, fraud, rate=options.rate, name="hostile")
        result = {
            **circumstances(),
            "load_average": load(),
            "rate": options.rate,
            "seed": options.seed,
            "clean": clean,
            "hostile": hostile,
            "restarts": system.restarts(),
            **audited(system),
        }
    write_result(options.output, result)


if __name__ == "__main__":
    main()
