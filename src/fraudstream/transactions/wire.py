"""The names of all that flows: topics, headers, keys of an alert and of an event, and the `event_id` of a row."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Final, NamedTuple


class Topic(StrEnum):
    """The topics; the names are a contract with the outside."""

    TRANSACTIONS = "credit_card_transactions"
    ALERTS = "fraud_alerts"
    UNSCORABLE = "transactions_unscorable"
    DEAD_LETTERS = "transactions_dead_letter"
    EVENTS = "detector_events"
    LEDGER = "detector_ledger"


OUTPUT_TOPICS: Final = (Topic.ALERTS, Topic.UNSCORABLE, Topic.DEAD_LETTERS, Topic.EVENTS)
"""Where the query writes; `LEDGER` is written beside it, once a batch is committed."""

RELAYED_TOPICS: Final = (*OUTPUT_TOPICS, Topic.LEDGER)

DEFAULT_MAX_RECORD_BYTES: Final = 1_048_588
"""Kafka's own default for `max.message.bytes`: a larger transaction ends as a dead letter."""

OUTPUT_LIMIT_FACTOR: Final = 4
"""An output record may be this many times the input's limit: a row carried twice, once escaped, is three times it."""

_HEADERS_AND_KEYS: Final = 262_144


def output_limit(max_record_bytes: int) -> int:
    """Largest output record in bytes, for the topics' `max.message.bytes` and the sink's `max.request.size`."""
    return OUTPUT_LIMIT_FACTOR * max_record_bytes + _HEADERS_AND_KEYS


class Outcome(StrEnum):
    """What became of a record; every acknowledged record ends in exactly one."""

    CLEAR = "clear"
    ALERT = "alert"
    UNSCORABLE = "unscorable"
    DEAD_LETTER = "dead_letter"


class RecordId(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """The record that `topic/partition/offset` names; raises ValueError where it names none."""
        found = re.fullmatch(r"(.+)/([0-9]{1,9})/([0-9]{1,18})", text, re.DOTALL)
        if found is None:
            raise ValueError(f"{text!r} is not topic/partition/offset")
        return cls(found[1], int(found[2]), int(found[3]))

    def __str__(self) -> str:
        """As `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class ReplayState(StrEnum):
    """How far a replay is; one that is `sending` may be on the topic already."""

    REQUESTED = "requested"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class Header(StrEnum):
    """The Kafka headers that fraudstream sets or reads."""

    EVENT_ID = "event_id"
    SOURCE_ROW = "source_row"
    PRODUCED_AT = "produced_at"
    REPLAY_OF = "replay_of"
    """On a record that was sent again by hand: `topic/partition/offset` of the one that it repeats."""
    REPLAY_ID = "replay_id"
    """On the same record: the id of the replay, the same on each copy of a record that a crash had sent twice."""
    ERROR_TOPIC = "__connect.errors.topic"
    ERROR_PARTITION = "__connect.errors.partition"
    ERROR_OFFSET = "__connect.errors.offset"
    ERROR_STAGE = "__connect.errors.stage"
    ERROR_MESSAGE = "__connect.errors.exception.message"
    ERROR_ORIGINAL_BYTES = "__connect.errors.original.bytes"


DEAD_LETTER_HEADERS: Final = (
    Header.ERROR_TOPIC,
    Header.ERROR_PARTITION,
    Header.ERROR_OFFSET,
    Header.ERROR_STAGE,
    Header.ERROR_MESSAGE,
    Header.ERROR_ORIGINAL_BYTES,
    Header.PRODUCED_AT,
)
"""What the detector adds to a dead letter's own headers, behind them and in this order."""

LONGEST_EVENT_ID: Final = 200
"""A longer `event_id` is not ours: the record is then known by its topic, partition and offset."""

LONGEST_KEY: Final = 65_536
"""A key is cut at this length in what leaves the detector, so that it cannot make a record too large for the sink."""


class AlertField(StrEnum):
    """The keys of an alert (and of an unscorable row, whose `score` is null)."""

    ALERT_ID = "alert_id"
    TOPIC = "topic"
    PARTITION = "partition"
    OFFSET = "offset"
    SOURCE_ROW = "source_row"
    PRODUCED_AT = "produced_at"
    DETECTED_AT = "detected_at"
    OUTCOME = "outcome"
    REASON = "reason"
    SCORE = "score"
    THRESHOLD = "threshold"
    MODEL_ID = "model_id"
    REVISION = "revision"
    SCHEMA_ID = "schema_id"
    IMPUTED = "imputed"
    REPLAY_OF = "replay_of"
    AS_TEXT = "as_text"
    """Paths of what is kept as text: it could not be carried as it came (`presentable.py`)."""
    TRANSACTION = "transaction"
    TRANSACTION_TEXT = "transaction_text"


REJECTED_BECAUSE: Final = "refused_because"
"""The key under which a record that could not be converted is posted with the reason, for the API to keep it."""


class DeadLetterField(StrEnum):
    """The keys of a dead letter, as the API takes and gives it."""

    TOPIC = "topic"
    PARTITION = "partition"
    OFFSET = "offset"
    EVENT_ID = "event_id"
    PRODUCED_AT = "produced_at"
    DETECTED_AT = "detected_at"
    REASON = "reason"
    KEY = "key"
    PAYLOAD = "payload_base64"
    HEADERS = "headers"
    ORIGINAL_BYTES = "original_bytes"
    DEAD_LETTER = "dead_letter"
    """The dead letter's own place, `topic/partition/offset`: where its bytes still are when the input's are gone."""


class EventType(StrEnum):
    """The kinds of record on `detector_events`, plus `position` (the relay's own) and `schema` (the dashboard's).

    `audit_head`, which the relay writes, is also the key of its record, by which the audit finds it.

    `status` comes every few seconds for as long as the detector lives, and says in `state` and `message` how it is.
    `partitions` says that the input topic has grown, or that a partition is read again; `starved` that one is not read.
    """

    SAMPLE = "sample"
    QUERY = "query"
    MODEL = "model"
    PROGRESS = "progress"
    STATUS = "status"
    LOSS = "loss"
    PARTITIONS = "partitions"
    STARVED = "starved"
    POSITION = "position"
    SCHEMA = "schema"
    AUDIT_HEAD = "audit_head"


class EventField(StrEnum):
    """The keys of an event."""

    EVENT_ID = "event_id"
    TYPE = "type"
    AT = "at"
    MESSAGE = "message"
    TOPIC = "topic"
    PARTITION = "partition"
    OFFSET = "offset"
    PRODUCED_AT = "produced_at"
    SCORE = "score"
    OUTCOME = "outcome"
    IMPUTED = "imputed"
    TRANSACTION_TEXT = "transaction_text"
    SCHEMA_ID = "schema_id"
    COLUMNS = "columns"
    COLUMN_COUNT = "column_count"
    VALUES = "values"
    POSITIONS = "positions"
    MODEL_ID = "model_id"
    REVISION = "revision"
    THRESHOLD = "threshold"
    RUN_ID = "run_id"
    STATE = "state"
    TROUBLE = "trouble"


class DetectorState(StrEnum):
    """What a `status` event says in `state`."""

    STARTING = "starting"
    RUNNING = "running"
    FAILING = "failing"


def event_id(run_id: str, fingerprint: str, pass_number: int, row: int) -> str:
    """The id of one row of one pass of one run: 32 hexadecimal digits.

    A row sent again within a run has the same id; a new run has new ones.
    """
    name = f"{run_id}/{fingerprint}/{pass_number}/{row}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
