"""Copies a topic to one that is keyed by a column, so that the transactions of an entity keep their order there.

The copies are written in the same Kafka transactions as the positions in the source: a copy that is killed continues
after its last transaction, and no consumer with `read_committed` reads a record twice.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from itertools import islice
from typing import Any, Final

import fastavro
import orjson
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.errors import KafkaFailure, SettingsError
from fraudstream.history.identity import LONGEST_VALUE, entity_value
from fraudstream.kafka.client import Cluster, denied, failure
from fraudstream.kafka.merging import FETCH_SECONDS, UNREACHABLE, TopicMerge
from fraudstream.kafka.producer import OF_KEY
from fraudstream.kafka.reading import (
    READ_SECONDS,
    headers_of,
    open_reader,
    partitions_of,
    read_topics,
    retry,
    watermarks_of,
)
from fraudstream.kafka.replay import Headers, with_event_id
from fraudstream.kafka.rights import rekey_name
from fraudstream.kafka.schema_registry import SchemaRegistry
from fraudstream.kafka.topics import ensure_copy, topic_layout
from fraudstream.transactions.wire import LONGEST_EVENT_ID, RecordId

log = structlog.get_logger(__name__)

MOST_TOGETHER: Final = 10_000
"""Records of a transaction."""

_ADDED_BYTES: Final = 4 * LONGEST_VALUE + 2 * LONGEST_EVENT_ID
"""By which a copy may be larger than the original: a key, and an event id."""
_REQUEST_SECONDS: Final = 5.0
_COMMIT_SECONDS: Final = 60.0
"""After which positions are committed without a record too, as Kafka forgets those of a group that rests for a week."""

_NO_COORDINATOR: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
"""Of the group, for a moment after the start of a broker."""
_ABORTED: Final = frozenset({"_MSG_TIMED_OUT", "_PURGE_QUEUE", "_PURGE_INFLIGHT", "_TRANSPORT"})


def key_reader(column: str, envelope: str, registry: SchemaRegistry | None) -> Callable[[bytes | None], str | None]:
    """Return a function from a record's value, JSON or Avro, to its key: None if it has none, as a dead letter.

    It raises SchemaRegistryFailed.
    """

    @lru_cache(maxsize=10_000)
    def avro_schema(schema_id: int) -> Any:
        text = registry.schema(schema_id) if registry is not None else None
        with suppress(ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException):
            return fastavro.parse_schema(orjson.loads(text or ""))
        return None

    def key_of(value: bytes | None) -> str | None:
        if value is None or registry is None or len(value) < 5 or value[0]:
            return None if value is None else entity_value(value, column, envelope)
        schema = avro_schema(int.from_bytes(value[1:5], "big"))
        try:
            record: Any = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
        except Exception:  # whatever does not match its schema is a dead letter
            return None
        return entity_value(record, column, envelope) if isinstance(record, dict) else None

    return key_of


@dataclass(frozen=True)
class RekeyPlan:
    """The options of a copy.

    Attributes:
        key: Returns the key of a record's value (see `key_reader`).
        partitions: Of the target, if it is created; None for as many as the source has.
        follow: Continue at the present end of the source, until stopped.
    """

    cluster: Cluster
    source: str
    target: str
    key: Callable[[bytes | None], str | None]
    partitions: int | None = None
    follow: bool = False

    @property
    def name(self) -> str:
        """The group whose positions are those of the copy, and the transactional id, which admits one process."""
        return rekey_name(self.target)


@dataclass
class RekeyProgress:
    """Counts of this process: records `copied`, those of them with a key, and those that retention deleted before."""

    copied: int = 0
    keyed: int = 0
    lost: int = 0
    seconds: float = 0.0

    def summary(self, target: str) -> str:
        """Summarise the copy in a few lines."""
        without = f", {self.copied - self.keyed:,} of them without a key" if self.keyed < self.copied else ""
        lines = [f"{self.copied:,} records copied to {target} in {self.seconds:,.1f} s{without}"]
        if self.lost:
            lines.append(f"  up to {self.lost:,} records were deleted by retention before they were copied")
        lines.append(f"  for commands that read it: FRAUDSTREAM_KAFKA_TOPIC_TRANSACTIONS={target}")
        return "\n".join(lines)


def rekey(
    plan: RekeyPlan, stopped: threading.Event, show: Callable[[RekeyProgress], None] = lambda progress: None
) -> RekeyProgress:
    """Copy the records that were not copied yet, in the order of their timestamps, until the present end or `stopped`.

    Value, headers, event id and timestamp are those of the original. A record without key goes to the partition
    `offset % partitions`. The target is created if it is missing. While Kafka does not answer, the copy waits for it.

    Raises:
        KafkaFailure: As `ensure_copy`; or Kafka refuses a record, the target has other records, another process copies.
        SettingsError: Source and target are the same, or the records do not have the column.
        SchemaRegistryFailed: The schema registry does not answer.
    """
    if plan.source == plan.target:
        raise SettingsError("a topic cannot be copied to itself", where="--to", remedy="name another topic")
    ensure_copy(plan.cluster, plan.source, plan.target, plan.partitions, _ADDED_BYTES)
    partitions, limit = topic_layout(plan.cluster, plan.target)
    options = {"transactional.id": plan.name, "message.max.bytes": limit, "delivery.report.only.error": True}
    copy = _Copy(plan, partitions, Producer(plan.cluster.producer() | options), stopped, show)
    try:
        # Ends the open transaction of a process that was killed.
        copy.request(copy.producer.init_transactions)
        while not copy.run():
            log.info("the copy begins again after its last transaction", topic=plan.target)
    except KafkaException as e:
        raise _failure(plan, e) from e
    finally:
        with suppress(KafkaException):
            copy.producer.abort_transaction(_REQUEST_SECONDS)
    return copy.progress


def _failure(plan: RekeyPlan, e: KafkaException) -> KafkaFailure:
    code = e.args[0].name()
    if code == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED":
        return denied(plan.cluster, "WRITE", f"transactional id {plan.name}")
    if code == "GROUP_AUTHORIZATION_FAILED":
        return denied(plan.cluster, "READ", f"group {plan.name}")
    if code in ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"):
        what, remedy = f"another process copies to {plan.target}", "stop it, or let it finish"
        return KafkaFailure(what, where=plan.cluster.bootstrap_servers, remedy=remedy)
    what, remedy = f"cannot copy {plan.source}", "check the broker's log; the same command continues the copy"
    return failure(what, e, plan.cluster, "WRITE", f"topic {plan.target}", remedy)


@dataclass
class _Copy:
    plan: RekeyPlan
    partitions: int
    producer: Producer
    stopped: threading.Event
    show: Callable[[RekeyProgress], None]
    progress: RekeyProgress = field(default_factory=RekeyProgress)
    _refusals: list[tuple[RecordId, KafkaError | None]] = field(default_factory=list)
    _is_new: bool = False
    _started: float = field(default_factory=time.monotonic)

    def run(self) -> bool:
        """Copy from the committed positions on; False if the copy must begin there again. Raises KafkaException."""
        try:
            return self._run()
        except KafkaException as e:
            # Not those of a request of the producer, which waits itself.
            if e.args[0].name() not in UNREACHABLE or self.stopped.wait(1.0):
                raise
            log.warning("Kafka does not answer; the copy waits for it", reason=e.args[0].str())
            return False

    def _run(self) -> bool:
        plan = self.plan
        with open_reader(plan.cluster, group_id=plan.name, fetch_wait_max_ms=int(1000 * FETCH_SECONDS)) as consumer:
            begins = self._begins(consumer)
            # What arrives meanwhile is copied, but not waited for.
            ends = {each: watermarks_of(consumer, plan.source, each)[1] for each in begins}
            merge, due = TopicMerge(consumer, plan.source, begins), time.monotonic() + _COMMIT_SECONDS
            while not self.stopped.is_set() and (plan.follow or not merge.has_reached(ends)):
                if not merge.fetch():
                    return False
                records, is_due = list(islice(merge.in_order(), MOST_TOGETHER)), time.monotonic() > due
                if (records or is_due) and not self._commit(records, merge.positions, consumer):
                    return False
                if is_due:
                    if len(partitions_of(consumer, plan.source)) > len(begins):
                        return False
                    due = time.monotonic() + _COMMIT_SECONDS
                self.progress.seconds = time.monotonic() - self._started
                self.show(self.progress)
        return True

    def request(self, call: Callable[[float], None]) -> None:
        """Repeat a request of the producer until Kafka answers; raises KafkaException, also when stopped meanwhile."""
        while True:
            try:
                call(_REQUEST_SECONDS)
                return
            except KafkaException as e:
                if not e.args[0].retriable() or self.stopped.is_set():
                    raise
                log.warning("Kafka does not answer; the copy waits for it", reason=e.args[0].str())

    def _begins(self, consumer: Consumer) -> dict[int, int]:
        """Return the offset of each partition from which on it was not copied yet."""
        source, target, begins = self.plan.source, self.plan.target, dict[int, int]()
        partitions = [TopicPartition(source, each) for each in partitions_of(consumer, source)]
        answer = retry(lambda: consumer.committed(partitions, timeout=READ_SECONDS), READ_SECONDS, _NO_COORDINATOR)
        committed = {each.partition: each.offset for each in answer}
        self._is_new = all(offset < 0 for offset in committed.values())
        if self._is_new and any(True for _ in read_topics(consumer, target)):
            what = f"the topic {target} has records, but no position up to which {source} was copied to it"
            remedy = "name another topic with --to; Kafka forgets a position that nobody commits for a week"
            raise KafkaFailure(what, where=self.plan.cluster.bootstrap_servers, remedy=remedy)
        for partition, offset in committed.items():
            first, end = watermarks_of(consumer, source, partition)
            position = f"{source}[{partition}] {offset}"
            if offset > end:
                what = f"the topic {source} ends before the position up to which it was copied: it was created again"
                raise KafkaFailure(what, where=position, remedy="name another topic with --to")
            if 0 <= offset < first:
                self.progress.lost += first - offset
                log.warning("retention has deleted records before they were copied", record=position, until=first)
            begins[partition] = max(offset, first)
        return begins

    def _commit(self, records: list[Message], positions: dict[int, int], consumer: Consumer) -> bool:
        """Copy records, with the positions after them, in one transaction; False if it was aborted."""
        producer, target = self.producer, self.plan.target
        keys = [self.plan.key(record.value()) for record in records]
        keyed = sum(key is not None for key in keys)
        if self._is_new and not keyed and len(records) >= 100:
            what = f"none of the first {len(records):,} records has a value in the column of --key"
            remedy = "correct --key; FRAUDSTREAM_ENVELOPE and FRAUDSTREAM_SCHEMA_REGISTRY say how records are read"
            raise SettingsError(what, where=f"topic {self.plan.source}", remedy=remedy)
        offsets = [TopicPartition(self.plan.source, partition, offset) for partition, offset in positions.items()]
        group = consumer.consumer_group_metadata()
        self._refusals.clear()
        producer.begin_transaction()
        try:
            for record, key in zip(records, keys, strict=True):
                self._send(record, key)
            self.request(partial(producer.send_offsets_to_transaction, offsets, group))
            self.request(producer.commit_transaction)
        except KafkaException as e:
            if refusal := next(
                ((at, error) for at, error in self._refusals if error and error.name() not in _ABORTED), None
            ):
                what, where = f"Kafka refuses the copy of a record: {refusal[1].str()}", str(refusal[0])
                remedy = f"correct max.message.bytes or the cause at the topic {target}; the same command continues"
                raise KafkaFailure(what, where=where, remedy=remedy) from e
            if not e.args[0].txn_requires_abort():
                raise
            self.request(producer.abort_transaction)
            return False
        self._is_new = False
        self.progress.copied += len(records)
        self.progress.keyed += keyed
        return True

    def _send(self, message: Message, key: str | None) -> None:
        origin = RecordId(self.plan.source, message.partition() or 0, message.offset() or 0)
        headers: Headers = ()
        try:
            headers = headers_of(message)
        except ValueError as e:
            log.warning("a record is copied without its headers", record=str(origin), reason=str(e))
        while True:
            try:
                self.producer.produce(
                    self.plan.target,
                    message.value(),
                    None if key is None else key.encode(errors="replace"),
                    partition=origin.offset % self.partitions if key is None else OF_KEY,
                    on_delivery=lambda error, _: self._refusals.append((origin, error)),
                    # Zero would be the present.
                    timestamp=max(message.timestamp()[1], 1),
                    headers=list(with_event_id(headers, origin)),
                )
                return
            except BufferError:
                self.producer.poll(FETCH_SECONDS)
            except KafkaException as e:
                self._refusals.append((origin, e.args[0]))
                raise
