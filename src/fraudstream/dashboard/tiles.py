"""The counters on top of the live pages, as first served; the figures are `stats.py`'s, `tiles.js` keeps them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fraudstream.dashboard.readable import NOTHING, milliseconds, rate, short_id


class Tile(NamedTuple):
    """One counter: its figure, and the line under it."""

    key: str
    label: str
    figure: str
    line: str
    help: str


def tiles(stats: Mapping[str, Any]) -> list[Tile]:
    """The counters."""
    scored, alerts = stats["scored"], stats["alerts"]
    share = f"{alerts / scored * 100:.2f} % of payments" if scored else "none scored yet"
    to = "Payment to page" if stats["latency_to"] != "store" else "Payment to store"
    return [
        Tile(
            "payments",
            "Payments seen",
            f"{stats['payments_seen']:,}",
            f"≈ {scored:,} scored",
            "Payments that Kafka has acknowledged. How many of them are scored is known from samples (≈).",
        ),
        Tile("alerts", "Fraud alerts", f"{alerts:,}", share, "Payments whose score reaches the model's threshold."),
        Tile(
            "rate",
            "Payments a second",
            rate(stats["rate"]),
            f"≈ {stats['lag']:,} waiting",
            "Over the last ten seconds. Waiting: acknowledged, and not yet known to be scored (from samples, ≈).",
        ),
        Tile(
            "latency",
            to,
            milliseconds(stats["p50_ms"]),
            f"99 % within {milliseconds(stats['p99_ms'])}" if stats["p99_ms"] is not None else "none measured yet",
            "The median from a payment's production until its alert is written to a page (to the store while no page "
            "is open), over the last 1,000 alerts.",
        ),
        Tile(
            "unjudged",
            "Not judged",
            f"{stats['unscorable']:,}",
            "1 dead letter" if stats["dead_letters"] == 1 else f"{stats['dead_letters']:,} dead letters",
            "Payments with too much missing to be scored; they are never called legitimate. Dead letters are records "
            "that were no payments at all.",
        ),
        Tile(
            "model",
            "Model in force",
            short_id(stats["model_id"] or "") or NOTHING,
            NOTHING if stats["threshold"] is None else f"threshold {stats['threshold']:.4g}",
            stats["model_id"] or "No model has judged a payment yet.",
        ),
    ]
