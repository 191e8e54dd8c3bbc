"""Copies a topic to one that is keyed by a column, so that the transactions of an entity keep their order there.

The copies are written in the same Kafka transactions as the positions in the source: a copy that is killed continues
after its last transaction, and no consumer with `read_committed` reads a record twice.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.errors import KafkaFailure, SettingsError
from fraudstream.history.identity import LONGEST_VALUE
from fraudstream.kafka.client import Cluster, denied, failure
from fraudstream.kafka.merging import FETCH_SECONDS, UNREACHABLE, TopicMerge, copy_positions
from fraudstream.kafka.reading import OF_KEY, headers_of, open_reader, partitions_of, watermarks_of
from fraudstream.kafka.replay import with_event_id
from fraudstream.kafka.rights import rekey_name
from fraudstream.kafka.topics import REFUSALS, ensure_copy, topic_id, topic_layout
from fraudstream.transactions.wire import LONGEST_EVENT_ID, Headers, RecordId

log = structlog.get_logger(__name__)

MOST_TOGETHER: Final = 10_000
"""Records of a transaction."""
MOST_UNKEYED: Final = 100
"""First records, of which one must have a key before any is copied."""

_ADDED_BYTES: Final = 4 * LONGEST_VALUE + 2 * LONGEST_EVENT_ID
"""By which a copy may be larger than the original: a key, and an event id."""
_REQUEST_SECONDS: Final = 5.0
_HANGING_SECONDS: Final = 4 * _REQUEST_SECONDS
_COMMIT_SECONDS: Final = 60.0
"""After which positions are committed without a record too, as Kafka forgets those of a group that rests for a week."""

_TEMPORARY: Final = UNREACHABLE | {"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"}
"""Of the consumer: Kafka does not answer, or has deleted records that were to be read."""
_ABORTED: Final = frozenset({"_MSG_TIMED_OUT", "_PURGE_QUEUE", "_PURGE_INFLIGHT", "_TRANSPORT", "_STATE", "_FATAL"})
"""Of the records and calls within a transaction that has failed; not its cause."""


@dataclass(frozen=True)
class RekeyPlan:
    """The options of a copy.

    Attributes:
        key: Returns the key of a record's value (see `avro.key_reader`).
        partitions: Of the target, if it is created; None for as many as the source has.
        follow: Continue at the present end of the source, until stopped.
        options: Those of `key`, as text; a copy is continued with the same alone.
    """

    cluster: Cluster
    source: str
    target: str
    key: Callable[[bytes | None], str | None]
    partitions: int | None = None
    follow: bool = False
    options: str = ""

    @property
    def name(self) -> str:
        """The group whose positions are those of the copy, and the transactional id, which admits one process."""
        return rekey_name(self.target)


@dataclass
class RekeyProgress:
    """Counts of this process; `lost` were deleted by retention before. `interrupted`: before the end at its start."""

    copied: int = 0
    keyed: int = 0
    lost: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    began: float = field(default_factory=time.monotonic)

    def summary(self, target: str) -> str:
        """Summarise the copy in a few lines."""
        without = f", {self.copied - self.keyed:,} of them without a key" if self.keyed < self.copied else ""
        lines = [f"{self.copied:,} records copied to {target} in {self.seconds:,.1f} s{without}"]
        if self.lost:
            lines.append(f"  up to {self.lost:,} records were deleted by retention before they were copied")
        if self.interrupted:
            lines.append("  interrupted; the same command continues the copy")
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
    note, progress = f"topic {topic_id(plan.cluster, plan.source)} with {plan.options}", RekeyProgress()
    while True:
        copy = _Copy(plan, note, partitions, Producer(plan.cluster.producer() | options), stopped, show, progress)
        try:
            # Ends the open transaction of a process that was killed.
            copy.request(copy.producer.init_transactions)
            copy.run()
            return progress
        except _BeginAgain as e:
            reason = str(e)
        except Exception as e:
            # An open transaction would delay the readers of the target for a minute.
            with suppress(KafkaException, _BeginAgain):
                copy.request(copy.producer.abort_transaction)
            if not isinstance(e, KafkaException):
                raise
            if e.args[0].name() not in _TEMPORARY or stopped.wait(1.0):
                raise _failure(plan, e) from e
            reason = e.args[0].str()
        log.warning("the copy begins again after its last transaction", topic=plan.target, reason=reason)


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


class _BeginAgain(Exception):
    """Raised if the copy must begin again after its last transaction, with another producer; its text is the reason."""


@dataclass
class _Copy:
    plan: RekeyPlan
    note: str
    partitions: int
    producer: Producer
    stopped: threading.Event
    show: Callable[[RekeyProgress], None]
    progress: RekeyProgress
    _refusals: list[tuple[RecordId, KafkaError | None]] = field(default_factory=list)
    _is_new: bool = False

    def run(self) -> None:
        """Copy from the committed positions on; raises KafkaException and _BeginAgain."""
        plan = self.plan
        with open_reader(plan.cluster, group_id=plan.name, fetch_wait_max_ms=int(1000 * FETCH_SECONDS)) as consumer:
            begins, lost, self._is_new = copy_positions(consumer, plan.source, plan.target, self.note)
            self.progress.lost += lost
            # What arrives meanwhile is copied, but not waited for.
            ends = {each: watermarks_of(consumer, plan.source, each)[1] for each in begins}
            merge, due = TopicMerge(consumer, plan.source, begins), time.monotonic() + _COMMIT_SECONDS
            records, committed = list[Message](), begins
            while not self.stopped.is_set() and (plan.follow or not merge.has_reached(ends)):
                merge.fetch()
                records += islice(merge.in_order(), MOST_TOGETHER - len(records))
                is_last, is_due = not plan.follow and merge.has_reached(ends), time.monotonic() > due
                # Until one has a key: nothing is written with a wrong column.
                is_held = self._is_new and len(records) < MOST_UNKEYED and not is_last
                is_held = is_held and not any(plan.key(record.value()) for record in records)
                if not is_held and (is_due or merge.positions != committed):
                    self._commit(records, merge.positions, consumer)
                    records, committed = [], dict(merge.positions)
                if is_due:
                    if len(partitions_of(consumer, plan.source)) > len(begins):
                        raise _BeginAgain("the source has more partitions")
                    due = time.monotonic() + _COMMIT_SECONDS
                self.progress.seconds = time.monotonic() - self.progress.began
                self.show(self.progress)
            self.progress.interrupted = not plan.follow and not merge.has_reached(ends)

    def request(self, call: Callable[[float], None]) -> None:
        """Repeat a request of the producer until Kafka answers; raises KafkaException, also when stopped meanwhile.

        Raises _BeginAgain if librdkafka does not return; a thread of its own then stays in the call.
        `send_offsets_to_transaction` ignores its timeout while the group's coordinator is away, and may wait for ever
        after a restart of the broker (confluentinc/librdkafka#5456).
        """
        while True:
            answer = Future[None]()
            threading.Thread(target=_answer, args=(answer, call), daemon=True).start()
            try:
                answer.result(_HANGING_SECONDS)
                return
            except TimeoutError as e:
                raise _BeginAgain("the client of Kafka does not return; a new one takes over") from e
            except KafkaException as e:
                if not e.args[0].retriable() or self.stopped.is_set():
                    raise
                log.warning("Kafka does not answer; the copy waits for it", reason=e.args[0].str())

    def _commit(self, records: list[Message], positions: dict[int, int], consumer: Consumer) -> None:
        """Copy records, with the positions after them, in one transaction; raises _BeginAgain if it was aborted."""
        producer, target = self.producer, self.plan.target
        keys = [self.plan.key(record.value()) for record in records]
        keyed = sum(key is not None for key in keys)
        if self._is_new and records and not keyed:
            what = f"none of the first {len(records):,} records has a value in the column of --key"
            remedy = "correct --key; FRAUDSTREAM_ENVELOPE and FRAUDSTREAM_SCHEMA_REGISTRY say how records are read"
            raise SettingsError(what, where=f"topic {self.plan.source}", remedy=remedy)
        offsets = [TopicPartition(self.plan.source, *each, metadata=self.note) for each in positions.items()]
        group = consumer.consumer_group_metadata()
        self._refusals.clear()
        producer.begin_transaction()
        try:
            for record, key in zip(records, keys, strict=True):
                self._send(record, key)
            self.request(partial(producer.send_offsets_to_transaction, offsets, group))
            self.request(producer.commit_transaction)
        except KafkaException as e:
            for origin, error in self._refusals:
                if error is None or error.name() in _ABORTED:
                    continue
                if error.code() not in REFUSALS:
                    raise KafkaException(error) from e
                what = f"Kafka refuses the copy of a record: {error.str()}"
                remedy = f"correct max.message.bytes or the cause at the topic {target}; the same command continues"
                raise KafkaFailure(what, where=str(origin), remedy=remedy) from e
            # Of a transaction that had failed before, the abort raises the cause if it is final.
            if not e.args[0].txn_requires_abort() and e.args[0].name() not in _ABORTED:
                raise
            self.request(producer.abort_transaction)
            raise _BeginAgain("a transaction was aborted") from e
        self._is_new = False
        self.progress.copied += len(records)
        self.progress.keyed += keyed

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


def _answer(answer: Future[None], call: Callable[[float], None]) -> None:
    try:
        call(_REQUEST_SECONDS)
    except BaseException as e:
        answer.set_exception(e)
    else:
        answer.set_result(None)
