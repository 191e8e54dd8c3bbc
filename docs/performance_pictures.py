"""Generate the pictures of `performance.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pictures import Bar, Spread, bars, curves, spreads
from results import result

STAGES = ("acknowledged", "alert_topic", "posted", "store", "sse", "page")


AIMS = {"alert_topic": (2, 10), "store": (5, 20, 250), "page": (30, 100)}
"""Target latencies in milliseconds: p50, p99, p99.9."""


def latency_picture() -> str:
    """Draw latency percentiles by stage."""
    data = result("bench_latency")
    rows = [
        Spread(stage, [latency[stage][figure] for figure in ("p50_ms", "p99_ms", "p999_ms")], AIMS.get(stage, ()))
        for stage in STAGES
        for latency in (result("bench_page") if stage == "page" else data,)
    ]
    title = f"From when a payment was due, at {data['rate']:,.0f} rows/s (green: target)"
    return spreads(title, ["p50", "p99", "p99.9"], rows, "ms")


def throughput_picture() -> str:
    """Draw rows a second of fraudstream and the baselines."""
    data = result("bench_throughput")
    rows = [
        Bar(f"fraudstream, {each['model']['algorithm']}", each["median"], is_own=True)
        for each in data["by_algorithm"].values()
    ]
    rows += [
        Bar(name.replace("_", " "), each["rows_per_second"], is_own=False)
        for name, each in data["peers_in_full"].items()
    ]
    model = data["by_algorithm"][data["algorithm"]]["model"]["algorithm"]
    return bars(f"Catching up on a backlog, rows a second; baselines with the {model}", rows)


def rate_picture() -> str:
    """Draw latency against the rate."""
    figures = result("growth")["rates"]["figures"]
    lines = [
        (f"{name} to fraud_alerts", [(float(rate), each["alert_topic"][key]) for rate, each in figures.items()])
        for name, key in (("p50", "p50_ms"), ("p99", "p99_ms"))
    ]
    return curves("Latency against the rate", "rows a second", "ms", lines, log_up=True)


def columns_picture() -> str:
    """Draw rows a second against the number of columns."""
    figures = result("growth")["columns"]["figures"]
    line = [(float(columns), each["rows_per_second"]) for columns, each in figures.items()]
    return curves("Catching up against the columns", "columns", "rows a second", [("linear model", line)], log_up=False)


PICTURES: Mapping[str, Callable[[], str]] = {
    "latency.svg": latency_picture,
    "throughput.svg": throughput_picture,
    "latency-rate.svg": rate_picture,
    "columns.svg": columns_picture,
}
