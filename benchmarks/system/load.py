"""The load generator, a process of its own: sends each row when it is due, by `schedule.py`, and notes its outcome.

python -m benchmarks.system.load SPEC.json
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.system.schedule import Schedule, Times, event_id_of
from fraudstream.config import Settings
from fraudstream.kafka.client import Cluster
from fraudstream.runtime.files import replace_json
from fraudstream.transactions.wire import Header, Topic

LEAD_SECONDS: Final = 0.5
"""Between the ready file and the first row."""


@dataclass(frozen=True)
class LoadSpec:
    """What is sent.

    Attributes:
        bootstrap_servers: Kafka's address; its security is in the environment, as for our commands.
        partitions: Of the topic; rows go to them by turns.
        clear: A file of rows, one JSON object a line, that raise no alert.
        alerts: The same of rows that raise one.
        rate: Rows a second.
        seconds: For how long.
        alert_share: The share of rows that raise an alert; which ones is drawn with `seed`.
        seed: Of that draw.
        linger_ms: How long the client lets a row wait for company.
        ready: Written before the first row: `start`, when that is due.
        output: Written at the end (numpy): `start`, `sent`, `acknowledged`, `alert` by row.
    """

    bootstrap_servers: str
    partitions: int
    clear: str
    alerts: str
    rate: float
    seconds: float
    alert_share: float
    seed: int
    linger_ms: float
    ready: str
    output: str

    def write(self, path: Path) -> None:
        """For the process to read."""
        path.write_bytes(orjson.dumps(asdict(self)))


@dataclass(frozen=True)
class Sent:
    """What the generator noted, by row: NaN for what never happened.

    Attributes:
        schedule: When each was due.
        sent: When it was given to the client.
        acknowledged: When the client knew that Kafka has it.
        alert: Whether it is to raise an alert.
    """

    schedule: Schedule
    sent: Times
    acknowledged: Times
    alert: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def read(cls, path: Path) -> Sent:
        """What a generator wrote."""
        with np.load(path) as arrays:
            schedule = Schedule(float(arrays["start"]), float(arrays["rate"]), len(arrays["sent"]))
            return cls(schedule, arrays["sent"], arrays["acknowledged"], arrays["alert"])


def run(spec: LoadSpec) -> None:
    """Send everything, await the acknowledgements and write the output."""
    clear = Path(spec.clear).read_bytes().splitlines()
    alerts = Path(spec.alerts).read_bytes().splitlines()
    rows = Schedule.lasting(0.0, spec.rate, spec.seconds).rows
    is_alert = np.random.default_rng(spec.seed).random(rows) < spec.alert_share
    if not alerts:
        is_alert[:] = False
    sent, acknowledged = np.full(rows, np.nan), np.full(rows, np.nan)

    def reported(row: int, error: KafkaError | None, _: Message) -> None:
        if error is None:
            acknowledged[row] = time.time()

    cluster = Cluster.of(Settings.load(bootstrap_servers=spec.bootstrap_servers))
    client = Producer(
        cluster.client()
        | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": spec.linger_ms,
            "socket.nagle.disable": True,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    client.list_topics(timeout=10)
    done = threading.Event()
    server = threading.Thread(target=lambda: _serve(client, done), name="reports")
    server.start()
    schedule = Schedule(time.time() + LEAD_SECONDS, spec.rate, rows)
    replace_json(Path(spec.ready), {"start": schedule.start})
    try:
        for row, (due, alerting) in enumerate(zip(schedule.due.tolist(), is_alert.tolist(), strict=True)):
            while (left := due - time.time()) > 0:
                time.sleep(left)
            payload = alerts[row % len(alerts)] if alerting else clear[row % len(clear)]
            sent[row] = time.time()
            _give(client, spec, row, payload, functools.partial(reported, row))
        client.flush(60)
    finally:
        done.set()
        server.join()
        np.savez(
            spec.output, start=schedule.start, rate=spec.rate, sent=sent, acknowledged=acknowledged, alert=is_alert
        )


def _serve(client: Producer, done: threading.Event) -> None:
    while not done.is_set():
        client.poll(0.1)


def _give(client: Producer, spec: LoadSpec, row: int, payload: bytes, reported: Any) -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        (Header.EVENT_ID.value, event_id_of(row)),
        (Header.SOURCE_ROW.value, str(row)),
    ]
    while True:
        try:
            client.produce(
                Topic.TRANSACTIONS.value,
                payload,
                partition=row % spec.partitions,
                headers=headers,
                on_delivery=reported,
            )
            return
        except BufferError:  # a full queue makes the rows late, which counts as such
            time.sleep(0.001)


if __name__ == "__main__":
    run(LoadSpec(**orjson.loads(Path(sys.argv[1]).read_bytes())))
