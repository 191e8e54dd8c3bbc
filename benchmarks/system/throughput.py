"""Rows a second of the detector, and of the baselines on the same topic: the kinds `throughput` and `baselines`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.system.backlog import catch_up, fill, repeated
from benchmarks.system.machine import load
from benchmarks.system.material import Material
from benchmarks.system.percentiles import of_repeats
from benchmarks.system.system import ROOT, BenchSystem, stopped_at_the_end
from fraudstream.demo.child import log_tail
from fraudstream.errors import ProcessFailed
from fraudstream.runtime.processes import spawn, stop
from fraudstream.transactions.wire import Topic

PROGRESS_ROWS: Final = 250_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class ThroughputRequest:
    """What is measured.

    Attributes:
        rows: Of the backlog.
        repeats: How often each model reads it.
        partitions: Of the topic.
        baselines: Whether the baselines read it too.
    """

    rows: int
    repeats: int
    partitions: int
    baselines: bool


def measure_throughput(
    request: ThroughputRequest, materials: Sequence[Material], environment: Mapping[str, str], say: Say
) -> dict[str, Any]:
    """Let each model read the same backlog, and give what the result file holds.

    Args:
        request: What is measured.
        materials: Models of the same rows; the first is the one that the headline and the baselines are about.
        environment: That the processes inherit.
        say: Takes one line on each step.
    """
    with _backlog(request, materials[0], environment, say) as system:
        by_algorithm: dict[str, list[dict[str, Any]]] = {each.manifest.requested: [] for each in materials}
        # By turns, so that a machine that is busy for a while does not fall on one model alone.
        for number in range(1, request.repeats + 1):
            for material in materials:
                name = material.manifest.requested
                before = load()
                system.model = material.model.absolute()
                measurement = catch_up(system, f"checkpoint-{name}-{number}", request.rows).summary() | {
                    "load_before": before
                }
                by_algorithm[name].append(measurement)
                say(f"{name}, run {number} of {request.repeats}: {measurement['rows_per_second']:,.0f} rows/s")
        baselines, why = _measure_baselines(request, system, materials[0], environment, say)
    rates = {name: of_repeats([run["rows_per_second"] for run in runs]) for name, runs in by_algorithm.items()}
    first = materials[0].manifest.requested
    return {
        "rows_per_second": rates[first]["median"],
        "peers": {name: baseline.get("rows_per_second") for name, baseline in baselines.items()},
        "peers_left_out": why,
        "peers_in_full": baselines,
        "rows": request.rows,
        "partitions": request.partitions,
        "algorithm": first,
        "by_algorithm": {
            material.manifest.requested: {
                **rates[material.manifest.requested],
                "model": material.summary["model"],
                "runs": by_algorithm[material.manifest.requested],
            }
            for material in materials
        },
    }


def measure_baselines(
    request: ThroughputRequest, material: Material, environment: Mapping[str, str], say: Say
) -> dict[str, Any]:
    """Let only the baselines read a backlog."""
    with _backlog(request, material, environment, say) as system:
        baselines, _ = _measure_baselines(request, system, material, environment, say)
    return {
        "peers": {name: baseline.get("rows_per_second") for name, baseline in baselines.items()},
        "peers_in_full": baselines,
        "rows": request.rows,
        "partitions": request.partitions,
    }


@contextmanager
def _backlog(
    request: ThroughputRequest, material: Material, environment: Mapping[str, str], say: Say
) -> Iterator[BenchSystem]:
    with tempfile.TemporaryDirectory(prefix="fraudstream-bench-") as folder:
        system = BenchSystem(Path(folder), material.model.absolute(), request.partitions, environment)
        with stopped_at_the_end(system):
            system.start_broker()
            say(f"filling the topic with {request.rows:,} rows ...")
            source = list(material.source.json_rows())
            fill(
                system.bootstrap,
                request.partitions,
                repeated(source, request.rows),
                _progress_messages(request.rows, say),
            )
            yield system


def _progress_messages(rows: int, say: Say) -> Callable[[int], None]:
    """Takes how many rows the topic has, and says so now and then."""

    def report(done: int) -> None:
        if done % PROGRESS_ROWS == 0:
            say(f"{done:,} of {rows:,} rows")

    return report


def _measure_baselines(
    request: ThroughputRequest, system: BenchSystem, material: Material, environment: Mapping[str, str], say: Say
) -> tuple[dict[str, dict[str, Any]], str | None]:
    if not request.baselines:
        return {}, "--no-peers was given"
    say("the baselines, on the same topic ...")
    output, log = system.folder / "peers.json", system.folder / "logs" / "peers.log"
    command = [
        sys.executable, "-m", "benchmarks.baselines.run",
        "--bootstrap-servers", system.bootstrap, "--topic", Topic.TRANSACTIONS.value,
        "--model", material.model.absolute(), "--rows", str(request.rows), "--json", output,
    ]  # fmt: skip
    process = spawn([str(part) for part in command], log=log, env=environment, cwd=ROOT)
    try:
        code = process.wait()
    finally:
        stop(process, 10.0)
    if code:
        raise ProcessFailed(
            f"the baselines failed: {log_tail(log, 6)}",
            where=f"log: {log}",
            remedy="fix the problem in the log, or leave them out with --no-peers",
        )
    results: dict[str, dict[str, Any]] = orjson.loads(output.read_bytes())["peers"]
    return results, None
