"""The topic of the ledger: entries written so that Kafka has acknowledged them, and read whole."""

from collections.abc import Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fraudstream.errors import DataError, KafkaFailure
from fraudstream.kafka.reading import open_reader, open_writer, read_partition
from fraudstream.transactions.ledger import LedgerEntry, parse_entry
from fraudstream.transactions.wire import Topic

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
