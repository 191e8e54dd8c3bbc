"""Measures what rows of odd size do to their neighbours: latency and the detector's memory, with and without them.

    python -m benchmarks.odd_rows --rate 500 --seconds 60

Rows flow at a rate; in the second half one in so many is odd: 10,000 columns, 900 KB, nested 5,000 deep, or over the
limit. Latency is that of sampled rows as trained, from production to the sample's record in Kafka.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import prepare
from benchmarks.system.percentiles import quantiles
from benchmarks.system.resources import resident_mib
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, OUTPUT_TOPICS, Topic

INPUT_LIMIT: Final = 2 * DEFAULT_MAX_RECORD_BYTES
"""Of the topic: the detector's own limit is half of it, so that rows over that limit reach the detector."""

WARM_UP_SECONDS: Final = 20


def odd_rows(row: bytes) -> dict[str, bytes]:
    """One of each kind, made of a row as trained."""
    open_row = row[:-1]
    return {
        "10,000 columns": open_row + b"".join(b',"c%d":%d' % (i, i) for i in range(10_000)) + b"}",
        "900 KB": open_row + b',"note":"' + b"x" * 900_000 + b'"}',
        "nested 5,000 deep": open_row + b',"x":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_001,
        "over the limit": open_row + b',"note":"' + b"x" * (DEFAULT_MAX_RECORD_BYTES + 1) + b'"}',
    }


def send(bootstrap: str, rows: list[bytes], rate: float, seconds: float, odd_every: int | None) -> Counter[str]:
    """Send rows at a rate, open loop; one in `odd_every` is odd. Returns how many of each odd kind."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "message.max.bytes": INPUT_LIMIT})
    sent: Counter[str] = Counter()
    odd = cycle(odd_rows(rows[0]).items())
    began = time.monotonic()
    for number, row in enumerate(cycle(rows)):
        due = began + number / rate
        if due > began + seconds:
            break
        while (left := due - time.monotonic()) > 0:
            producer.poll(min(left, 0.01))
        producer.produce(Topic.TRANSACTIONS.value, row, partition=number % 2, headers=[("kind", b"as trained")])
        if odd_every is not None and number % odd_every == 0:
            kind, text = next(odd)
            producer.produce(Topic.TRANSACTIONS.value, text, partition=number % 2, headers=[("kind", kind.encode())])
            sent[kind] += 1
    producer.flush(30)
    return sent


def output(bootstrap: str) -> dict[Topic, list[tuple[int, dict[str, Any]]]]:
    """Everything on the output topics: Kafka's time in milliseconds, and the content (empty for a dead letter)."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bench", "log_level": 0, "fetch.message.max.bytes": 10_000_000}
    )
    consumer.assign([TopicPartition(topic.value, 0, 0) for topic in OUTPUT_TOPICS])
    records: dict[Topic, list[tuple[int, dict[str, Any]]]] = {topic: [] for topic in OUTPUT_TOPICS}
    while messages := consumer.consume(1_000, timeout=3.0):
        for message in messages:
            topic = Topic(str(message.topic()))
            content = {} if topic is Topic.DEAD_LETTERS else orjson.loads(message.value() or b"{}")
            records[topic].append((message.timestamp()[1], content))
    consumer.close()
    return records


def latencies(samples: list[tuple[int, dict[str, Any]]], since: float, until: float) -> dict[str, float]:
    """Percentiles of the samples produced in a span of the clock."""
    values = [
        at - produced
        for at, content in samples
        if content["type"] == "sample"
        and since * 1000
        <= (produced := datetime.fromisoformat(content["produced_at"]).timestamp() * 1000)
        < until * 1000
    ]
    return {f"{name}_ms": value for name, value in quantiles(values).items()} | {"samples": len(values)}


def main() -> None:
    """Run both halves and write the JSON."""
    parser = study.parser(__doc__, "odd_rows")
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--odd-every", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = prepare(folder, None, "logistic-regression", os.environ, study.say)
        rows = list(material.source.json_rows())
        with (
            study.broker(folder, 2, INPUT_LIMIT) as where,
            study.detector(where, material.model, folder, "--sample-every", "8") as process,
        ):
            send(where, rows, arguments.rate, WARM_UP_SECONDS, arguments.odd_every)
            began = time.time()
            send(where, rows, arguments.rate, arguments.seconds, None)
            between, before = time.time(), resident_mib(process.pid)
            sent = send(where, rows, arguments.rate, arguments.seconds, arguments.odd_every)
            ended, after = time.time(), resident_mib(process.pid)
            records = output(where)
    starts = [content for _, content in records[Topic.EVENTS] if content["type"] == "query"]
    result = {
        **circumstances(),
        "rate": arguments.rate,
        "odd_rows": dict(sent),
        "dead_letters": len(records[Topic.DEAD_LETTERS]),
        "query_starts": len(starts),
        "without_odd_rows": latencies(records[Topic.EVENTS], began, between) | {"resident_mib": before},
        "with_odd_rows": latencies(records[Topic.EVENTS], between, ended) | {"resident_mib": after},
    }
    write_result(arguments.output, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
