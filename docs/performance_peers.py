"""Generate the section of `performance.md` that compares fraudstream with the baselines of `benchmarks/baselines`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from performance_growth import model_label
from results import result, table

BASELINES = """\
## Comparison with baselines

One run for each model, the same topic on {partitions} partitions, sequentially. For a description of each baseline, its
tuning and its limits see [decision 20](decisions/0020-peers.md) and the READMEs in `benchmarks/baselines/`. Plain
consumers read a backlog faster than Spark does. The baselines keep no ledger, cannot swap models while running, and are
not restarted after a failure."""

MODEL = """\
{rows:,} rows, {model}:"""

LATENCY = """\
From when a row was due until its alert is delivered, {rate:,.0f} rows/s for {seconds:,.0f} s each, {model},
all in one run. Alerts not delivered by the end of the measurement count with the time elapsed since they were due.
Delivered means received by a Kafka consumer, for the four scripts that their API was called. The warm-up is only 10 s,
too short for a JVM: after 150 s fraudstream's latencies are those of the first table."""


def baselines_section(data: Mapping[str, Any]) -> Iterator[str]:
    """Compare how fast each reads a backlog."""
    yield BASELINES.format(partitions=data["partitions"])
    for run in (data, result("bench_peers")):
        own = run["by_algorithm"][run["algorithm"]]
        yield MODEL.format(rows=run["rows"], model=model_label(own["model"]))
        yield table(
            ["system", "rows a second, steady", "total including startup", "CPU seconds", "same alerts"],
            list(_baseline_rows(run, own["runs"][0])),
        )


def latency_section(data: Mapping[str, Any]) -> Iterator[str]:
    """Compare alert latencies."""
    each = {"fraudstream": data["fraudstream"]["first"]} | data["peers"]
    yield LATENCY.format(rate=each["fraudstream"]["rate"], seconds=data["seconds"], model=data["model"])
    yield table(
        ["system", "p50", "p99", "alerts", "not delivered"],
        [
            [
                name.replace("_", " "),
                *(f"{latency[figure]:,.1f} ms" for figure in ("p50_ms", "p99_ms")),
                f"{latency['latency_alerts']:,}",
                f"{latency['latency_missing']:,}",
            ]
            for name, latency in each.items()
            if "p50_ms" in latency
        ],
    )


def _baseline_rows(run: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[list[str]]:
    cpu = own["cpu_seconds_per_1000_rows"]["all"] * run["rows"] / 1000
    yield ["fraudstream", f"{own['rows_per_second']:,.0f}", f"{own['whole_seconds']:.1f} s", f"{cpu:.1f}", ""]
    for name, baseline in run["peers_in_full"].items():
        yield [
            name.replace("_", " "),
            f"{baseline['rows_per_second']:,.0f}",
            f"{baseline['whole_seconds']:.1f} s",
            f"{baseline['cpu_seconds']:.1f}",
            "yes" if baseline["same_alerts"] else "no",
        ]
