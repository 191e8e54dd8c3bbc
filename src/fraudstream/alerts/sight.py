"""The sight of a set of columns, from a sample or an alert; `sights.py` keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraudstream.alerts.positions import Place
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


def sight_of_sample(event: Mapping[str, Any]) -> Sight | None:
    """The sight in a sample; None where it tells no `schema_id`.

    Raises:
        Unfit: It tells one that cannot be used.
    """
    schema = text(event, EventField.SCHEMA_ID)
    if event.get(EventField.TYPE) != EventType.SAMPLE or schema is None:
        return None
    columns, count = event.get(EventField.COLUMNS), integer(event, EventField.COLUMN_COUNT)
    if not isinstance(columns, dict) or not all(isinstance(kind, str) for kind in columns.values()):
        raise Unfit("columns must be an object of types by name")
    if not 1 <= len(schema) <= LONGEST_ID:
        raise Unfit(f"schema_id must be text of 1 to {LONGEST_ID} characters")
    topic, partition = text(event, EventField.TOPIC), integer(event, EventField.PARTITION)
    place = None if topic is None or partition is None else Place(topic, partition)
    return Sight(
        schema,
        listed(columns),
        max(count or 0, len(columns)),
        place,
        integer(event, EventField.OFFSET),
        instant(event, EventField.PRODUCED_AT),
    )


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
