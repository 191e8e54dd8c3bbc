"""Relays every output topic to the dashboard's API, at least once."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from fraudstream.errors import KafkaFailure
from fraudstream.messages.base import Object
from fraudstream.relay.api_client import ApiRefused, ApiUnavailable
from fraudstream.relay.records import ROUTE_OF, PostedRecord, Route, encode, rejected, to_payload
from fraudstream.times import iso
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import REJECTED_BECAUSE, RELAYED_TOPICS, EventField, EventType, Topic

log = structlog.get_logger(__name__)

GROUP: Final = "fraudstream-relay"
MOST_RECORDS: Final = 500
MOST_BYTES: Final = 4 * 1024 * 1024
POLL_SECONDS: Final = 0.25
COMMIT_SECONDS: Final = 0.5
HOLD_SECONDS: Final = 0.2
"""How long events are held to be batched: they are not urgent, and posting one delays the alerts behind it."""
POSITION_SECONDS: Final = 1.0
FIRST_BACKOFF_SECONDS: Final = 0.1
LONGEST_BACKOFF_SECONDS: Final = 5.0
ASSIGN_SECONDS: Final = 30.0
REFUSED_RECORD: Final = "refused_record"
_REFUSED: Final = b'{"%s"' % REFUSED_RECORD.encode()
REFUSED_BYTES: Final = 4_000
"""A record that the API refuses is truncated to this length there; the topic has all of it."""


class IngestApi(Protocol):
    """The dashboard's API, as the relay uses it."""

    def post(self, route: Route, items: Sequence[bytes]) -> None:
        """Post JSON objects; return after they are committed, raise `ApiUnavailable` or `ApiRefused` otherwise."""


class Relay:
    """Reads the output topics, posts their records, and commits offsets only after a 2xx response.

    The consumer has the group `fraudstream-relay` and no automatic commits; `partitions` is the number per topic.
    """

    def __init__(
        self, consumer: Consumer, api: IngestApi, partitions: Mapping[Topic, int], mask: DataMask | None = None
    ) -> None:
        self._consumer = consumer
        self._api = api
        self._partitions = partitions
        self._mask = mask or DataMask()
        self._uncommitted: dict[tuple[str, int], int] = {}
        self._committed_at = 0.0
        self._buffered: list[Message] = []
        self._buffered_since = 0.0

    def assign(self, stop: threading.Event, *, from_beginning: bool = False) -> bool:
        """Assign all partitions, from the last committed offset of each, or from the beginning if there is none.

        They are assigned manually: in a group, a restarted relay would wait until its killed predecessor times out.
        With `from_beginning` everything in Kafka is relayed again; the store recognises duplicates.

        Returns False if `stop` was set before Kafka returned the offsets; raises KafkaFailure if it returns none.
        """
        partitions = [
            TopicPartition(topic.value, partition)
            for topic in RELAYED_TOPICS
            for partition in range(self._partitions[topic])
        ]
        offsets = self._committed(partitions, stop)
        if offsets is None:
            return False
        for each in offsets:
            if from_beginning or each.offset == OFFSET_INVALID:
                each.offset = OFFSET_BEGINNING
        self._consumer.assign(offsets)
        starts = [p.offset if p.offset != OFFSET_BEGINNING else "from the beginning" for p in offsets]
        log.info("relaying", places=[f"{p.topic}[{p.partition}] {at}" for p, at in zip(offsets, starts, strict=True)])
        return True

    def _committed(self, partitions: list[TopicPartition], stop: threading.Event) -> list[TopicPartition] | None:
        """Return the committed offsets; a broker that has just started has no group coordinator for a moment."""
        deadline = time.monotonic() + ASSIGN_SECONDS
        while not stop.is_set():
            try:
                return self._consumer.committed(partitions, timeout=10)
            except KafkaException as e:
                error: KafkaError = e.args[0]
                if time.monotonic() > deadline:
                    raise KafkaFailure(
                        f"cannot read the committed offsets of the relay: {error.str()}",
                        where=f"group {GROUP}",
                        remedy="check the broker's log, then restart the relay",
                    ) from e
                log.debug("no committed offsets yet", reason=error.str())
                stop.wait(FIRST_BACKOFF_SECONDS)
        return None

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set."""
        while not stop.is_set():
            if not self._relay(self._due(self._poll()), stop):
                return
            self._commit(at_once=False)
        if not self._relay(self._buffered, stop):
            return  # not committed, so it is read again
        self._commit(at_once=True)

    def _relay(self, messages: Sequence[Message], stop: threading.Event) -> bool:
        """Post messages, then mark their offsets for commit; False if stopped before that."""
        for batch in _batches(messages, self._mask):
            # Events last: when the dashboard shows that everything is scored, the alerts are already there.
            for route in sorted({item.route for item in batch}, key=lambda each: each in (Route.EVENTS, Route.LEDGER)):
                if not self._post(route, [item.body for item in batch if item.route is route], stop):
                    return False
            for item in batch:
                self._uncommitted[item.partition] = item.offset + 1
        return True

    def _poll(self) -> list[Message]:
        first = self._consumer.poll(min(POLL_SECONDS, self._hold_remaining()))
        if first is None:
            return []
        return [m for m in (first, *self._consumer.consume(MOST_RECORDS - 1, timeout=0)) if _is_record(m)]

    def _due(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages to post now; events are held for a moment to be batched."""
        due = [message for message in messages if message.topic() != Topic.EVENTS.value]
        events = [message for message in messages if message.topic() == Topic.EVENTS.value]
        if events and not self._buffered:
            self._buffered_since = time.monotonic()
        self._buffered += events
        if self._buffered and (self._hold_remaining() <= 0 or len(self._buffered) >= MOST_RECORDS):
            due += self._buffered
            self._buffered = []
        return due

    def _hold_remaining(self) -> float:
        if not self._buffered:
            return POLL_SECONDS
        return max(0.0, self._buffered_since + HOLD_SECONDS - time.monotonic())

    def _post(self, route: Route, items: Sequence[bytes], stop: threading.Event) -> bool:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                self._api.post(route, items)
                return True
            except ApiUnavailable as e:
                log.warning("the dashboard is unavailable; retrying", route=route.value, reason=str(e))
            except ApiRefused as e:
                if len(items) > 1:
                    return all(self._post(route, [item], stop) for item in items)
                # One record that the API refuses as a request must not block those behind it.
                log.error("the dashboard refused a record", route=route.value, reason=str(e), record=_head(items[0]))
                return items[0].startswith(_REFUSED) or self._post(route, [_as_refused(items[0], str(e))], stop)
            if stop.wait(backoff):
                return False
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    def _commit(self, *, at_once: bool) -> None:
        if not self._uncommitted or (not at_once and time.monotonic() - self._committed_at < COMMIT_SECONDS):
            return
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._uncommitted.items()]
        try:
            if at_once:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as e:
            # Nothing is lost: what is not committed is read and posted again, and the store ignores duplicates.
            log.warning("offsets could not be committed; retrying", reason=str(e))
            return
        self._uncommitted.clear()
        self._committed_at = time.monotonic()


def post_positions(
    api: IngestApi,
    ends: Callable[[], Mapping[int, tuple[int, int]]],
    now: Callable[[], datetime],
    stop: threading.Event,
) -> None:
    """Post the watermarks of the input topic every second until `stop`: they count payments without reading them.

    If Kafka does not respond, the error is posted, so that the dashboard can tell Kafka's failure from the relay's.
    """
    while not stop.wait(POSITION_SECONDS):
        try:
            positions = {str(p): {"begin": begin, "end": end} for p, (begin, end) in ends().items()}
            content: Object = {EventField.POSITIONS: {Topic.TRANSACTIONS.value: positions}}
        except (KafkaException, KafkaFailure) as e:
            reason = e.args[0].str() if isinstance(e, KafkaException) else e.what
            content = {EventField.POSITIONS: {}, EventField.TROUBLE: reason}
        at = iso(now())
        event = {EventField.EVENT_ID: f"position/{at}", EventField.TYPE: EventType.POSITION.value, EventField.AT: at}
        try:
            api.post(Route.EVENTS, [encode(event | content)])
        except (ApiUnavailable, ApiRefused) as e:
            log.debug("position not posted", reason=str(e))
        except Exception as e:  # or the thread would end, and the counters freeze without an error
            log.error("position not posted", reason=f"{type(e).__name__}: {e}")


@dataclass(frozen=True, slots=True)
class _Item:
    """A record as posted, with its topic, partition and offset."""

    partition: tuple[str, int]
    offset: int
    route: Route
    body: bytes


def _batches(messages: Iterable[Message], mask: DataMask) -> Iterator[list[_Item]]:
    """Yield batches of converted records; lazily, so that only one batch is in memory."""
    batch: list[_Item] = []
    size = 0
    for message in messages:
        item = _item(message, mask)
        if batch and size + len(item.body) > MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.body)
    if batch:
        yield batch


def _item(message: Message, mask: DataMask) -> _Item:
    """Convert a record for the API; any error is the record's own, and makes it a rejected record."""
    topic, partition, offset = str(message.topic()), message.partition() or 0, message.offset() or 0
    try:
        body = encode(mask.record(to_payload(PostedRecord.of(message))))
    except Exception as e:
        reason = f"{type(e).__name__}: {e}"[:REFUSED_BYTES].encode(errors="backslashreplace").decode()
        log.error("cannot convert a record", record=f"{topic}[{partition}] {offset}", reason=reason)
        body = encode(mask.record(rejected(f"{topic}/{partition}/{offset}", message.value(), reason)))
    return _Item((topic, partition), offset, ROUTE_OF[Topic(topic)], body)


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is not None:
        log.warning("Kafka consumer error", reason=str(error), place=f"{message.topic()}[{message.partition()}]")
    return error is None


def _as_refused(item: bytes, reason: str) -> bytes:
    """Build an item that the API stores as a rejected record: it lacks every required member."""
    return encode({REFUSED_RECORD: _head(item), REJECTED_BECAUSE: reason})


def _head(item: bytes) -> str:
    return item[:REFUSED_BYTES].decode(errors="replace")
