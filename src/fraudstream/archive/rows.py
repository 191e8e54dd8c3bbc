"""Converts records of the input topic into the rows of an archive: masked, with event id, event time and entity ids."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import orjson
import structlog
from confluent_kafka import Message

from fraudstream.errors import SchemaRegistryFailed
from fraudstream.history.identity import KEYED, entity_id
from fraudstream.kafka.reading import headers_of
from fraudstream.messages.base import Object
from fraudstream.model.manifest import FeatureType, Manifest
from fraudstream.times import microseconds
from fraudstream.transactions.entities import UNKNOWN, EntityColumns, entities_of
from fraudstream.transactions.envelope import LIST, envelope_paths, steps
from fraudstream.transactions.masking import FRAME_BYTES, DataMask
from fraudstream.transactions.notation import canonical_date
from fraudstream.transactions.presentable import present, read_json
from fraudstream.transactions.reading_options import DateOrder
from fraudstream.transactions.times import LAST_SECOND
from fraudstream.transactions.wire import LONGEST_EVENT_ID, AlertField, Header, RecordId

log = structlog.get_logger(__name__)

_LAST_MS: Final = int(LAST_SECOND) * 1000
_ID, _TRANSACTION = AlertField.ALERT_ID.value, AlertField.TRANSACTION.value


class Row(NamedTuple):
    """A row of an archive, as `archive_files.SCHEMA` has it; times are in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    list_index: int | None
    timestamp: int
    event_id: str
    event_time: int | None
    entity_ids: Sequence[tuple[str, str]]
    text: str | None


@dataclass(frozen=True)
class ModelColumns:
    """What a model's manifest says about the columns of a transaction.

    Attributes:
        times: The names of the column of the event time, that of the training last; empty if Kafka's timestamp counts.
        clock: Its units per second, if it counts from 1970; None for a date.
    """

    entities: EntityColumns = UNKNOWN
    times: tuple[str, ...] = ()
    clock: int | None = None
    date_order: DateOrder | None = None

    @classmethod
    def of(cls, manifest: Manifest, aliases: Mapping[str, str]) -> Self:
        """Take them from a manifest; `aliases` go from a new name to that of the training."""
        entities = UNKNOWN
        if manifest.entities is not None:
            entities = EntityColumns(manifest.entities, frozenset(manifest.columns).difference(manifest.entities))
        for feature in manifest.features:
            column = feature.name if feature.type is FeatureType.TIME else feature.reference
            if column is not None and column == manifest.time_column:
                times = (*(new for new, old in aliases.items() if old == column), column)
                return cls(entities, times, feature.clock, feature.date_order)
        return cls(entities)

    def event_time(self, transaction: Object, timestamp: int) -> int | None:
        """Return the transaction's own time in milliseconds, or Kafka's; None if it cannot be read."""
        if not self.times:
            return timestamp
        value = next((transaction[name] for name in self.times if transaction.get(name) is not None), None)
        try:
            if self.clock is None:
                date = canonical_date(str(value).strip(), self.date_order or DateOrder.YMD)
                milliseconds = math.nan if date is None else microseconds(datetime.fromisoformat(date)) / 1000
            else:
                milliseconds = float(str(value)) / self.clock * 1000
        except (ValueError, OverflowError):
            return None
        return int(milliseconds) if abs(milliseconds) <= _LAST_MS else None


@dataclass
class RowConverter:
    """Converts records; `columns` are those of the active model.

    Attributes:
        secret: The key of the ids of card numbers.
        envelope: Where the transaction is in a record, as in the setting.
        max_record_bytes: A longer value is no transaction, as in the detector.
        avro: Decodes Avro; None without a schema registry.
    """

    mask: DataMask
    secret: bytes
    envelope: str
    max_record_bytes: int
    avro: Callable[[bytes], Object | None] | None = None
    columns: ModelColumns = field(default_factory=ModelColumns)

    def rows(self, message: Message) -> list[Row]:
        """Return the rows of a record, one at least; any error is the record's own, and its text is then null.

        Raises SchemaRegistryFailed, with which nothing is wrong with the record.
        """
        record = RecordId(str(message.topic()), message.partition() or 0, message.offset() or 0)
        timestamp = min(max(message.timestamp()[1], 0), _LAST_MS)
        try:
            event_id = _event_id(message)
        except ValueError:  # the name of a header is not UTF-8
            event_id = ""
        try:
            transactions = self._transactions(message.value())
            return [self._row(record, timestamp, event_id, *each) for each in transactions]
        except SchemaRegistryFailed:
            raise
        except Exception as e:
            log.error("cannot convert a record", record=str(record), reason=type(e).__name__)
            return [self._row(record, timestamp, "", None, None)]

    def _row(
        self, record: RecordId, timestamp: int, event_id: str, index: int | None, transaction: Object | None
    ) -> Row:
        suffix = "" if index is None else f"/{index}"
        is_valid = 1 <= len(event_id) <= LONGEST_EVENT_ID - len(suffix)
        document: Object = {_ID: f"{event_id if is_valid else record}{suffix}"}
        if transaction is None:
            return Row(*record, index, timestamp, self.mask.record(document)[_ID], timestamp, (), None)
        document[_TRANSACTION] = transaction
        # As the relay does with an alert, so that both have the same event id.
        present(document)
        masked = self.mask.record(document)
        return Row(
            *record,
            index,
            timestamp,
            masked[_ID],
            self.columns.event_time(transaction, timestamp),
            self._entity_ids(transaction, masked[_TRANSACTION]),
            orjson.dumps(masked[_TRANSACTION], option=orjson.OPT_NON_STR_KEYS).decode(),
        )

    def _entity_ids(self, transaction: Object, masked: Object) -> list[tuple[str, str]]:
        ids: list[tuple[str, str]] = []
        for column, value in entities_of(transaction, self.columns.entities):
            each = entity_id(value, self.secret)
            # What is masked for another reason than a card number stands under its masked value; a secret nowhere.
            if masked.get(column) == transaction[column] or (each.startswith(KEYED) and column in masked):
                ids.append((column, each))
            elif isinstance(masked.get(column), str):
                ids.append((column, masked[column]))
        return ids

    def _transactions(self, value: Any) -> list[tuple[int | None, Object | None]]:
        """Return the transactions of a record with their indexes in a list; one None if there is none."""
        content = value if isinstance(value, bytes) and len(value) <= self.max_record_bytes else b""
        is_avro = self.avro is not None and content[:1] == b"\0" and len(content) >= FRAME_BYTES
        parsed = self.avro(content) if self.avro is not None and is_avro else _object(content)
        objects = list[Object]()
        for path in envelope_paths(self.envelope) or ("",):
            elements: list[Any] = [parsed]
            for step in steps(path):
                if step == LIST:
                    elements = [inner for each in elements if isinstance(each, list) for inner in each]
                else:
                    elements = [each[step] for each in map(_object, elements) if each is not None and step in each]
            objects = [each for each in map(_object, elements) if each is not None]
            if objects:
                break
        if LIST in self.envelope:
            return list(enumerate(objects)) or [(None, None)]
        return [(None, objects[0] if objects else None)]


def _object(value: Any) -> Object | None:
    """Return an object, also one that is written as text; None for anything else."""
    if isinstance(value, str | bytes):
        try:
            value = read_json(value.encode(errors="replace") if isinstance(value, str) else value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _event_id(message: Message) -> str:
    """Return the text of the first header of that name; empty if there is none, or it is not UTF-8."""
    value = next((value for name, value in headers_of(message) if name == Header.EVENT_ID), None)
    return (value or b"").decode()
