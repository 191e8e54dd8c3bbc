"""Hostile records through the running system, between frauds that must all arrive; no process is started again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import orjson
import pytest
import urllib3
from chaos.hostile import Hostile, RawProducer, hostile_records, nested
from chaos.hostile_run import audited, run_through

from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger
from fraudstream.transactions.wire import RELAYED_TOPICS, Topic
from running_demo import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

FRAUD = b'{"Time":1,"V1":9,"V2":-6,"V3":0,"V4":5,"V5":0,"Amount":1}'
BAD_NAME: list[tuple[bytes, bytes | None]] = [(b"\xff\xc0", b"1")]


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_no_record_stops_the_system_or_an_alert(demo: Demo, count: int) -> None:
    pids = demo.pids()
    result = run_through(demo, hostile_records(count, FRAUD, seed=count), FRAUD, rate=100, name="hostile")
    assert (result["all_arrived"], result["missing"]) == (True, [])
    assert result["megabytes"] < 200
    audit = audited(demo)
    assert (audit["audit_exit_code"], audit["rejected"]) == (0, 0), audit
    what_others_write_to_our_topics_is_kept_as_rejected(demo)
    a_record_that_cannot_be_sent_again_does_not_hold_up_the_next(demo)
    assert demo.pids() == pids


def what_others_write_to_our_topics_is_kept_as_rejected(demo: Demo) -> None:
    """Records that are no detector's, on each output topic, before an alert that has to arrive."""
    key = b"\xff"  # the ledger's topic is compacted and takes no record without one
    foreign = [
        Hostile("deep", b'{"alert_id":"deep","type":"sample","entry_id":"e","x":' + nested(900) + b"}", False, key),
        Hostile("not UTF-8", b"\xff" * 2_000, False, key, BAD_NAME),
        Hostile("NaN", b'{"alert_id":"x","score":NaN,"transaction":{},"type":NaN,"threshold":1e999}', False, key),
        Hostile("no object", nested(5_000, b"[", b"]"), False, key, timestamp=-1),
        Hostile("tombstone", None, False, key),
    ]
    with closing(RawProducer(demo.bootstrap)) as producer:
        for record in foreign:
            for topic in RELAYED_TOPICS:
                producer.produce(topic.value, 0, record.kind, record)
        last = {"alert_id": "the last", "score": 1, "transaction": {"deep": "x"}}
        producer.produce(Topic.ALERTS.value, 0, "last", Hostile("last", orjson.dumps(last), True))
    http = urllib3.PoolManager()
    assert demo.wait(60, lambda: http.request("GET", f"{demo.url}/api/alerts/the%20last").status == 200)
    # All 25 but four dead letters and an event of an unknown type; of two alerts the same may be posted twice.
    assert demo.wait(60, lambda: len(rejected(demo)) >= 18)
    reasons = {reason for _, reason, _ in rejected(demo)}
    assert "ValueError: the name of a header is not UTF-8" in reasons
    assert any("Recursion" in reason for reason in reasons)
    assert all(payload for *_, payload in rejected(demo))
    assert KafkaLedger(Cluster(demo.bootstrap)).read()


def rejected(demo: Demo) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(f"file:{demo.workdir / 'alerts.db'}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute("SELECT kind, reason, payload FROM rejected").fetchall()


def a_record_that_cannot_be_sent_again_does_not_hold_up_the_next(demo: Demo) -> None:
    """Two dead letters are replayed, of which the name of a header of the first is not UTF-8."""
    http = urllib3.PoolManager()
    with closing(RawProducer(demo.bootstrap)) as producer:
        producer.produce(Topic.TRANSACTIONS.value, 0, "first", Hostile("not UTF-8", b"first", False, headers=BAD_NAME))
        producer.produce(Topic.TRANSACTIONS.value, 0, "second", Hostile("no object", b"second", False))

    def places() -> list[str]:
        page = http.request("GET", f"{demo.url}/api/dead-letters?limit=10").json()["dead_letters"]
        return sorted(each["id"] for each in page if each["event_id"] in ("first", "second"))

    assert demo.wait(60, lambda: len(places()) == 2)
    before = http.request("GET", f"{demo.url}/api/replays").json()["counts"]
    body = {"places": places(), "who": "Ada", "why": "a test"}
    http.request("POST", f"{demo.url}/api/replays", json=body)

    def more(state: str) -> int:
        counts = http.request("GET", f"{demo.url}/api/replays").json()["counts"]
        return int(counts.get(state, 0) - before.get(state, 0))

    assert demo.wait(60, lambda: more("sent") == 1 and more("failed") == 1)
