"""The part of the page of performance that tells how cost grows, as `benchmarks/growth.py` measured it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from results import table

GROWTH = """\
## How cost grows

`benchmarks/growth.py`, on the same machine. Backlogs of {rows:,} rows, the linear model where no other is named, rows a
second in the steady state and processor seconds of the detector for 1,000 rows (steadier than the rate: a machine is
seldom quite alone)."""

AGAINST_RATE = """\
Latency against the rate, {model}, no browser; with more than 1,000 rows/s the client of the load generator lets rows
wait 2 ms for company, and there are 4 partitions instead of 2:"""

STORE = """\
The alert store when it holds so many alerts: one more alert, committed to the disk, and the newest page of 100. What
a search among many alerts takes is in [figures.md](figures.md)."""


def growth_section(found: Mapping[str, Any]) -> Iterator[str]:
    """Its paragraphs, tables and pictures."""
    parts = [name for name in ("partitions", "columns", "models", "drift") if name in found]
    yield GROWTH.format(rows=found[parts[0]]["rows"])
    named = {
        "partitions": "{} partitions", "columns": "{} columns", "models": "{}", "drift": "a share of {} with text"
    }  # fmt: skip
    yield table(
        ["with", "rows a second", "measured over", "CPU seconds per 1,000 rows"],
        [
            [
                named[part].format(name),
                f"{each['rows_per_second']:,.0f}",
                f"{each['steady_seconds']:.1f} s",
                f"{each['cpu_seconds_per_1000_rows']['detector']:.4f}",
            ]
            for part in parts
            for name, each in found[part]["figures"].items()
        ],
    )
    if "columns" in found:
        yield "![Rows a second against the columns](images/columns.svg)"
    if "rates" in found:
        yield AGAINST_RATE.format(model=model_in_words(next(iter(found["rates"]["figures"].values()))["model"]))
        yield table(
            ["rows/s", "`alert_topic` p50", "p99", "`store` p50", "p99", "rate held"],
            [
                [
                    f"{float(rate):,.0f}",
                    *(f"{each[stage][key]:,.1f}" for stage in ("alert_topic", "store") for key in ("p50_ms", "p99_ms")),
                    "yes" if each["held"] else "no",
                ]
                for rate, each in found["rates"]["figures"].items()
            ],
        )
        yield "![Latency against the rate](images/latency-rate.svg)"
    if "store" in found:
        yield STORE
        yield table(
            ["alerts", "one more, p50", "p99", "newest page, p50", "p99", "file"],
            [
                [
                    f"{int(held):,}",
                    *(
                        f"{each[what][key]:.2f} ms"
                        for what in ("add_one", "newest_page")
                        for key in ("p50_ms", "p99_ms")
                    ),
                    f"{each['megabytes']:,.0f} MB",
                ]
                for held, each in found["store"]["figures"].items()
            ],
        )


def model_in_words(told: Mapping[str, Any]) -> str:
    """What `--algorithm` said and what it came to."""
    parameters, name = told["parameters"], told["algorithm"]
    trees = parameters.get("numTrees", parameters.get("maxIter"))
    size = f" of {trees} trees of depth {parameters['maxDepth']}" if "maxDepth" in parameters else ""
    return f"`{told['requested']}`: {name}{size}"
