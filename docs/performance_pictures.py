"""What the pictures of the page of performance show; `pictures.py` draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pictures import Bar, Spread, bars, curves, spreads
from results import result

STAGES = ("acknowledged", "alert_topic", "posted", "store", "sse", "page")


AIMS = {"alert_topic": (2, 10), "store": (5, 20, 250), "page": (30, 100)}
"""Milliseconds that issue and design aim at: p50, p99, p99.9."""


def latency_picture() -> str:
    """Percentiles by stage."""
    found = result("bench_latency")
    rows = [
        Spread(stage, [told[stage][figure] for figure in ("p50_ms", "p99_ms", "p999_ms")], AIMS.get(stage, ()))
        for stage in STAGES
        for told in (result("bench_page") if stage == "page" else found,)
    ]
    title = f"From when a payment was due, at {found['rate']:,.0f} rows/s (green: aimed at)"
    return spreads(title, ["p50", "p99", "p99.9"], rows, "ms")


def throughput_picture() -> str:
    """Rows a second, ours and the peers'."""
    found = result("bench_throughput")
    rows = [
        Bar(f"fraudstream, {each['model']['algorithm']}", each["median"], is_own=True)
        for each in found["by_algorithm"].values()
    ]
    rows += [
        Bar(name.replace("_", " "), each["rows_per_second"], is_own=False)
        for name, each in found["peers_in_full"].items()
    ]
    model = found["by_algorithm"][found["algorithm"]]["model"]["algorithm"]
    return bars(f"Catching up on a backlog, rows a second; the peers with the {model}", rows)


def rate_picture() -> str:
    """Latency against the rate."""
    figures = result("growth")["rates"]["figures"]
    lines = [
        (f"{name} to fraud_alerts", [(float(rate), each["alert_topic"][key]) for rate, each in figures.items()])
        for name, key in (("p50", "p50_ms"), ("p99", "p99_ms"))
    ]
    return curves("Latency against the rate", "rows a second", "ms", lines, log_up=True)


def columns_picture() -> str:
    """Rows a second against the columns."""
    figures = result("growth")["columns"]["figures"]
    line = [(float(columns), each["rows_per_second"]) for columns, each in figures.items()]
    return curves("Catching up against the columns", "columns", "rows a second", [("linear model", line)], log_up=False)


PICTURES: Mapping[str, Callable[[], str]] = {
    "latency.svg": latency_picture,
    "throughput.svg": throughput_picture,
    "latency-rate.svg": rate_picture,
    "columns.svg": columns_picture,
}
