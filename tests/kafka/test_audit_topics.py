"""The audit on a real broker and a real store: what is written there by hand, and what is then taken away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import audits
from brokers import broker_plan, running_broker
from dashboards import alert as stored_alert
from fraudstream.audit.comparison import audit
from fraudstream.audit.report import AuditReport, Kind
from fraudstream.audit.workdir import broker_of
from fraudstream.config import Settings
from fraudstream.errors import SettingsError, StoreError
from fraudstream.kafka.broker import BrokerPlan, RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import topic_id
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.store.operations import prune
from fraudstream.store.store import AlertStore
from fraudstream.times import microseconds
from fraudstream.transactions.wire import Topic

pytestmark = pytest.mark.kafka

INPUT = Topic.TRANSACTIONS.value
ALERTS_AT, UNSCORABLE_AT, DEAD_LETTER_AT = (2, 5, 11), 7, 8


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, java: Java, jars: Jars) -> BrokerPlan:
    """A broker on a folder as a demo has it: the audit looks at our own topics, which are this module's alone."""
    return broker_plan(tmp_path_factory.mktemp("workdir"), java, jars)


@pytest.fixture(scope="module")
def own_broker(plan: BrokerPlan) -> Iterator[RunningBroker]:
    with running_broker(plan) as running:
        yield running


class Stream:
    """What a detector, a relay and a dashboard would have written of twenty records."""

    def __init__(self, bootstrap: str, database: Path) -> None:
        self.bootstrap = bootstrap
        self.cluster = Cluster(bootstrap)
        self.url = f"sqlite:///{database}"
        self.database = database
        self.producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        self.topic_id = topic_id(self.cluster, INPUT)
        self.store = AlertStore.open(self.url)
        self.records: list[PostedRecord] = []

    def fill(self) -> None:
        for _ in range(20):
            self.producer.produce(INPUT, b"{}", partition=0)
        for offset in ALERTS_AT:
            self.say(Topic.ALERTS, self.alert(offset))
        self.say(Topic.UNSCORABLE, self.alert(UNSCORABLE_AT, outcome="unscorable", score=None))
        headers = {
            "__connect.errors.topic": INPUT,
            "__connect.errors.partition": "0",
            "__connect.errors.offset": str(DEAD_LETTER_AT),
        }
        self.say(Topic.DEAD_LETTERS, b"[]", headers)
        self.enter(self.entry(0, 10, alert=2, unscorable=1, dead_letter=1))
        self.enter(self.entry(10, 20, alert=1))
        assert self.producer.flush(30) == 0

    def alert(self, offset: int, **changes: Any) -> bytes:
        plain = stored_alert(offset, topic=INPUT, offset=offset, model_id="m", revision=1)
        return json.dumps(plain | changes).encode()

    def entry(self, start: int, until: int, **changes: Any) -> LedgerEntry:
        return audits.entry(start, until, topic_id=self.topic_id, **changes)

    def say(self, topic: Topic, value: bytes, headers: dict[str, str] | None = None) -> None:
        """Write a record of an output topic and relay it."""
        placed: list[tuple[int, int]] = []

        def delivered(error: object, message: Any) -> None:
            assert error is None
            placed.append((message.offset(), message.timestamp()[1]))

        self.producer.produce(topic.value, value, partition=0, headers={**(headers or {})}, on_delivery=delivered)
        assert self.producer.flush(30) == 0
        ((offset, at),) = placed
        encoded = [(name, text.encode()) for name, text in (headers or {}).items()]
        self.relay(PostedRecord(topic, topic.value, 0, offset, at, None, value, encoded))

    def relay(self, record: PostedRecord) -> None:
        payload = to_payload(record)
        if record.topic is Topic.DEAD_LETTERS:
            self.store.add_dead_letters([payload])
        else:
            self.store.add_alerts([payload])
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": self.cluster.group, "enable.auto.commit": False}
        )
        consumer.commit(offsets=[TopicPartition(record.topic.value, 0, record.offset + 1)], asynchronous=False)
        consumer.close()

    def enter(self, entry: LedgerEntry) -> None:
        self.producer.produce(Topic.LEDGER.value, entry.to_json(), key=entry.entry_id.encode())

    def audit(self) -> AuditReport:
        assert self.producer.flush(30) == 0
        return audit(Settings(bootstrap_servers=self.bootstrap, database=self.url))


@pytest.fixture(scope="module")
def stream(own_broker: RunningBroker, plan: BrokerPlan) -> Iterator[Stream]:
    stream = Stream(own_broker.bootstrap_servers, plan.data_dir.parent / "alerts.db")
    stream.fill()
    yield stream
    stream.store.close()


def places(report: AuditReport) -> set[tuple[Kind, str]]:
    return {(finding.kind, finding.position) for finding in report.findings}


def test_what_is_whole_is_complete_while_the_dashboard_has_the_store_open(stream: Stream) -> None:
    report = stream.audit()
    assert report.findings == []
    assert report.complete
    assert report.document()["accounted"] == 20
    assert report.outcomes == {"clear": 15, "alert": 3, "unscorable": 1, "dead_letter": 1}


def test_an_alert_that_is_taken_from_the_store_is_named(stream: Stream) -> None:
    with sqlite3.connect(stream.database) as database:
        (row,) = database.execute("SELECT * FROM alerts WHERE alert_id = 'id-5'").fetchall()
        database.execute("DELETE FROM alerts WHERE alert_id = 'id-5'")
    assert places(stream.audit()) == {(Kind.MISSING, f"{INPUT}[0] 5")}
    with sqlite3.connect(stream.database) as database:
        database.execute(f"INSERT INTO alerts VALUES ({','.join('?' * len(row))})", row)
    assert stream.audit().ok


def test_a_dead_letter_that_is_taken_from_the_store_is_named(stream: Stream) -> None:
    with sqlite3.connect(stream.database) as database:
        (row,) = database.execute("SELECT * FROM dead_letters").fetchall()
        database.execute("DELETE FROM dead_letters")
    assert places(stream.audit()) == {(Kind.MISSING, f"{INPUT}[0] {DEAD_LETTER_AT}")}
    with sqlite3.connect(stream.database) as database:
        database.execute(f"INSERT INTO dead_letters VALUES ({','.join('?' * len(row))})", row)


def test_an_entry_that_a_tombstone_takes_away_leaves_a_gap(stream: Stream) -> None:
    first = stream.entry(0, 10, alert=2, unscorable=1, dead_letter=1)
    stream.producer.produce(Topic.LEDGER.value, None, key=first.entry_id.encode())
    assert places(stream.audit()) == {(Kind.UNACCOUNTED, f"{INPUT}[0] 0..9")}
    stream.enter(first)
    assert stream.audit().complete


def test_an_entry_of_another_topic_counts_for_nothing(stream: Stream) -> None:
    other = audits.entry(20, 30, checkpoint="old", topic_id="another")
    stream.enter(other)
    report = stream.audit()
    assert report.total("accounted") == 20
    assert report.notes
    stream.producer.produce(Topic.LEDGER.value, None, key=other.entry_id.encode())
    assert stream.audit().notes == []


def test_a_missing_store_and_a_folder_that_is_no_demos_are_errors_with_a_remedy(stream: Stream, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no alert store"):
        audit(Settings(bootstrap_servers=stream.bootstrap, database=f"sqlite:///{tmp_path / 'none.db'}"))
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(SettingsError, match="no Kafka"), broker_of(tmp_path, Settings(), lambda line: None):
        pass


def test_the_broker_of_a_running_demo_is_found(stream: Stream, plan: BrokerPlan) -> None:
    with broker_of(plan.data_dir.parent, Settings(), lambda line: None) as bootstrap:
        assert bootstrap == plan.bootstrap_servers


def test_pruned_alerts_are_not_missing_and_a_note_says_so(stream: Stream) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    assert prune(stream.store.database, microseconds(now))["alerts"] == len(ALERTS_AT)
    report = stream.audit()
    assert report.complete
    assert [note for note in report.notes if "3 outcomes on the topics" in note] == report.notes


def test_a_malformed_alert_is_named_on_its_topic_and_among_the_rejected(stream: Stream) -> None:
    # The last test on the stream: a topic forgets nothing.
    stream.say(Topic.ALERTS, b'{"alert_id": 5}')
    report = stream.audit()
    assert not report.ok
    assert {(finding.kind, finding.topic) for finding in report.findings} == {
        (Kind.UNREADABLE, Topic.ALERTS.value),
        (Kind.REJECTED, ""),
    }
    assert report.count(Kind.REJECTED) == 1
