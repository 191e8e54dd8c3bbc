"""What the ledger comes to, for `/api/ledger`, `/api/stats` and the page; `ledger_words.py` says it in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from fraudstream.alerts.ledger import COUNTS, LedgerPlace
from fraudstream.alerts.ledger_reading import LedgerReader
from fraudstream.alerts.positions import Place, Position
from fraudstream.alerts.store import AlertStore
from fraudstream.transactions.ledger import EntryKind

LISTED: Final = 100
"""Losses and gaps that are listed; the totals know of all."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger's partitions beside what Kafka holds of them."""

    places: Mapping[Place, LedgerPlace]
    gaps: Mapping[Place, int]
    positions: Mapping[Place, Position]

    @classmethod
    def read(cls, ledger: LedgerReader, positions: Mapping[Place, Position]) -> Self:
        """The state now."""
        return cls(ledger.places(), ledger.gap_counts(), positions)

    @property
    def complete(self) -> bool:
        """Whether each record up to the last finished batch has an outcome: no gap, and nothing lost."""
        return not self.gaps and not any(place.lost for place in self.places.values())

    def totals(self) -> dict[str, int]:
        """Records by outcome, and those lost."""
        return {name: sum(getattr(place, name) for place in self.places.values()) for name in (*COUNTS, "lost")}

    def partitions(self) -> list[dict[str, Any]]:
        """One line for each partition that the ledger knows or that has records."""
        filled = {place for place, position in self.positions.items() if position.end is not None}
        return [self._partition(place) for place in sorted(filled | set(self.places))]

    def summary(self) -> dict[str, Any]:
        """The figures of `/api/stats`."""
        totals = self.totals()
        return {
            "records": totals["records"],
            "open": sum(line["open"] for line in self.partitions()),
            "lost": totals["lost"],
            "complete": self.complete,
        }

    def _partition(self, place: Place) -> dict[str, Any]:
        position = self.positions.get(place)
        known = self.places.get(place)
        begin = position.begin if position is not None else 0
        known = known or LedgerPlace(place.topic, place.partition, "", begin)
        end = position.end if position is not None else None
        counts = {name: getattr(known, name) for name in (*COUNTS, "lost")}
        return {
            "topic": place.topic,
            "partition": place.partition,
            "topic_id": known.topic_id,
            "covered_until": known.covered_until,
            "end": end,
            "open": 0 if end is None else max(0, end - known.covered_until),
            **counts,
            "gaps": self.gaps.get(place, 0),
            "overlaps": known.overlaps,
        }


def ledger_report(store: AlertStore, *, before: int | None = None, limit: int = 100) -> dict[str, Any]:
    """All of it, with a page of the newest entries.

    Args:
        store: The alert store.
        before: Entries with a `seq` below this one; the newest where it is None.
        limit: How many.
    """
    state = LedgerState.read(store.ledger, store.positions())
    partitions = state.partitions()
    entries = store.ledger.entries(before=before, limit=limit)
    return {
        "totals": state.totals(),
        "open": sum(line["open"] for line in partitions),
        "complete": state.complete,
        "partitions": partitions,
        "gaps": store.ledger.gaps(limit=LISTED),
        "losses": store.ledger.entries(kind=EntryKind.LOSS, limit=LISTED),
        "entries": entries,
        "next_cursor": str(entries[-1]["seq"]) if len(entries) == limit else None,
    }
