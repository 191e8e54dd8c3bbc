"""Runs the baselines of `contenders.py` one after the other on a topic, and writes what was measured as JSON.

    python -m benchmarks.baselines.run --bootstrap-servers … --topic … --model PATH --rows N --json FILE
    python -m benchmarks.baselines.run --self --rows 2000000 --algorithm gbt --latency-rate 1000 --seconds 60

The first takes a topic that is filled; the second starts a broker, simulates, trains, fills a topic and runs
fraudstream first and last beside the baselines, so that a machine that drifts shows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.baselines.contenders import OURS, baselines, detector
from benchmarks.baselines.environments import python_of
from benchmarks.baselines.latency import measure_latency, rows_of
from benchmarks.baselines.measuring import finished_at, steady_rate
from benchmarks.baselines.preparation import Expected, read_expected
from benchmarks.baselines.stage import Contender, Stage
from benchmarks.baselines.whole import Filled, filled_topic
from benchmarks.study import RESULTS, say
from benchmarks.system.machine import circumstances, load, write_result
from benchmarks.system.resources import cpu_seconds
from fraudstream.transactions.wire import Topic

RESULT: Final = RESULTS / "peers.json"
SETTLE_SECONDS: Final = 10.0


def catch_up(contender: Contender, stage: Stage, expected: Expected, rows: int) -> dict[str, Any]:
    """Start a contender at the earliest offset and measure until it has scored all rows."""
    begun, deadline = time.time(), time.monotonic() + 120 + rows / 1000
    with contender.start(stage, "earliest") as running:
        while (done := finished_at(running.samples(), rows)) is None and time.monotonic() < deadline:
            if failure := running.failure():
                return {"failure": failure}
            time.sleep(0.2)
        cpu = sum(map(cpu_seconds, running.pids))
        settled = time.monotonic() + SETTLE_SECONDS
        while len(running.alerts()) < len(expected.places) and time.monotonic() < settled:
            time.sleep(0.2)
        alerts, samples = running.alerts(), running.samples()
    rate = steady_rate(samples, rows)
    return {
        "rows_per_second": None if rate is None else round(rate),
        "whole_seconds": None if done is None else round(done - begun, 1),
        "rows_judged": samples[-1].rows if samples else 0,
        "alerts": len(alerts),
        "alerts_expected": len(expected.places),
        "same_alerts": alerts.keys() == expected.places,
        "cpu_seconds": round(cpu, 1),
    }


def measure(contender: Contender, stage: Stage, expected: Expected, rows: int) -> dict[str, Any]:
    """The catch-up of a contender, with what it is made of and the load that it found."""
    before = load()
    result = catch_up(contender, stage, expected, rows)
    result |= {"version": dict(contender.version()), "settings": dict(contender.settings), "load_before": before}
    say(f"{contender.name}: {json.dumps(result)}")
    return result


@contextmanager
def prepared(filled: Filled) -> Iterator[tuple[Stage, Expected]]:
    """A stage for the topic, with the model exported and the alerts that are expected of every contender."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-peers-") as folder:
        say("exporting the model and scoring the topic, for the alerts to expect ...")
        command = [
            sys.executable, "-m", "benchmarks.baselines.preparation",
            "--bootstrap-servers", filled.bootstrap_servers, "--topic", filled.topic,
            "--model", str(filled.model), "--folder", folder,
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=sys.stderr)
        expected = read_expected(Path(folder))
        yield (
            Stage(filled.bootstrap_servers, filled.topic, filled.model, Path(folder), expected.first_offsets),
            expected,
        )


def run(filled: Filled, chosen: Sequence[Contender], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all of them: first how each catches up, then, on the longer topic, the latency of each."""
    for name in dict.fromkeys(contender.baseline for contender in chosen if contender.baseline is not None):
        python_of(name)
    if filled.topic != Topic.TRANSACTIONS and any(contender.reads_own_topic for contender in chosen):
        raise SystemExit(f"fraudstream reads {Topic.TRANSACTIONS} only: leave micro_batch out with --only")
    with prepared(filled) as (stage, expected):
        rows = arguments.rows or expected.rows
        if rows > expected.rows:
            raise SystemExit(f"{filled.topic} holds {expected.rows:,} rows, not {rows:,}")
        ours = detector(OURS, "realtime")
        measured: dict[str, Any] = {}
        own: list[dict[str, Any]] = []
        if arguments.own:
            own.append(measure(ours, stage, expected, rows))
        for contender in chosen:
            measured[contender.name] = measure(contender, stage, expected, rows)
        if arguments.own:
            own.append(measure(ours, stage, expected, rows))
        if arguments.latency_rate:
            sent = rows_of(filled.bootstrap_servers, filled.topic, expected)
            rate, seconds = arguments.latency_rate, arguments.seconds
            for contender in ([ours] if arguments.own else []) + list(chosen):
                latency = measure_latency(contender, stage, sent, rate, seconds)
                say(f"{contender.name}: {json.dumps(latency)}")
                (own[0] if contender is ours else measured[contender.name]).update(latency)
    result = {
        "rows": rows,
        "seconds": arguments.seconds,
        "odd_rows": expected.odd,
        "model": filled.description or filled.model.resolve().name,
        **circumstances(),
        "peers": measured,
    }
    return result | ({OURS: {"first": own[0], "last": own[-1]}} if own else {})


def main() -> None:
    """Read the arguments, run and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap-servers", help="Kafka's address.")
    parser.add_argument("--topic", default="credit_card_transactions")
    parser.add_argument("--model", type=Path, help="An artifact or a `current` file.")
    parser.add_argument("--rows", type=int, default=None, help="Of the topic; all when not given.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="Measure only these baselines.")
    parser.add_argument("--latency-rate", type=float, default=None, help="Rows a second; no latency when not given.")
    parser.add_argument("--seconds", type=float, default=60.0, help="How long the latency is measured.")
    parser.add_argument("--json", type=Path, default=None, help="Written; benchmarks/results/peers.json with --self.")
    parser.add_argument("--self", dest="own", action="store_true", help="A broker, a topic and fraudstream of its own.")
    parser.add_argument("--algorithm", default="logistic-regression", help="Of the model that --self trains.")
    parser.add_argument("--partitions", type=int, default=4, help="Of the topic that --self fills.")
    arguments = parser.parse_args()
    known = {contender.name: contender for contender in baselines()}
    if unknown := set(arguments.only or ()) - known.keys():
        parser.error(f"no baseline is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in arguments.only or known]
    if arguments.own:
        arguments.rows = arguments.rows or 2_000_000
        with filled_topic(arguments.rows, arguments.algorithm, arguments.partitions, say) as filled:
            result = run(filled, chosen, arguments)
    elif arguments.bootstrap_servers and arguments.model:
        result = run(Filled(arguments.bootstrap_servers, arguments.topic, arguments.model), chosen, arguments)
    else:
        parser.error("give --bootstrap-servers and --model, or --self")
    if target := arguments.json or (RESULT if arguments.own else None):
        write_result(target, result)
    else:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
