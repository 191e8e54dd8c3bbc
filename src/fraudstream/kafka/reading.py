"""Reads partitions by offset without a consumer group, and reads and writes the ledger topic."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from fraudstream.errors import DataError, KafkaFailure, TopicMissing
from fraudstream.kafka.client import PROPERTIES, Cluster, failure
from fraudstream.kafka.topics import require_broker
from fraudstream.messages.ledger import LedgerEntry, parse_entry
from fraudstream.transactions.wire import Headers, Topic

log = structlog.get_logger(__name__)

READ_SECONDS: Final = 30.0
END_OF_PARTITION: Final = "_PARTITION_EOF"
"""The error name with which the client reports the end of a partition."""
OF_KEY: Final = -1
"""The client's number for the partition that follows from the key."""

_SECONDS = 5.0
_NOT_READY: Final = (
    *(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE),
    *(KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
)
"""A broker that has just started, or just became leader, is named leader or coordinator before it is ready to be."""

_Answer = TypeVar("_Answer")


def open_reader(cluster: Cluster, **options: Any) -> Consumer:
    """Return a consumer that commits nothing, for manual assignment.

    The client requires a group, and asks for its coordinator, but does not join it: it is the relays' group, which each
    command may describe. `options` are those of the client, with `_` for `.`.
    """
    own = {name.replace("_", "."): value for name, value in options.items()}
    return Consumer(cluster.client() | {"group.id": cluster.group} | PROPERTIES["reader"] | own)


def open_writer(cluster: Cluster, seconds: float, **options: Any) -> Producer:
    """Return an idempotent producer with a delivery timeout in seconds; `options` as in `open_reader`."""
    own = {name.replace("_", "."): value for name, value in options.items()}
    return Producer(cluster.producer() | PROPERTIES["writer"] | {"message.timeout.ms": int(seconds * 1000)} | own)


def retry(request: Callable[[], _Answer], seconds: float) -> _Answer:
    """Repeat a request while Kafka is not ready to answer and there is time; raises its last KafkaException."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return request()
        except KafkaException as e:
            error: KafkaError = e.args[0]
            if error.code() not in _NOT_READY or time.monotonic() > deadline:
                raise
            log.debug("Kafka is not ready to answer", reason=error.str())
            time.sleep(0.05)


def watermarks_of(consumer: Consumer, topic: str, partition: int, seconds: float = READ_SECONDS) -> tuple[int, int]:
    """Return the watermarks of a partition: its first offset, and its end offset; raises KafkaException."""
    each = TopicPartition(topic, partition)
    begin, end = retry(lambda: consumer.get_watermark_offsets(each, timeout=seconds), seconds)
    return begin, end


def read_partition(
    consumer: Consumer, topic: str, partition: int, begin: int = 0, end: int | None = None
) -> Iterator[Message]:
    """Yield the records that a partition has now, from `begin` to `end` (exclusive).

    Raises KafkaException if Kafka does not respond, KafkaFailure if it responds without records.
    """
    first, last = watermarks_of(consumer, topic, partition)
    begin, end = max(begin, first), last if end is None else min(end, last)
    if begin >= end:
        return
    consumer.assign([TopicPartition(topic, partition, begin)])
    try:
        while True:
            message = consumer.poll(READ_SECONDS)
            if message is None:
                raise KafkaFailure("Kafka returns no records", where=f"{topic}[{partition}]", remedy="try again")
            error, offset = message.error(), message.offset()
            if error is not None and error.name() == END_OF_PARTITION:
                return
            if error is not None:
                raise KafkaException(error)
            # There may be gaps (transaction markers, compaction), so the next record may be beyond the end.
            if offset is not None and offset < end:
                yield message
            if offset is not None and offset >= end - 1:
                return
    finally:
        consumer.unassign()


def partitions_of(client: Consumer | AdminClient, topic: str, seconds: float = READ_SECONDS) -> list[int]:
    """List the partitions of a topic, none if it does not exist; raises KafkaException, as if access is denied."""
    metadata = client.list_topics(topic, timeout=seconds).topics[topic]
    if metadata.error is not None and metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(metadata.error)
    return sorted(metadata.partitions)


def read_topics(consumer: Consumer, *topics: str) -> Iterator[Message]:
    """Yield the records that topics have now, one partition after the other; a topic that does not exist has none."""
    for topic in topics:
        for partition in partitions_of(consumer, topic):
            yield from read_partition(consumer, topic, partition)


def committed_offsets(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return the offsets that the consumer's group has committed; does not join the group. Raises KafkaException."""
    return retry(lambda: consumer.committed(partitions, timeout=READ_SECONDS), READ_SECONDS)


class Watermarks:
    """Reads the watermarks of one topic; connects at the first request."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._admin: AdminClient | None = None

    def read(self) -> dict[int, tuple[int, int]]:
        """Return the first offset and the end offset (after the last acknowledged record) of each partition.

        Raises KafkaException or KafkaFailure if the broker does not respond, or TopicMissing.
        """
        # An admin client: a consumer would look for the coordinator of its group, which not everyone may describe.
        admin = self._admin = self._admin or require_broker(self._cluster)
        try:
            return retry(lambda: self._read(admin), _SECONDS)
        except KafkaException:
            # The next call finds out why no broker answers, with a client that has not lost them.
            self._admin = None
            raise

    def _read(self, admin: AdminClient) -> dict[int, tuple[int, int]]:
        partitions = [TopicPartition(self._topic, each) for each in partitions_of(admin, self._topic, _SECONDS)]
        if not partitions:
            raise TopicMissing(f"the topic {self._topic} does not exist", remedy="`fraudstream broker` creates it")
        options: dict[str, Any] = {"isolation_level": IsolationLevel.READ_COMMITTED, "request_timeout": _SECONDS}
        begins = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.earliest()), **options)
        ends = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()), **options)
        return {each.partition: (begins[each].result().offset, ends[each].result().offset) for each in partitions}

    def begins(self) -> dict[int, int]:
        """Return the first offset of each partition; raises like `read`."""
        return {partition: begin for partition, (begin, _) in self.read().items()}

    def next_records(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """Return by partition the offset of the first record at or after the given one; the end offset if none exists.

        The offsets between have no records: transaction markers, aborted records, records removed by compaction. The
        result omits partitions whose offset was deleted, or that time out. Raises KafkaException.
        """
        next_offsets = dict[int, int]()
        if not offsets:
            return next_offsets
        with open_reader(self._cluster, fetch_message_max_bytes=65_536) as consumer:
            consumer.assign([TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()])
            deadline, pending = time.monotonic() + _SECONDS, set(offsets)
            while pending and (message := consumer.poll(max(0.0, deadline - time.monotonic()))) is not None:
                partition, offset, error = message.partition(), message.offset(), message.error()
                if partition not in pending:
                    continue
                if error is None or error.name() == END_OF_PARTITION:
                    next_offsets[partition] = offset if offset is not None else offsets[partition]
                elif error.name() != "_AUTO_OFFSET_RESET":
                    raise KafkaException(error)
                pending.discard(partition)
        return next_offsets


class KafkaLedger:
    """The ledger topic; connects at first use."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._topic = cluster.topic(Topic.LEDGER)
        self._producer: Producer | None = None

    def send(self, entries: Sequence[LedgerEntry]) -> bool:
        """Write entries, keyed by id; returns whether Kafka acknowledged all of them within ten seconds."""
        producer = self._producer = self._producer or open_writer(self._cluster, seconds=10.0)
        errors: list[KafkaError | None] = []
        try:
            for entry in entries:
                key, value = entry.entry_id.encode(), entry.to_json()
                producer.produce(self._topic, value, key=key, on_delivery=lambda e, _: errors.append(e))
            remaining = producer.flush(11.0)
        except (BufferError, KafkaException) as e:
            log.debug("ledger entries not sent", reason=str(e))
            return False
        return not remaining and all(error is None for error in errors)

    def read(self) -> list[LedgerEntry]:
        """Return the newest entry of each id, in the order in which the ids were first written; raises KafkaFailure."""
        entries: dict[str, LedgerEntry] = {}
        try:
            with open_reader(self._cluster) as consumer:
                for entry_id, entry in read_ledger(consumer, self._topic, _log_unreadable):
                    if entry is None:
                        entries.pop(entry_id, None)
                    else:
                        entries[entry_id] = entry
        except KafkaException as e:
            raise failure("cannot read the ledger", e, self._cluster, "READ", f"topic {self._topic}") from e
        return list(entries.values())


def read_ledger(
    consumer: Consumer, topic: str, unreadable: Callable[[Message, Exception], None]
) -> Iterator[tuple[str, LedgerEntry | None]]:
    """Yield the records of the ledger topic: each entry with its id, None in its place if it was removed.

    `unreadable` is called with each record that is not an entry.
    """
    for message in read_topics(consumer, topic):
        key, value = (message.key() or b"").decode(errors="replace"), message.value()
        try:
            entry = None if value is None else parse_entry(value)
        except Exception as e:  # any error concerns this record only
            unreadable(message, e)
        else:
            yield (key if entry is None else entry.entry_id), entry


def _log_unreadable(message: Message, error: Exception) -> None:
    record = f"{message.topic()}[{message.partition()}] {message.offset()}"
    reason = error.what if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
    log.error("cannot parse a ledger record", record=record, reason=reason)


_READ: Final = methodcaller("headers")
"""Calls `headers` through the slow path, which checks for pending errors; the fast path of a method call does not.

For a name that is not UTF-8 the client returns a null pointer and leaves the error set; dereferencing it would crash
the process.
"""


def headers_of(message: Message) -> Headers:
    """Return the headers, in order; raises ValueError if a name is not UTF-8."""
    try:
        headers = _READ(message) or []
    except (UnicodeDecodeError, SystemError) as e:
        raise ValueError("the name of a header is not UTF-8") from e
    # On a second call the client returns its list without an error: a null pointer is no referent.
    if any(len(gc.get_referents(pair)) < 2 for pair in headers):
        raise ValueError("the name of a header is not UTF-8")
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]


def header_text(headers: Headers, name: str) -> str | None:
    """Return the first value of a header as text; None if it is missing or not text."""
    value = next((value for key, value in headers if key == name), None)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
