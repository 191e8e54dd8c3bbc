"""Converts records of the input topic into the rows of an archive: masked, with event id, event time and entity ids."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import orjson
import structlog
from confluent_kafka import Message

from fraudstream.errors import SchemaRegistryFailed
from fraudstream.history.identity import entity_id, entity_value, member
from fraudstream.history.spec import names_of
from fraudstream.kafka.reading import header_text, headers_of
from fraudstream.messages.base import Object
from fraudstream.model.explanation.cells import moment
from fraudstream.model.manifest import FeatureType, Manifest
from fraudstream.transactions.entities import UNKNOWN, EntityColumns, entities_of
from fraudstream.transactions.envelope import LIST, unwrapped
from fraudstream.transactions.masking import FRAME_BYTES, DataMask
from fraudstream.transactions.presentable import present, read_json
from fraudstream.transactions.reading_options import DateOrder
from fraudstream.transactions.times import LAST_SECOND
from fraudstream.transactions.wire import LONGEST_EVENT_ID, AlertField, Header, RecordId

log = structlog.get_logger(__name__)

MOST_ELEMENTS: Final = 50_000  # of a list; a megabyte of {} would become 350,000 rows
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
        history: The names of the columns of the entities whose history the model reads, which may be nested.
    """

    entities: EntityColumns = UNKNOWN
    times: Sequence[str] = ()
    clock: int | None = None
    date_order: DateOrder | None = None
    history: Sequence[str] = ()

    @classmethod
    def of(cls, manifest: Manifest, aliases: Mapping[str, str]) -> Self:
        """Take them from a manifest; `aliases` go from a new name to that of the training."""
        entities, keys = UNKNOWN, () if manifest.history is None else manifest.history.entities
        history = [name for each in keys for name in names_of(each.column, aliases)]
        if manifest.entities is not None:
            entities = EntityColumns(manifest.entities, frozenset(manifest.columns).difference(manifest.entities))
        for feature in manifest.features:
            column = feature.name if feature.type is FeatureType.TIME else feature.reference
            if column is not None and column == manifest.time_column:
                return cls(entities, names_of(column, aliases), feature.clock, feature.date_order, history)
        return cls(entities, history=history)

    def event_time(self, transaction: Object, timestamp: int) -> int | None:
        """Return the transaction's own time in milliseconds, or Kafka's; None if it cannot be read."""
        if not self.times:
            return timestamp
        value = next((transaction[name] for name in self.times if transaction.get(name) is not None), None)
        seconds = moment(None if value is None else str(value), self.clock, self.date_order)
        return None if seconds is None else round(seconds * 1000)


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
            elements = unwrapped(self._content(message.value()), self.envelope)
            objects: list[Object | None] = [each for each in elements if isinstance(each, dict)]
            if len(objects) > MOST_ELEMENTS:
                log.error("a record has too many transactions; none is archived", record=str(record))
                objects = []
            indexed: list[tuple[int | None, Object | None]] = [(None, objects[0] if objects else None)]
            if LIST in self.envelope and objects:
                indexed = list(enumerate(objects))
            return [self._row(record, timestamp, event_id, *each, message.value()) for each in indexed]
        except SchemaRegistryFailed:
            raise
        except Exception as e:
            log.error("cannot convert a record", record=str(record), reason=type(e).__name__)
            return [self._row(record, timestamp, "")]

    def _content(self, value: Any) -> Any:
        if not isinstance(value, bytes) or len(value) > self.max_record_bytes:
            return None
        if self.avro is not None and value[:1] == b"\0" and len(value) >= FRAME_BYTES:
            return self.avro(value)
        try:
            content = read_json(value)
        except ValueError:
            return None
        return None if isinstance(content, str) else content

    def _row(
        self,
        record: RecordId,
        timestamp: int,
        event_id: str,
        index: int | None = None,
        transaction: Object | None = None,
        content: Any = None,
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
        event_time = self.columns.event_time(transaction, timestamp)
        ids = self._entity_ids(transaction, masked[_TRANSACTION], content)
        text = orjson.dumps(masked[_TRANSACTION], option=orjson.OPT_NON_STR_KEYS).decode()
        return Row(*record, index, timestamp, masked[_ID], event_time, ids, text)

    def _entity_ids(self, transaction: Object, masked: Object, content: Any) -> list[tuple[str, str]]:
        ids: list[tuple[str, str]] = []
        values = {name: value for name in self.columns.history if (value := entity_value(transaction, name))}
        for column, value in (values | dict(entities_of(transaction, self.columns.entities))).items():
            own = member(transaction, column)
            if isinstance(own, float):  # as it is written, like Kafka's key
                value = entity_value(content, column, self.envelope) or value
            each, stored = entity_id(value, self.secret), member(masked, column)
            # What is masked for another reason than a card number stands under its masked value; a secret nowhere.
            if stored != own and each == value:
                each = str(stored)
            if stored is not None:
                ids.append((column, each))
        return ids


def _event_id(message: Message) -> str:
    try:
        return header_text(headers_of(message), Header.EVENT_ID) or ""
    except ValueError:
        return ""
