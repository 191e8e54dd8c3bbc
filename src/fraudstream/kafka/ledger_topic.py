"""The topic of the ledger: entries written so that Kafka has acknowledged them, and read whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.errors import DataError, KafkaFailure
from fraudstream.transactions.ledger import LedgerEntry, parse_entry
from fraudstream.transactions.wire import Topic

log = structlog.get_logger(__name__)

SEND_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0


class KafkaLedger:
    """The ledger on one Kafka; connects when it is first used."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: Producer | None = None

    def send(self, entries: Sequence[LedgerEntry]) -> bool:
        """Write entries, each under its id; whether Kafka acknowledged them all within ten seconds."""
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap_servers,
                    "acks": "all",
                    "enable.idempotence": True,
                    "message.timeout.ms": int(SEND_SECONDS * 1000),
                    "log_level": 0,
                }
            )
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
        """Every entry that is there now, the newest of each id, in the order of their first writing.

        Raises:
            KafkaFailure: Kafka does not give them.
        """
        found: dict[str, LedgerEntry] = {}
        for message in self._messages():
            key = (message.key() or b"").decode(errors="replace")
            value, place = message.value(), f"{message.topic()}[{message.partition()}]"
            if value is None:
                found.pop(key, None)
                continue
            try:
                entry = parse_entry(value)
            except Exception as e:  # whatever it is, it is this record's
                reason = e.what if isinstance(e, DataError) else f"{type(e).__name__}: {e}"
                log.error("a record of the ledger cannot be read", record=f"{place} {message.offset()}", reason=reason)
                continue
            found[entry.entry_id] = entry
        return list(found.values())

    def _messages(self) -> Iterator[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": "fraudstream-ledger",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                # The end is told by a fetch that has waited this long for more (librdkafka's default: 0.5 s).
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        place = TopicPartition(Topic.LEDGER.value, 0, OFFSET_BEGINNING)
        try:
            begin, end = consumer.get_watermark_offsets(place, timeout=READ_SECONDS)
            # Asking also connects: a poll of a client that knows no broker yet takes half a second more.
            if begin == end:
                return
            consumer.assign([place])
            while True:
                message = consumer.poll(READ_SECONDS)
                if message is None:
                    raise self._failure("it does not answer")
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's name for it
                    return
                else:
                    raise self._failure(error.str())
        except KafkaException as e:
            raise self._failure(str(e.args[0])) from e
        finally:
            consumer.close()

    def _failure(self, reason: str) -> KafkaFailure:
        return KafkaFailure(
            f"the ledger cannot be read: {reason}",
            where=f"topic {Topic.LEDGER} at {self._bootstrap_servers}",
            remedy="see the broker's log, then try again",
        )
