"""Sends, between the producer's rows, what others might: odd records, rows again, out of order, out of time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from chaos.data import Payments, Verdict
from chaos.fuzz import WITHOUT_TRANSACTION, Headers, Oddity, in_envelope, oddities
from fraudstream.kafka.progress import read_progress
from fraudstream.transactions.envelope import wrapped
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Header, Topic, event_id

DAY_MS: Final = 86_400_000
TICK_SECONDS: Final = 0.05
FLUSH_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Mixture:
    """How much of what.

    Attributes:
        odd: Records that are odd in themselves.
        again: Of the real producer's rows, the share that is sent a second time: same id, same bytes, any order.
        shuffled: Rows of a producer of our own, in random order.
        ahead: Of those of another, whose clock is a day ahead.
        behind: And of one whose clock is a day behind.
        seconds: Over which all of it is spread.
    """

    odd: int = 0
    again: float = 0.0
    shuffled: int = 0
    ahead: int = 0
    behind: int = 0
    seconds: float = 60.0


@dataclass
class Mixed:
    """What was sent, as Kafka acknowledged it.

    Attributes:
        ids: By event id, the verdict on each row of a producer of our own.
        places: By `topic/partition/offset`, each odd record.
        again: Rows that were sent a second time.
        refused: What Kafka would not take, and why.
    """

    ids: dict[str, Verdict] = field(default_factory=dict)
    places: dict[str, Oddity] = field(default_factory=dict)
    again: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Mixer:
    """A thread that sends a mixture once; `finish` ends it and tells what was acknowledged.

    Args:
        bootstrap: Kafka's address.
        payments: What the real producer streams.
        progress: Where it keeps its progress.
        mixture: How much of what.
        seed: Of all chance.
        encode: Turns a row into the bytes that the real producer sends.
        envelope: Where the row is in each record.
    """

    def __init__(
        self,
        bootstrap: str,
        payments: Payments,
        progress: Path,
        mixture: Mixture,
        seed: int,
        encode: Callable[[bytes], bytes],
        envelope: str = "",
    ) -> None:
        self._envelope = envelope
        self._payments = payments
        self._progress = progress
        self._mixture = mixture
        self._chance = Random(seed)
        self._encode = encode
        self._run = f"chaos-{seed}"
        self._mixed = Mixed()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="mixer", daemon=True)
        self._client = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "message.max.bytes": DEFAULT_MAX_RECORD_BYTES,
                "log_level": 0,
            }
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether all was sent."""
        return not self._thread.is_alive()

    def finish(self) -> Mixed:
        """Send the rows again for no longer, and return once Kafka has acknowledged everything.

        Raises:
            SystemExit: It does not.
        """
        self._stop.set()
        self._thread.join()
        if left := self._client.flush(FLUSH_SECONDS):
            raise SystemExit(f"Kafka did not acknowledge {left} of the records that were sent between the rows")
        return self._mixed

    def _send_all(self) -> None:
        jobs = self._jobs()
        began, count, again = time.monotonic(), 0, 0
        while not self._stop.is_set() and (count < len(jobs) or self._mixture.again):
            share = min(1.0, (time.monotonic() - began) / self._mixture.seconds)
            while count < share * len(jobs):
                self._give(*jobs[count])
                count += 1
            again = self._send_again(again)
            self._client.poll(TICK_SECONDS)
            self._stop.wait(TICK_SECONDS)
        # To finish early, the rest goes at once.
        for job in jobs[count:]:
            self._give(*job)

    def _jobs(self) -> list[tuple[Any, ...]]:
        mixture, payments, chance = self._mixture, self._payments, self._chance
        odds = oddities(mixture.odd, payments.texts, payments.verdicts, chance)
        if self._envelope:
            heartbeat = Oddity("heartbeat", b'{"ts_ms":1}', WITHOUT_TRANSACTION)
            odds = [*(in_envelope(odd, self._envelope) for odd in odds), *[heartbeat] * (mixture.odd // 10)]
        jobs: list[tuple[Any, ...]] = [(odd.value, odd.headers, odd.key, 0, odd, None) for odd in odds]
        now = int(time.time() * 1000)
        for pass_number, (count, shift) in enumerate(
            ((mixture.shuffled, 0), (mixture.ahead, DAY_MS), (mixture.behind, -DAY_MS))
        ):
            for row in chance.sample(range(len(payments.texts)), min(count, len(payments.texts))):
                name = event_id(self._run, payments.source.fingerprint, pass_number, row)
                at = now + shift if shift else 0
                jobs.append((self._text(row), _headers(name, row), None, at, None, (name, payments.verdicts[row])))
        chance.shuffle(jobs)
        return jobs

    def _send_again(self, already: int) -> int:
        """Send as many of the producer's rows again as the share asks by now."""
        if not self._mixture.again:
            return already
        fingerprint = self._payments.source.fingerprint
        run = read_progress(self._progress, fingerprint)
        rows = len(self._payments.texts)
        while run is not None and run.settled and already < run.settled * self._mixture.again:
            pass_number, row = divmod(self._chance.randrange(run.settled), rows)
            name = event_id(run.run_id, fingerprint, pass_number, row)
            self._give(self._encode(self._text(row)), _headers(name, row), None, 0, None, None)
            already += 1
        return already

    def _text(self, row: int) -> bytes:
        return wrapped(self._payments.texts[row], self._envelope)

    def _give(
        self,
        value: bytes | None,
        headers: Headers,
        key: bytes | None,
        timestamp: int,
        odd: Oddity | None,
        named: tuple[str, Verdict] | None,
    ) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._mixed.refused[f"{odd.kind if odd else 'a row'}: {error.str()}"] += 1
            elif odd is not None:
                self._mixed.places[f"{message.topic()}/{message.partition()}/{message.offset()}"] = odd
            elif named is not None:
                self._mixed.ids[named[0]] = named[1]
            else:
                self._mixed.again += 1

        while True:
            try:
                self._client.produce(
                    Topic.TRANSACTIONS.value,
                    value,
                    key,
                    partition=self._chance.randrange(2),
                    headers=headers,
                    timestamp=timestamp,
                    on_delivery=delivered,
                )
                return
            except BufferError:
                self._client.poll(TICK_SECONDS)


def _headers(name: str, row: int) -> Headers:
    return [(Header.EVENT_ID.value, name), (Header.SOURCE_ROW.value, str(row))]
