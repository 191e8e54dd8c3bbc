"""Generate the section of `performance.md` on how cost grows with the load, from `benchmarks/growth.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from results import table

GROWTH = """\
## How cost grows

`benchmarks/growth.py`, on the same machine. Backlogs of {rows:,} rows, the linear model unless another is named, rows a
second in the steady state and CPU seconds of the detector per 1,000 rows (less affected by other load on the machine
than the rate)."""

AGAINST_RATE = """\
Latency against the rate, {model}, no browser; above 1,000 rows/s the load generator's Kafka client uses `linger.ms=2`,
and there are 4 partitions instead of 2:"""

STORE = """\
The alert store by the number of alerts: time to commit one more alert to disk, and to read the newest page of 100. For
search times see [figures.md](figures.md)."""


def growth_section(data: Mapping[str, Any]) -> Iterator[str]:
    """Generate paragraphs, tables and pictures."""
    parts = [name for name in ("partitions", "columns", "models", "drift") if name in data]
    yield GROWTH.format(rows=data[parts[0]]["rows"])
    named = {
        "partitions": "{} partitions", "columns": "{} columns", "models": "{}", "drift": "a share of {} with text"
    }  # fmt: skip
    yield table(
        ["variant", "rows a second", "measured over", "CPU seconds per 1,000 rows"],
        [
            [
                named[part].format(name),
                f"{each['rows_per_second']:,.0f}",
                f"{each['steady_seconds']:.1f} s",
                f"{each['cpu_seconds_per_1000_rows']['detector']:.4f}",
            ]
            for part in parts
            for name, each in data[part]["figures"].items()
        ],
    )
    if "columns" in data:
        yield "![Rows a second against the columns](images/columns.svg)"
    if "rates" in data:
        yield AGAINST_RATE.format(model=model_label(next(iter(data["rates"]["figures"].values()))["model"]))
        yield table(
            ["rows/s", "`alert_topic` p50", "p99", "`store` p50", "p99", "rate held"],
            [
                [
                    f"{float(rate):,.0f}",
                    *(f"{each[stage][key]:,.1f}" for stage in ("alert_topic", "store") for key in ("p50_ms", "p99_ms")),
                    "yes" if each["held"] else "no",
                ]
                for rate, each in data["rates"]["figures"].items()
            ],
        )
        yield "![Latency against the rate](images/latency-rate.svg)"
    if "store" in data:
        yield STORE
        yield table(
            ["alerts", "one more, p50", "p99", "newest page, p50", "p99", "file"],
            [
                [
                    f"{int(stored):,}",
                    *(
                        f"{each[what][key]:.2f} ms"
                        for what in ("add_one", "newest_page")
                        for key in ("p50_ms", "p99_ms")
                    ),
                    f"{each['megabytes']:,.0f} MB",
                ]
                for stored, each in data["store"]["figures"].items()
            ],
        )


def model_label(model: Mapping[str, Any]) -> str:
    """Describe a model by its `--algorithm` option, selected algorithm and size."""
    parameters, name = model["parameters"], model["algorithm"]
    trees = parameters.get("numTrees", parameters.get("maxIter"))
    size = f" of {trees} trees of depth {parameters['maxDepth']}" if "maxDepth" in parameters else ""
    return f"`{model['requested']}`: {name}{size}"
