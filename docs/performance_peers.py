"""The part of the performance page that compares fraudstream with the baselines of `benchmarks/baselines`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from performance_growth import model_in_words
from results import result, table

BASELINES = """\
## Beside the peers

One run for each model, the same topic on {partitions} partitions, one after the other. What each is, why that is its
best, and what it does not do: [decision 20](decisions/0020-peers.md) and the READMEs in `benchmarks/baselines/`. Plain
consumers read a backlog faster than Spark does. As they stand here the peers keep no ledger, swap no model while they
run, and nobody starts them again."""

PEERS_OF = """\
{rows:,} rows, {model}:"""

LATENCY = """\
From when a row was due until its alert is out, {rate:,.0f} rows/s for {seconds:,.0f} s each, {model},
all in one run. What is not out when the watch ends counts with the time that it had been due by then. Alerts are out
when a consumer of Kafka has them, those of the four scripts when their API was called. Each was warm for 10 s only, in
which a JVM is not: after 150 s fraudstream's are those of the first table."""


def peers_section(found: Mapping[str, Any]) -> Iterator[str]:
    """How fast each reads a backlog."""
    yield BASELINES.format(partitions=found["partitions"])
    for run in (found, result("bench_peers")):
        own = run["by_algorithm"][run["algorithm"]]
        yield PEERS_OF.format(rows=run["rows"], model=model_in_words(own["model"]))
        yield table(
            ["system", "rows a second, steady", "the whole, with its start", "CPU seconds", "the same alerts"],
            list(_rows_of_peers(run, own["runs"][0])),
        )


def latency_beside(found: Mapping[str, Any]) -> Iterator[str]:
    """How late the alerts of each are."""
    each = {"fraudstream": found["fraudstream"]["first"]} | found["peers"]
    yield LATENCY.format(rate=each["fraudstream"]["rate"], seconds=found["seconds"], model=found["model"])
    yield table(
        ["system", "p50", "p99", "alerts", "not out"],
        [
            [
                name.replace("_", " "),
                *(f"{told[figure]:,.1f} ms" for figure in ("p50_ms", "p99_ms")),
                f"{told['latency_alerts']:,}",
                f"{told['latency_missing']:,}",
            ]
            for name, told in each.items()
            if "p50_ms" in told
        ],
    )


def _rows_of_peers(run: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[list[str]]:
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
