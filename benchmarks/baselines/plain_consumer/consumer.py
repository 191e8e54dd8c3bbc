"""Consumes the topic in batches, scores them with numpy and produces what is remarkable; started by the runner.

python -m benchmarks.baselines.plain_consumer.consumer --bootstrap-servers … --topic … --model FILE --share 1/2
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Message, Producer, TopicPartition

from benchmarks.baselines.plain_consumer.contract import Reader, values_getter
from benchmarks.baselines.plain_consumer.model import Model, load_model
from benchmarks.baselines.reporting import Progress

MESSAGES_AT_ONCE = 5_000
MAX_RECORD_BYTES = 1_048_588


class Bare:
    """The least that can be written: what cannot be read at once is passed over, in silence."""

    def __init__(self, model: Model, producer: Producer, prefix: str) -> None:
        self._model, self._producer, self._alerts = model, producer, f"{prefix}fraud_alerts"
        self._values = values_getter(model.names)

    def scorer(self, messages: Sequence[Message]) -> None:
        """Score a batch and produce its alerts."""
        loads, take = orjson.loads, self._values
        rows, numeric = [], []
        for message in messages:
            try:
                rows.append(take(loads(message.value())))  # type: ignore[arg-type]
                numeric.append(message)
            except (ValueError, TypeError, KeyError):
                continue
        if not rows:
            return
        try:
            matrix = np.array(rows, dtype=np.float64)
        except (ValueError, TypeError):  # an odd cell spoils the batch: row by row, without it
            pairs = [(row, message) for row, message in zip(rows, numeric, strict=True) if _is_numbers(row)]
            matrix = np.array([row for row, _ in pairs], dtype=np.float64).reshape(len(pairs), len(self._model.names))
            numeric = [message for _, message in pairs]
        scores = self._model.scores(matrix)
        for place in np.flatnonzero(scores >= self._model.threshold):
            message = numeric[place]
            alert = {
                "partition": message.partition(),
                "offset": message.offset(),
                "score": float(scores[place]),
                "transaction": orjson.Fragment(message.value() or b"null"),
            }
            self._producer.produce(self._alerts, orjson.dumps(alert))
        self._producer.poll(0)


def _is_numbers(row: Sequence[Any]) -> bool:
    try:
        np.array(row, dtype=np.float64)
    except (ValueError, TypeError):
        return False
    return True


class Contract:
    """Every record ends in one outcome: missing, text and NaN are read as the contract says; four topics."""

    def __init__(self, model: Model, producer: Producer, prefix: str) -> None:
        self._model, self._producer, self._prefix = model, producer, prefix
        self._reader = Reader(model, MAX_RECORD_BYTES)

    def scorer(self, messages: Sequence[Message]) -> None:
        """Score a batch and route what is not clear; returns once Kafka has all of it."""
        model = self._model
        read = self._reader.read([message.value() for message in messages])
        scores = model.scores(read.matrix)
        for row in np.flatnonzero(~(scores < model.threshold)):
            place, score = read.places[row], float(scores[row])
            imputed = read.imputed.get(place, [])
            if np.isnan(score):
                self._alert(messages[place], None, imputed, "the score is not a finite number")
            else:
                self._alert(messages[place], score, imputed, None)
        for place, reason in read.unscorable.items():
            self._alert(messages[place], None, read.imputed.get(place, []), reason)
        for place, reason in read.dead_letters.items():
            self._dead_letter(messages[place], reason)
        self._sample(messages[-1])
        self._producer.flush()

    def _alert(self, message: Message, score: float | None, imputed: list[str], reason: str | None) -> None:
        headers = _headers(message)
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        identity = (headers.get("event_id") or place.encode()).decode()
        row = headers.get("source_row")
        value = message.value() or b"null"
        alert: dict[str, Any] = {
            "alert_id": identity,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "source_row": None if row is None else int(row),
            "produced_at": _time(message),
            "outcome": "unscorable" if score is None else "alert",
            "reason": reason,
            "score": score,
            "threshold": self._model.threshold,
            "model_id": self._model.model_id,
            "revision": self._model.revision,
            "imputed": imputed,
        }
        try:
            orjson.loads(value)
            alert["transaction"] = orjson.Fragment(value)
        except ValueError:  # only leniently JSON: kept as text
            alert["transaction_text"] = value.decode(errors="replace")
        topic = "transactions_unscorable" if score is None else "fraud_alerts"
        self._producer.produce(
            f"{self._prefix}{topic}",
            orjson.dumps(alert),
            message.key(),
            headers={"event_id": identity},
        )

    def _dead_letter(self, message: Message, reason: str) -> None:
        value = message.value()
        error_headers = {
            "__connect.errors.topic": message.topic(),
            "__connect.errors.partition": str(message.partition()),
            "__connect.errors.offset": str(message.offset()),
            "__connect.errors.stage": "VALUE_CONVERTER",
            "__connect.errors.exception.message": reason,
            "__connect.errors.original.bytes": str(len(value or b"")),
            "produced_at": _time(message),
        }
        self._producer.produce(
            f"{self._prefix}transactions_dead_letter",
            None if value is None else value[:MAX_RECORD_BYTES],
            message.key(),
            headers=[*(message.headers() or []), *((name, text or "") for name, text in error_headers.items())],
        )

    def _sample(self, message: Message) -> None:
        event = {"type": "sample", "partition": message.partition(), "offset": message.offset(), "at": _time(message)}
        self._producer.produce(f"{self._prefix}detector_events", orjson.dumps(event))


def _headers(message: Message) -> dict[str, bytes | None]:
    # The client's types also allow for what only a producer is given.
    return dict(cast(list[tuple[str, bytes | None]], message.headers() or []))


def _time(message: Message) -> str:
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC).isoformat(timespec="milliseconds")


def consume(arguments: argparse.Namespace) -> None:
    """Score this process' share of the partitions until a signal ends it."""
    producer = Producer(
        {
            "bootstrap.servers": arguments.bootstrap_servers,
            "linger.ms": 0,
            "message.max.bytes": 4 * MAX_RECORD_BYTES,
            "log_level": 0,
        }
    )
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap_servers,
            "group.id": arguments.group,
            "enable.auto.commit": arguments.variant == "bare",
            "fetch.wait.max.ms": 10,
            "queued.min.messages": 200_000,
            "fetch.message.max.bytes": 4 * MAX_RECORD_BYTES,
            "log_level": 0,
        }
    )
    number, _, of = arguments.share.partition("/")
    partitions = consumer.list_topics(arguments.topic, timeout=10).topics[arguments.topic].partitions
    start = OFFSET_BEGINNING if arguments.start == "earliest" else OFFSET_END
    own = [TopicPartition(arguments.topic, each, start) for each in partitions if each % int(of) == int(number) - 1]
    consumer.assign(own)
    model = load_model(arguments.model)
    scorer = (Bare if arguments.variant == "bare" else Contract)(model, producer, arguments.prefix).scorer
    progress = Progress()
    while True:
        # The first that comes is not held back until a batch is full.
        first = consumer.poll(0.25)
        if first is None:
            continue
        batch = [first, *consumer.consume(MESSAGES_AT_ONCE - 1, 0)]
        messages = [message for message in batch if message.error() is None]
        if messages:
            scorer(messages)
            if arguments.variant == "contract":
                consumer.commit(asynchronous=True)
            progress.scored(len(messages))


def main() -> None:
    """Read the arguments and consume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--model", type=Path, required=True, help="What `exported.py` wrote.")
    parser.add_argument("--variant", choices=("bare", "contract"), required=True)
    parser.add_argument("--share", default="1/1", help="Which of how many processes.")
    parser.add_argument("--group", required=True)
    parser.add_argument("--prefix", required=True, help="Of the names of the topics that are written.")
    parser.add_argument("--start", choices=("earliest", "latest"), default="earliest")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    consume(parser.parse_args())


if __name__ == "__main__":
    main()
