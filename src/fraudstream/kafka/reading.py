"""Partitions read from one offset to another without a group, and the ledger's topic as its reader and writer."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.errors import DataError, KafkaFailure, TopicMissing
from fraudstream.messages.ledger import LedgerEntry, parse_entry
from fraudstream.transactions.wire import Topic

READ_SECONDS: Final = 30.0
END_OF_PARTITION: Final = "_PARTITION_EOF"
"""The name of the client's error that is none: there is no further record yet."""

_SECONDS = 5.0


def open_reader(bootstrap_servers: str, group: str, **options: Any) -> Consumer:
    """A consumer that commits nothing and is assigned partitions by hand.

    The client has to name a `group`; it is not joined. `options` are the client's, with `_` for `.`.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            # As the detector reads: what an open or an aborted transaction holds is not there.
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # The end is told by a fetch that has waited this long for more (librdkafka's default: 0.5 s).
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
        | {name.replace("_", "."): value for name, value in options.items()}
    )


def open_writer(bootstrap_servers: str, seconds: float, **options: Any) -> Producer:
    """An idempotent producer that gives a record up after so many seconds; `options` are the client's, `_` for `.`."""
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(seconds * 1000),
            "log_level": 0,
        }
        | {name.replace("_", "."): value for name, value in options.items()}
    )


def watermarks_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The first offset of a partition, and that after its last acknowledged record; raises KafkaException."""
    begin, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_SECONDS)
    return begin, end


def read_partition(
    consumer: Consumer, topic: str, partition: int, begin: int = 0, end: int | None = None
) -> Iterator[Message]:
    """The records that a partition holds now, from `begin` on and before `end`.

    Raises KafkaException where Kafka does not answer, KafkaFailure where it answers, and gives no records.
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
                raise KafkaFailure("Kafka does not give a topic", where=f"{topic}[{partition}]", remedy="try again")
            error, offset = message.error(), message.offset()
            if error is not None and error.name() == END_OF_PARTITION:
                return
            if error is not None:
                raise KafkaException(error)
            # Between the offsets may lie markers, or records that compaction took: the next one may be beyond the end.
            if offset is not None and offset < end:
                yield message
            if offset is not None and offset >= end - 1:
                return
    finally:
        consumer.unassign()


class Watermarks:
    """Asks the broker for the watermarks of one topic; connects at the first question."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._consumer: Consumer | None = None

    def read(self) -> dict[int, tuple[int, int]]:
        """The first offset and the end offset (after the last acknowledged record) of each partition.

        Raises KafkaException where the broker does not answer, or TopicMissing.
        """
        consumer = self._connected()
        found = consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
        if found.error is not None:
            raise TopicMissing(f"there is no topic {self._topic}", remedy="`fraudstream broker` creates the topics")
        marks: dict[int, tuple[int, int]] = {}
        for partition in found.partitions:
            begin, end = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_SECONDS)
            marks[partition] = (begin, end)
        return marks

    def next_records(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """By partition, the offset of the first record at or after the given one; the end where there is none yet.

        What lies between holds no record: transaction markers, aborted records, records that compaction removed. A
        partition whose offset was deleted, or that does not answer in time, is left out.

        Raises KafkaException where the broker does not answer.
        """
        consumer, found = self._connected(), dict[int, int]()
        consumer.assign([TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()])
        deadline, pending = time.monotonic() + _SECONDS, set(offsets)
        try:
            while pending and (message := consumer.poll(max(0.0, deadline - time.monotonic()))) is not None:
                partition, offset, error = message.partition(), message.offset(), message.error()
                if partition not in pending:
                    continue
                if error is None or error.name() == END_OF_PARTITION:
                    found[partition] = offset if offset is not None else offsets[partition]
                elif error.name() != "_AUTO_OFFSET_RESET":
                    raise KafkaException(error)
                pending.discard(partition)
        finally:
            consumer.unassign()
        return found

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = open_reader(
                self._bootstrap_servers, "fraudstream-watermarks", fetch_message_max_bytes=65_536
            )
        return self._consumer


log = structlog.get_logger(__name__)

SEND_SECONDS: Final = 10.0


class KafkaLedger:
    """The ledger on one Kafka; connects when it is first used."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: Producer | None = None

    def send(self, entries: Sequence[LedgerEntry]) -> bool:
        """Write entries, each under its id; whether Kafka acknowledged them all within ten seconds."""
        if self._producer is None:
            self._producer = open_writer(self._bootstrap_servers, SEND_SECONDS)
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed.append(error)

        try:
            for entry in entries:
                self._producer.produce(
                    Topic.LEDGER.value, entry.to_json(), key=entry.entry_id.encode(), on_delivery=delivered
                )
            left = self._producer.flush(SEND_SECONDS + 1)
        except (BufferError, KafkaException) as e:
            log.debug("no entry was sent", reason=str(e))
            return False
        return not left and not failed

    def read(self) -> list[LedgerEntry]:
        """Every entry there is now, the newest of each id, in order of their first writing; raises KafkaFailure."""
        found: dict[str, LedgerEntry] = {}
        consumer = open_reader(self._bootstrap_servers, "fraudstream-ledger")
        try:
            for message in read_partition(consumer, Topic.LEDGER.value, 0):
                key, value = (message.key() or b"").decode(errors="replace"), message.value()
                if value is None:
                    found.pop(key, None)
                    continue
                try:
                    entry = parse_entry(value)
                except Exception as e:  # whatever it is, it is this record's
                    place = f"{message.topic()}[{message.partition()}] {message.offset()}"
                    reason = e.what if isinstance(e, DataError) else f"{type(e).__name__}: {e}"
                    log.error("a record of the ledger cannot be read", record=place, reason=reason)
                    continue
                found[entry.entry_id] = entry
        except KafkaException as e:
            raise KafkaFailure(
                f"the ledger cannot be read: {e.args[0]}",
                where=f"topic {Topic.LEDGER} at {self._bootstrap_servers}",
                remedy="see the broker's log, then try again",
            ) from e
        finally:
            consumer.close()
        return list(found.values())


_READ: Final = methodcaller("headers")
"""Of a name that is not UTF-8 the client makes a null pointer, and leaves its error to be found by the next call.

Python's fast path for a call of a method does not look for such an error, this one does: the null pointer would end the
process where it is touched.
"""


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """The headers, in order; raises ValueError where a name is not UTF-8."""
    try:
        headers = _READ(message) or []
    except (UnicodeDecodeError, SystemError) as e:
        raise ValueError("the name of a header is not UTF-8") from e
    # The second time the client gives its list without an error: a null pointer is no referent.
    if any(len(gc.get_referents(pair)) < 2 for pair in headers):
        raise ValueError("the name of a header is not UTF-8")
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]
