"""Defines the names in Kafka records: topics, headers, keys of alerts and events, and the `event_id`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple


class Topic(StrEnum):
    """The topics; their names are a public contract."""

    TRANSACTIONS = "credit_card_transactions"
    ALERTS = "fraud_alerts"
    UNSCORABLE = "transactions_unscorable"
    DEAD_LETTERS = "transactions_dead_letter"
    EVENTS = "detector_events"
    LEDGER = "detector_ledger"
    VERDICTS = "fraud_verdicts"


OUTPUT_TOPICS: Final = (Topic.ALERTS, Topic.UNSCORABLE, Topic.DEAD_LETTERS, Topic.EVENTS)
"""The topics that the query writes; `LEDGER` is written once a batch is committed, and `VERDICTS` by the relay."""

RELAYED_TOPICS: Final = (*OUTPUT_TOPICS, Topic.LEDGER)

DEFAULT_MAX_RECORD_BYTES: Final = 1_048_588
"""Kafka's default for `max.message.bytes`: a larger transaction becomes a dead letter."""

OUTPUT_LIMIT_FACTOR: Final = 4
"""Output limit as a multiple of the input limit: a transaction contained twice, once escaped, is three times it."""

_HEADERS_AND_KEYS: Final = 262_144


def output_limit(max_record_bytes: int) -> int:
    """Return the largest output record in bytes, for `max.message.bytes` and the sink's `max.request.size`."""
    return OUTPUT_LIMIT_FACTOR * max_record_bytes + _HEADERS_AND_KEYS


class Outcome(StrEnum):
    """The outcome of a record; every acknowledged record has exactly one."""

    CLEAR = "clear"
    ALERT = "alert"
    UNSCORABLE = "unscorable"
    DEAD_LETTER = "dead_letter"


REMARKABLE: Final = (Outcome.ALERT, Outcome.UNSCORABLE, Outcome.DEAD_LETTER)
"""The outcomes that produce an output record."""


class RecordId(NamedTuple):
    """The position of a record."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """Parse `topic/partition/offset`; raises ValueError if it is not one."""
        match = re.fullmatch(r"(.+)/([0-9]{1,9})/([0-9]{1,18})", text, re.DOTALL)
        if match is None:
            raise ValueError(f"{text!r} is not topic/partition/offset")
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        """Format as `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class ReplayState(StrEnum):
    """The state of a replay; one that is `sending` may already be on the topic."""

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
    """On a manually replayed record: `topic/partition/offset` of the original."""
    REPLAY_ID = "replay_id"
    """On a replayed record: the id of the replay, the same on each copy if a crash sent it twice."""
    ERROR_TOPIC = "__connect.errors.topic"
    ERROR_PARTITION = "__connect.errors.partition"
    ERROR_OFFSET = "__connect.errors.offset"
    ERROR_STAGE = "__connect.errors.stage"
    ERROR_MESSAGE = "__connect.errors.exception.message"
    ERROR_ORIGINAL_BYTES = "__connect.errors.original.bytes"


Headers = Sequence[tuple[str, bytes | None]]

DEAD_LETTER_HEADERS: Final = (*(each for each in Header if each.startswith("__connect.")), Header.PRODUCED_AT)
"""Headers that the detector appends to a dead letter's own headers, in this order."""

LONGEST_EVENT_ID: Final = 200
"""A longer `event_id` is not ours: the record is then identified by its topic, partition and offset."""

KEYED: Final = "hmac:"
"""Begins the id of an entity whose value is a card number (see `history.identity.entity_id`)."""

LONGEST_KEY: Final = 65_536
"""A key is truncated to this length in the detector's output, so that no record is too large for the sink."""


class AlertField(StrEnum):
    """The keys of an alert (and of an unscorable transaction, whose `score` is null)."""

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
    ENTITY_IDS = "entity_ids"
    """By kind of entity of the history, its id; like the next three only of a model with a history."""
    HISTORY = "history"
    """By history feature, its value; null if missing."""
    PROFILE_DATE = "profile_date"
    """The date of the daily profiles."""
    STATE_FORMAT = "state_format"
    REPLAY_OF = "replay_of"
    AS_TEXT = "as_text"
    """Paths of values stored as text because they cannot be represented (`presentable.py`)."""
    TRANSACTION = "transaction"
    TRANSACTION_TEXT = "transaction_text"


REJECTED_BECAUSE: Final = "refused_because"
"""The key for the reason when a record that could not be converted is posted, for the API to store it."""


class DeadLetterField(StrEnum):
    """The keys of a dead letter in the API."""

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
    """The dead letter's own `topic/partition/offset`, where its bytes remain after the input's are deleted."""


class EventType(StrEnum):
    """The types of record on `detector_events`, plus `position` (from the relay) and `schema` (from the dashboard).

    `audit_head`, which the relay writes, is also the key of its record, by which the audit finds it.

    `status` is sent every few seconds while the detector runs, with its `state` and `message`. `partitions` reports
    that the input topic has grown, or that a partition is read again; `starved` that one is not read; `cluster` that
    Spark waits for cores, has lost an executor or has a new one, or tries failed tasks again; `history` that payments
    lack theirs.
    """

    SAMPLE = "sample"
    QUERY = "query"
    MODEL = "model"
    PROGRESS = "progress"
    STATUS = "status"
    LOSS = "loss"
    PARTITIONS = "partitions"
    STARVED = "starved"
    CLUSTER = "cluster"
    HISTORY = "history"
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
    """The `state` of a `status` event."""

    STARTING = "starting"
    RUNNING = "running"
    FAILING = "failing"


def event_id(run_id: str, fingerprint: str, pass_number: int, row: int) -> str:
    """Return the id of one row in one pass of one run: 32 hexadecimal digits.

    A row sent again within a run has the same id; a new run has new ones.
    """
    name = f"{run_id}/{fingerprint}/{pass_number}/{row}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
