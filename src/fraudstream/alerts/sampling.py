"""The set of columns in a sample or an alert, and how many transactions a sample represents: the one estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraudstream.alerts.positions import Place, reports
from fraudstream.alerts.validation import CheckedAlert, Unfit, instant, integer, text
from fraudstream.transactions.masking import REMOVED
from fraudstream.transactions.schema import UNKNOWN, columns_of, listed
from fraudstream.transactions.wire import AlertField, EventField, EventType, Outcome

LONGEST_ID: Final = 32


@dataclass(frozen=True, slots=True)
class Sight:
    """A row of which the columns are known: a sample, an alert or an unscorable row.

    Attributes:
        columns: Type by name, as far as they are listed.
        place: Topic and partition of the row, where it is told.
        outcome: None for a sample.
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


def sight_of_alert(alert: CheckedAlert) -> Sight | None:
    """The sight in an alert or unscorable row; None where it tells no usable `schema_id`."""
    schema = alert.document.get(AlertField.SCHEMA_ID)
    if not isinstance(schema, str) or not 1 <= len(schema) <= LONGEST_ID:
        return None
    columns = columns_of(alert.document[AlertField.TRANSACTION])
    # Its id was worked out before they were removed.
    removed = alert.document.get(REMOVED)
    columns |= {name: UNKNOWN for name in removed if isinstance(name, str)} if isinstance(removed, list) else {}
    place = None if alert.topic is None or alert.partition is None else Place(alert.topic, alert.partition)
    return Sight(schema, listed(columns), len(columns), place, alert.offset, alert.produced_us, alert.outcome)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled transaction; `event` is the whole record, `rows` how many transactions it represents."""

    event: Mapping[str, Any]
    place: Place
    offset: int
    produced_us: int | None
    sight: Sight | None
    rows: int = 0


def check_sample(event: Mapping[str, Any]) -> Sample | None:
    """The sample in an event, its weight not known yet; None for any other event.

    Raises:
        Unfit: A value in it cannot be used.
    """
    if event.get(EventField.TYPE) != EventType.SAMPLE:
        return None
    (report,) = reports(event)
    place, offset, produced_us = report.place, (report.position or 0) - 1, instant(event, EventField.PRODUCED_AT)
    schema = text(event, EventField.SCHEMA_ID)
    if schema is None:
        return Sample(event, place, offset, produced_us, None)
    columns, count = event.get(EventField.COLUMNS), integer(event, EventField.COLUMN_COUNT)
    if not isinstance(columns, dict) or not all(isinstance(kind, str) for kind in columns.values()):
        raise Unfit("columns must be an object of types by name")
    if not 1 <= len(schema) <= LONGEST_ID:
        raise Unfit(f"schema_id must be text of 1 to {LONGEST_ID} characters")
    sight = Sight(schema, listed(columns), max(count or 0, len(columns)), place, offset, produced_us)
    return Sample(event, place, offset, produced_us, sight)


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
