"""Writes the counters of `/api/stats` as the texts of pages: the tiles, the badges of the navigation, the dot."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fraudstream.dashboard.web.formats import NOTHING, duration
from fraudstream.dashboard.web.presentation import milliseconds, short_id
from fraudstream.messages.base import Object

MOST_IN_FULL: Final = 9_999
"""A badge holds four digits."""


class Tile(NamedTuple):
    """A counter: its figure, and the line under it."""

    key: str
    label: str
    figure: str
    line: str


def texts(stats: Mapping[str, Any]) -> Object:
    """Return all texts, by the place on a page where a script replaces them; `quiet` is empty while payments arrive."""
    quiet = stats["quiet_seconds"]
    return {
        "tiles": {each.key: {"label": each.label, "figure": each.figure, "line": each.line} for each in tiles(stats)},
        "badges": {
            "queue": _short(stats["to_do"]),
            "rejected": _short(sum(stats[name] for name in ("dead_letters", "unscorable", "rejected"))),
            "schema": _short(len(stats["columns"].suggestions)),
            "ledger": _short(stats["ledger"].lost),
        },
        "quiet": "" if quiet is None else f"No payments for {duration(quiet)}",
    }


def _short(number: int) -> str:
    return "" if not number else f"{number:,}" if number <= MOST_IN_FULL else f"{number // 1000:,}k"


def tiles(stats: Mapping[str, Any]) -> list[Tile]:
    """Return the counters as tiles."""
    scored, alerts, rate, p99 = (stats[name] for name in ("scored", "alerts", "rate", "p99_ms"))
    share = f"{alerts / scored * 100:.2f} % of payments" if scored else "none scored yet"
    to = "Payment to page" if stats["latency_to"] != "store" else "Payment to store"
    within = "no recent alert" if p99 is None else f"99 % within {milliseconds(p99)}"
    dead_letters = "1 dead letter" if stats["dead_letters"] == 1 else f"{stats['dead_letters']:,} dead letters"
    threshold = NOTHING if stats["threshold"] is None else f"threshold {stats['threshold']:.4g}"
    per_second = f"{rate:,.{0 if rate >= 100 else 1}f}"
    return [
        Tile("payments", "Payments received", f"{stats['payments_seen']:,}", f"≈ {scored:,} scored"),
        Tile("alerts", "Fraud alerts", f"{alerts:,}", share),
        Tile("rate", "Payments a second", per_second, f"≈ {stats['lag']:,} waiting"),
        Tile("latency", to, milliseconds(stats["p50_ms"]), within),
        Tile("unjudged", "Unscorable", f"{stats['unscorable']:,}", dead_letters),
        Tile("model", "Active model", short_id(stats["model_id"] or "") or NOTHING, threshold),
    ]
