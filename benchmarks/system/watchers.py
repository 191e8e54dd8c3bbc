"""Who sees, from outside and when, that an alert has come to a stage; the page in a browser is `page.py`'s.

Every time is this machine's wall clock, as the due times are. Nothing is added to the system's own work: a Kafka
consumer, a reader of the database, and one more viewer of the stream.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from benchmarks.system.schedule import row_of
from fraudstream.kafka.client import Cluster
from fraudstream.runtime.processes import LOOPBACK
from fraudstream.store import tables
from fraudstream.transactions.wire import AlertField, Topic

STORE_POLL_SECONDS: Final = 0.0005
"""How often the database is asked while an alert is on its way: the error of the stage `store`, upwards."""

Arrivals = dict[int, float]


class Watcher(threading.Thread):
    """A thread that notes when rows come to a stage, until it is to stop.

    Attributes:
        arrivals: Row to time, the first one.
        again: How many came more than once.
        failure: What ended it early.
    """

    def __init__(self, stage: str) -> None:
        super().__init__(name=f"watching {stage}", daemon=True)
        self.stage = stage
        self.arrivals: Arrivals = {}
        self.again = 0
        self.failure: Exception | None = None
        self.watching = threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Watch; a failure is kept for whoever asks."""
        try:
            self.watch()
        except Exception as e:  # reported in the result, as a stage without times would be taken for a system's fault
            self.failure = e
        finally:
            self.watching.set()

    def watch(self) -> None:
        """Note rows until `stopping`."""
        raise NotImplementedError

    def note(self, alert_id: str, at: float) -> int | None:
        """Note one; returns its row where it is new."""
        row = row_of(alert_id)
        if row is None:
            return None
        if row in self.arrivals:
            self.again += 1
            return None
        self.arrivals[row] = at
        return row


class TopicWatcher(Watcher):
    """Sees alerts come out of `fraud_alerts`, as any consumer would.

    Attributes:
        stamped: Row to the record's own time, which has whole milliseconds.
    """

    def __init__(self, cluster: Cluster, partitions: int, under_way: threading.Event) -> None:
        super().__init__("alert_topic")
        self._cluster = cluster
        self._partitions = partitions
        self._under_way = under_way
        self.stamped: Arrivals = {}

    def watch(self) -> None:
        """Read the topic from its beginning."""
        consumer = Consumer(self._cluster.client() | {"group.id": "fraudstream-bench", "socket.nagle.disable": True})
        try:
            consumer.assign([TopicPartition(Topic.ALERTS.value, each, 0) for each in range(self._partitions)])
            self.watching.set()
            while not self.stopping.is_set():
                message = consumer.poll(0.1)
                if message is None or message.error() is not None:
                    continue
                at = time.time()
                row = self.note(orjson.loads(message.value() or b"{}").get(AlertField.ALERT_ID, ""), at)
                if row is not None:
                    self.stamped[row] = message.timestamp()[1] / 1000
                    self._under_way.set()
        finally:
            consumer.close()


class StoreWatcher(Watcher):
    """Sees alerts that are committed, by asking the database while one is on its way.

    Attributes:
        posted: Row to the time at which the dashboard had it in hand and began the transaction.
    """

    def __init__(self, database: str, topic: TopicWatcher, under_way: threading.Event) -> None:
        super().__init__("store")
        self._database = database
        self._topic = topic
        self._under_way = under_way
        self.posted: Arrivals = {}

    def watch(self) -> None:
        """Ask for what is behind the last that is known."""
        engine = create_engine(self._database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        alerts = tables.alerts.c
        query = select(alerts.seq, alerts.alert_id, alerts.received_us).order_by(alerts.seq)
        with engine.connect() as store:
            last = 0
            self.watching.set()
            while not self.stopping.is_set():
                if not self._under_way.wait(0.1):
                    continue
                # Before asking: what comes to the topic meanwhile sets it again.
                self._under_way.clear()
                while len(self.arrivals) < len(self._topic.arrivals) and not self.stopping.is_set():
                    rows = store.execute(query.where(alerts.seq > last)).all()
                    at = time.time()
                    for seq, alert_id, received_us in rows:
                        last = seq
                        row = self.note(alert_id, at)
                        if row is not None:
                            self.posted[row] = received_us / 1e6
                    time.sleep(STORE_POLL_SECONDS)


class StreamWatcher(Watcher):
    """Sees alerts in the server-sent events, as one more viewer."""

    def __init__(self, port: int) -> None:
        super().__init__("sse")
        self._port = port

    def watch(self) -> None:
        """Read the stream; its counters come each second, so that it never waits long."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=10)
        try:
            connection.request("GET", "/api/stream")
            answer = connection.getresponse()
            self.watching.set()
            kind = b""
            while not self.stopping.is_set():
                line = answer.readline()
                if not line:
                    raise ConnectionError("the stream ended")
                if line.startswith(b"event: "):
                    kind, at = line[7:].strip(), time.time()
                elif line.startswith(b"data: ") and kind == b"alert":
                    self.note(orjson.loads(line[6:])[AlertField.ALERT_ID], at)
        finally:
            connection.close()


@contextmanager
def watching(*watchers: Watcher) -> Iterator[None]:
    """Start the watchers and return once each watches; stop them at the end."""
    for watcher in watchers:
        watcher.start()
    try:
        for watcher in watchers:
            watcher.watching.wait(60)
        yield
    finally:
        for watcher in watchers:
            watcher.stopping.set()
        for watcher in watchers:
            watcher.join(20)
