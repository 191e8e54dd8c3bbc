"""Relays every output topic to the dashboard's API, at least once."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.client import PROPERTIES, Cluster, denied, is_denied
from fraudstream.kafka.reading import open_reader
from fraudstream.relay.api_client import ApiRefused, ApiUnavailable, DashboardClient
from fraudstream.relay.records import ROUTE_OF, PostedRecord, Route, encode, rejected, to_payload
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import REJECTED_BECAUSE, RELAYED_TOPICS, RecordId, Topic, output_limit

log = structlog.get_logger(__name__)

MOST_RECORDS: Final = 500
MOST_BYTES: Final = 4 * 1024 * 1024
POLL_SECONDS: Final = 0.25
COMMIT_SECONDS: Final = 0.5
REJOIN_SECONDS: Final = 60.0
"""Kafka assigns partitions again within seconds of being reachable."""
HOLD_SECONDS: Final = 0.2
"""How long events are held to be batched: they are not urgent, and posting one delays the alerts behind it."""
REFUSED_RECORD: Final = "refused_record"
REFUSED_BYTES: Final = 4_000
"""A record that the API refuses is truncated to this length there, as is an error; the topic has all of it."""

_Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Item:
    """A record as posted, with its topic, partition and offset; `is_refused` if the API refused it as it was."""

    partition: _Partition
    offset: int
    route: Route
    body: bytes
    is_refused: bool = False


def open_consumer(cluster: Cluster, relay_id: str, max_record_bytes: int) -> Consumer:
    """Return a consumer for one relay, a static member of the group.

    Kafka gives a relay that is restarted with the same id the partitions of its killed predecessor at once; a dynamic
    member would wait until that one times out. The assignor is cooperative-sticky: most topics have one partition, and
    range, which assigns topic by topic, would give all of them to the same relay; round-robin would revoke all
    partitions of all relays when one joins.
    """
    own = {"group.instance.id": relay_id, "fetch.message.max.bytes": output_limit(max_record_bytes)}
    return open_reader(cluster, **PROPERTIES["relay"], **own)


class Fenced(KafkaFailure):
    """Kafka no longer accepts this member of the group: another one has its id."""


class Stranded(KafkaFailure):
    """The consumer has lost its partitions, and librdkafka does not get them back: only a new one does."""


def relay_records(
    consumers: Callable[[], Consumer],
    cluster: Cluster,
    api: DashboardClient,
    stop: threading.Event,
    mask: DataMask | None = None,
    *,
    from_beginning: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run a `Relay` until `stop` is set; `consumers` returns one of `open_consumer`.

    A Kafka that was killed takes a commit from before for that of another member: the relay rejoins the group, and ends
    only if it is fenced again within a minute, as by another relay with its id. It rejoins too with a consumer that
    does not get its partitions back within a minute. Raises Fenced.
    """
    fenced_at = -math.inf
    while not stop.is_set():
        consumer = consumers()
        try:
            Relay(consumer, cluster, api, mask or DataMask(), from_beginning, ready).run(stop)
        except Fenced as e:
            if time.monotonic() - fenced_at < 60.0:
                raise
            log.warning("fenced; joining the group again", reason=e.what)
            fenced_at, from_beginning = time.monotonic(), False
        except Stranded as e:
            log.warning("joining the group again", reason=e.what)
            from_beginning = False
        finally:
            consumer.close()


@dataclass
class Relay:
    """Reads its share of the output topics, posts their records, and commits offsets only after a 2xx response.

    The consumer is one of `open_consumer`. Partitions are assigned and revoked while it is polled, never during a post.
    With `from_beginning`, everything that Kafka has in the partitions of this relay, also in those assigned later, is
    relayed again; the store recognises duplicates. `ready` is called at each assignment; it is empty if there are more
    relays than partitions.
    """

    consumer: Consumer
    cluster: Cluster
    api: DashboardClient
    mask: DataMask
    from_beginning: bool
    ready: Callable[[], None]

    def __post_init__(self) -> None:
        """Start with nothing buffered, posted or to be committed."""
        self._events = self.cluster.topic(Topic.EVENTS)
        self._rewound: set[_Partition] = set()
        self._posted: dict[_Partition, int] = {}  # the offsets to commit
        self._is_committed = True
        self._committed_at = 0.0
        # What was read and not posted: events, held to be batched, and what an unavailable dashboard did not accept.
        self._buffered: list[Message] = []
        self._due_at = 0.0
        self._backoff = 0.0  # seconds; 0 while the dashboard is available
        self._lost_at = math.inf  # when the partitions were lost, until the next assignment

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set; raises Fenced if another member has this one's id, or Stranded."""
        topics = [self.cluster.topic(topic) for topic in RELAYED_TOPICS]
        self.consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        while not stop.is_set():
            self._read()
            self._relay(self._due())
            self._commit(at_once=False)
            if time.monotonic() - self._lost_at > REJOIN_SECONDS:
                # librdkafka forgets all brokers when Kafka, as after a pause, names none (librdkafka issue 5301).
                raise Stranded(f"no partitions were assigned for {REJOIN_SECONDS:.0f} s after they were lost")
        if not self._backoff:
            self._relay(self._buffered)
        self._commit(at_once=True)
        if self._is_committed:
            self._posted.clear()  # or closing the consumer would commit them again, and wait for a Kafka that is away

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions if self.from_beginning else ():
            partition = (each.topic, each.partition)
            if partition not in self._rewound:
                each.offset = OFFSET_BEGINNING
                # Committed too: if the partition is revoked, the next relay continues from where this one was.
                self._posted[partition] = 0
                self._rewound.add(partition)
        self._is_committed = False
        # By default from the committed offset, or from the beginning if there is none.
        consumer.incremental_assign(partitions)
        self._lost_at = math.inf
        log.info("partitions assigned", partitions=_names(partitions))
        self.ready()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # All again: Kafka may have refused an asynchronous commit during the rebalance.
        self._is_committed = False
        self._commit(at_once=True)
        self._on_lost(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Another relay posts what is not committed.
        self._lost_at = time.monotonic()
        gone = {(each.topic, each.partition) for each in partitions}
        self._buffered = [message for message in self._buffered if _partition(message) not in gone]
        self._posted = {key: offset for key, offset in self._posted.items() if key not in gone}
        if self._backoff:
            consumer.resume(partitions)  # or they would still be paused when they come back
        log.info("partitions revoked", partitions=_names(partitions))

    def _read(self) -> None:
        """Buffer new records; none while the dashboard is unavailable, but Kafka may assign and revoke partitions."""
        if self._backoff:
            self.consumer.pause(self.consumer.assignment())
        remaining = self._due_at - time.monotonic() if self._buffered else POLL_SECONDS
        first = self.consumer.poll(min(POLL_SECONDS, max(0.0, remaining)))
        if first is not None:
            # Buffered before more are read: meanwhile its partition may be revoked.
            self._buffer([first])
            self._buffer(self.consumer.consume(MOST_RECORDS - 1, timeout=0))

    def _buffer(self, messages: Sequence[Message]) -> None:
        if not self._buffered:
            self._due_at = time.monotonic() + HOLD_SECONDS
        self._buffered += [message for message in messages if _is_record(message, self.cluster)]

    def _due(self) -> list[Message]:
        """Take the records to post now from the buffer; events are held for a moment to be batched."""
        is_due = time.monotonic() >= self._due_at
        if self._backoff and not is_due:
            return []
        due = [message for message in self._buffered if message.topic() != self._events]
        events = [message for message in self._buffered if message.topic() == self._events]
        if is_due or len(events) >= MOST_RECORDS:
            due, events = due + events, []
        self._buffered = events
        return due

    def _relay(self, messages: Sequence[Message]) -> None:
        """Post messages and mark their offsets for commit; those that could not be posted are buffered again."""
        before = dict(self._posted)
        for batch in _batches(messages, self.cluster, self.mask):
            # Events last: when the dashboard shows that everything is scored, the alerts are already there.
            for route in sorted({item.route for item in batch}, key=lambda each: each in (Route.EVENTS, Route.LEDGER)):
                if not self._post(route, [item for item in batch if item.route is route]):
                    posted = {key: offset for key, offset in self._posted.items() if offset != before.get(key)}
                    rest = [m for m in messages if (m.offset() or 0) >= posted.get(_partition(m), 0)]
                    self._buffered = [*rest, *self._buffered]
                    self._backoff = min(self._backoff * 2, 5.0) or 0.1
                    self._due_at = time.monotonic() + self._backoff
                    return
        if self._backoff and time.monotonic() >= self._due_at:
            self._backoff = 0.0
            self.consumer.resume(self.consumer.assignment())

    def _post(self, route: Route, items: Sequence[_Item]) -> bool:
        try:
            self.api.post_records(route, [item.body for item in items])
        except ApiUnavailable as e:
            log.warning("the dashboard is unavailable; retrying", route=route.value, reason=str(e))
            return False
        except ApiRefused as e:
            if len(items) > 1:
                return all(self._post(route, [item]) for item in items)
            (item,) = items
            # One record that the API refuses as a request must not block those behind it.
            record = str(RecordId(*item.partition, item.offset))
            log.error("the dashboard refused a record", route=route.value, reason=str(e), record=record)
            if not item.is_refused:
                # It lacks every required member, so that the API stores it as a rejected record.
                head = item.body[:REFUSED_BYTES].decode(errors="replace")
                body = encode({REFUSED_RECORD: head, REJECTED_BECAUSE: str(e)})
                return self._post(route, [replace(item, body=body, is_refused=True)])
        for item in items:
            self._posted[item.partition] = item.offset + 1
        self._is_committed = False
        return True

    def _commit(self, *, at_once: bool) -> None:
        is_due = at_once or time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._is_committed or not self._posted or not is_due:
            return
        offsets = [TopicPartition(*partition, offset) for partition, offset in self._posted.items()]
        try:
            if at_once:
                self.consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self.consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as e:
            # Nothing is lost: what is not committed is read and posted again, and the store ignores duplicates.
            log.warning("offsets could not be committed; retrying", reason=str(e))
            return
        self._is_committed = True
        self._committed_at = time.monotonic()


def _batches(messages: Iterable[Message], cluster: Cluster, mask: DataMask) -> Iterator[list[_Item]]:
    """Yield batches of converted records; lazily, so that only one batch is in memory."""
    batch: list[_Item] = []
    size = 0
    for message in messages:
        item = _item(message, cluster.topic_of(str(message.topic())), mask)
        if batch and size + len(item.body) > MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.body)
    if batch:
        yield batch


def _item(message: Message, topic: Topic, mask: DataMask) -> _Item:
    """Convert a record for the API; any error is the record's own, and makes it a rejected record."""
    (name, partition), offset = _partition(message), message.offset() or 0
    try:
        body = encode(mask.record(to_payload(PostedRecord.of(message, topic))))
    except Exception as e:
        reason = f"{type(e).__name__}: {e}"[:REFUSED_BYTES].encode(errors="backslashreplace").decode()
        log.error("cannot convert a record", record=f"{name}[{partition}] {offset}", reason=reason)
        body = encode(mask.record(rejected(f"{name}/{partition}/{offset}", message.value(), reason)))
    return _Item((name, partition), offset, ROUTE_OF[topic], body)


def _partition(message: Message) -> _Partition:
    return str(message.topic()), message.partition() or 0


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return [f"{each.topic}[{each.partition}]" for each in partitions]


def _is_record(message: Message, cluster: Cluster) -> bool:
    error = message.error()
    # The only fatal error of a static member.
    if error is not None and error.code() == KafkaError._FATAL:  # noqa: SLF001 - the client's name for it
        raise Fenced(
            "another relay has taken the id of this one",
            where=f"consumer group {cluster.group}",
            remedy="give each relay an id of its own with --relay-id or FRAUDSTREAM_RELAY_ID",
        )
    if error is not None and is_denied(error):
        # It had every right when it started: an administrator may be changing them.
        resource = f"topic {message.topic()}" if message.topic() else f"group {cluster.group}"
        log.error(denied(cluster, "READ", resource).line)
    elif error is not None:
        log.warning("Kafka consumer error", reason=str(error), place=f"{message.topic()}[{message.partition()}]")
    return error is None
