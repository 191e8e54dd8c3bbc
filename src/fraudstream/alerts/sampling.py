"""The set of columns in a sample or an alert, and how many transactions a sample represents: the one estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fraudstream.alerts.positions import Place
from fraudstream.messages.posted import PostedAlert, Sample
from fraudstream.transactions.drift import UNKNOWN, columns_of, listed
from fraudstream.transactions.masking import REMOVED
from fraudstream.transactions.wire import Outcome

LONGEST_ID: Final = 32


@dataclass(frozen=True, slots=True)
class Sight:
    """A row of which the columns are known: a sample (`outcome` is None), an alert or an unscorable row.

    `columns` has the type by name, as far as they are listed; `place` is None where the row does not say its own.
    """

    schema_id: str
    columns: Mapping[str, str]
    column_count: int
    place: Place | None
    offset: int | None
    produced_us: int | None
    outcome: Outcome | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all its columns are listed."""
        return len(self.columns) == self.column_count

    @property
    def where(self) -> str:
        """topic[partition] offset, empty where it is not told."""
        return "" if self.place is None else f"{self.place.topic}[{self.place.partition}] {self.offset}"


def sight_of_sample(sample: Sample) -> Sight | None:
    """The sight in a sample; None where it has no `schema_id`."""
    if sample.schema_id is None or sample.columns is None:
        return None
    count, place = max(sample.column_count or 0, len(sample.columns)), Place(sample.topic, sample.partition)
    return Sight(sample.schema_id, listed(sample.columns), count, place, sample.offset, sample.produced_us)


def sight_of_alert(alert: PostedAlert) -> Sight | None:
    """The sight in an alert or unscorable row; None where it tells no usable `schema_id`."""
    schema = alert.schema_id
    if not schema or len(schema) > LONGEST_ID:
        return None
    columns = columns_of(alert.transaction)
    # Its id was worked out before they were removed.
    removed = alert.document.get(REMOVED)
    columns |= {name: UNKNOWN for name in removed if isinstance(name, str)} if isinstance(removed, list) else {}
    place = None if alert.topic is None or alert.partition is None else Place(alert.topic, alert.partition)
    return Sight(schema, listed(columns), len(columns), place, alert.offset, alert.produced_us, alert.outcome)


class SampleWeights:
    """How many transactions a sample represents: those since the sample before it on its partition."""

    REPLAY_US: Final = 5_000_000
    """A smaller offset of a transaction produced so much later is no replay: the topic was made anew."""

    def __init__(self, last: Mapping[Place, tuple[int, int]] | None = None) -> None:
        """Start from the last offset and time of each partition."""
        self._last = dict(last or {})

    def copy(self) -> SampleWeights:
        """Another one in the same state."""
        return SampleWeights(self._last)

    def weigh(self, place: Place, offset: int, produced_us: int | None) -> int:
        """The weight of a sample: 1 for the first of its partition, 0 for a transaction that was read again."""
        at_us = produced_us or 0
        known = self._last.get(place)
        if known is not None and offset <= known[0] and at_us <= known[1] + self.REPLAY_US:
            return 0
        self._last[place] = (offset, at_us)
        return 1 if known is None or offset <= known[0] else offset - known[0]
