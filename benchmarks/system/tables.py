"""The tables that `python -m benchmarks` prints; the pages in `docs/` are made from the same results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from benchmarks.system.latency import BESIDE, STAGES
from benchmarks.system.percentiles import QUANTILES


def latency_table(result: Mapping[str, Any]) -> Table:
    """Percentiles by stage."""
    table = Table(title=f"due → stage, {result['rate']:g} rows/s, milliseconds")
    table.add_column("stage")
    for name in (*QUANTILES, "max_ms", "count"):
        table.add_column(name.removesuffix("_ms"), justify="right")
    for stage in (*STAGES, *BESIDE):
        if times := result.get(stage):
            table.add_row(stage, *(_number(times[name]) for name in (*QUANTILES, "max_ms")), f"{times['count']:,}")
    return table


def secured_table(result: Mapping[str, Any]) -> Table:
    """Percentiles by stage with an open and with a secured broker, and their ratio; in parentheses of each repeat."""
    table = Table(title=f"due → stage, {result['plain']['rate']:g} rows/s, milliseconds: SASL_SSL beside PLAINTEXT")
    for name in ("stage", "", "plain", "secured", "ratio"):
        table.add_column(name, justify="right" if name in ("plain", "secured", "ratio") else "left")
    for stage, percentiles in result["compared"].items():
        for name, columns in percentiles.items():
            table.add_row(stage, name.removesuffix("_ms"), *map(_with_repeats, columns.values()))
    return table


def usage_table(result: Mapping[str, Any]) -> Table:
    """Memory and processor time by process."""
    table = Table(title="memory (MiB) and processor time")
    for name in ("process", "start", "end", "max", "PSS at the end", "CPU s per 1,000 rows"):
        table.add_column(name, justify="left" if name == "process" else "right")
    memory = result["memory"]
    proportional = memory["proportional_mib"].get("end", {})
    for name, resident in memory["resident_mib"].items():
        table.add_row(
            name,
            *(_number(resident.get(when)) for when in ("start", "end", "max")),
            _number(proportional.get(name)),
            _number(result["cpu_seconds_per_1000_rows"].get(name), 4),
        )
    table.caption = f"growth of all: {memory['slope_mib_per_minute']:g} MiB a minute"
    return table


def throughput_table(result: Mapping[str, Any]) -> Table:
    """Rows a second by model and by baseline."""
    table = Table(title=f"catching up on {result['rows']:,} rows, rows a second")
    for name in ("who", "median", "min", "max"):
        table.add_column(name, justify="left" if name == "who" else "right")
    for name, entry in result.get("by_algorithm", {}).items():
        table.add_row(f"fraudstream, {name}", *(_number(entry[each], 0) for each in ("median", "min", "max")))
    for name, rate in result["peers"].items():
        table.add_row(name, _number(rate, 0), "", "")
    return table


def recovery_table(result: Mapping[str, Any]) -> Table:
    """Seconds to recover and to start."""
    table = Table(title=f"seconds, {result['rate']:g} rows/s")
    for name in ("what", "median", "min", "max"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, key in (("caught up after kill -9", "caught_up_seconds"), ("first row", "first_scored_row_seconds")):
        table.add_row(name, *(_number(result[key][each]) for each in ("median", "min", "max")))
    return table


def _with_repeats(values: Mapping[str, Any]) -> str:
    return f"{_number(values['together'], 2)} ({', '.join(_number(each, 2) for each in values['repeats'])})"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
