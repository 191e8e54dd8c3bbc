"""The alert store on a real SQLite file: nothing lost, nothing doubled, nothing dropped in silence."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards import Clock, alert
from fraudstream.errors import StoreError
from fraudstream.store import rows
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader
from fraudstream.store.filters import AlertFilter
from fraudstream.store.positions import TopicPartition
from fraudstream.store.reading import StoredAlert, Total
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import Outcome

PARTITION = TopicPartition("credit_card_transactions", 0)


@pytest.fixture
def url(tmp_path: Path, store_url: Callable[[Path], str]) -> str:
    return store_url(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[AlertStore]:
    store = AlertStore.open(url, clock=Clock())
    yield store
    store.close()


def ids(store: AlertStore, **conditions: Any) -> list[str]:
    return [alert.document()["alert_id"] for alert in store.alerts(AlertFilter(**conditions))]


def test_an_alert_sent_twice_is_stored_once(store: AlertStore) -> None:
    store.add_alerts([alert(1)])
    again = store.add_alerts([alert(1), alert(2), alert(2)])
    assert (again.accepted, again.duplicates, again.conflicts) == (1, 2, 0)
    assert ids(store) == ["id-2", "id-1"]


def test_the_same_id_with_another_transaction_is_kept_beside_the_first_once(store: AlertStore) -> None:
    other = alert(1, transaction={"Amount": 99})
    store.add_alerts([alert(1)])
    first, again = store.add_alerts([other]), store.add_alerts([other, alert(1)])
    assert (first.accepted, first.conflicts) == (0, 1)
    assert (again.duplicates, again.conflicts) == (2, 0)
    newest = store.alerts()[0].document()
    assert newest["alert_id"].startswith("id-1~")
    assert len(newest["alert_id"]) == len("id-1~") + 12
    assert newest["conflict_of"] == "id-1"
    assert newest["transaction"] == {"Amount": 99}
    assert store.totals()[Total.CONFLICTS] == 1
    assert store.totals()[Total.ALERTS] == 2


def test_the_order_of_a_transactions_columns_makes_no_conflict(store: AlertStore) -> None:
    turned = dict(reversed(list(alert(1)["transaction"].items())))
    assert store.add_alerts([alert(1), alert(1, transaction=turned)]).duplicates == 1


def test_an_alert_comes_back_whole_with_unknown_keys_and_the_time_of_its_commit(store: AlertStore) -> None:
    sent = alert(1, colour="blue", seq=77, work="mine", received_at="never", score=0.1 + 0.2)
    store.add_alerts([sent])
    stored = store.alert("id-1")
    assert stored is not None
    work = {"status": "new", "assignee": None, "version": 0, "decided_at": None, "since": None}
    own = {"seq": stored.seq, "work": work, "received_at": "2026-01-02T03:04:05+00:00"}
    assert stored.document() == sent | own


def test_one_bad_alert_blocks_no_other_and_is_kept_with_its_reason_once(store: AlertStore) -> None:
    posted = [alert(1), alert(2, score=float("nan")), 7, alert(3)]
    for _ in range(2):
        added = store.add_alerts(posted)
        assert [rejection.index for rejection in added.rejected] == [1, 2]
    assert ids(store) == ["id-3", "id-1"]
    rejected = [row.document for row in store.rejected()]
    assert [row["reason"] for row in rejected] == ["an alert must be a JSON object", "score must be a number"]
    assert '"id-2"' in rejected[1]["payload"]
    assert store.totals()[Total.REJECTED] == 2


def test_all_is_there_after_the_store_was_closed_and_opened(store: AlertStore, url: str) -> None:
    store.add_alerts([alert(1), alert(2, outcome="unscorable", score=None)])
    before = store.totals(), store.positions(), store.latest_seq()
    store.close()
    again = AlertStore.open(url)
    assert (again.totals(), again.positions(), again.latest_seq()) == before
    again.close()


def test_threads_posting_the_same_alerts_store_each_once_in_order(store: AlertStore) -> None:
    published: list[StoredAlert] = []
    posts = [[alert(number) for number in range(first, first + 30)] for first in range(0, 200, 10)]
    threads = [
        threading.Thread(target=lambda post=post: store.add_alerts(post, on_commit=published.extend)) for post in posts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seqs = [stored.seq for stored in published]
    assert seqs == sorted(seqs)
    assert sorted(ids(store)) == sorted(ids(store, outcome=None))
    assert len(published) == store.totals()[Total.ALERTS] == 220


def test_filters_and_cursor_lead_through_all_alerts_without_gap_or_repeat(store: AlertStore) -> None:
    store.add_alerts([alert(number, score=number / 100) for number in range(100)])
    row_numbers: list[int] = []
    before = None
    while page := store.alerts(AlertFilter(min_score=0.5), before=before, limit=7):
        row_numbers += [stored.document()["source_row"] for stored in page]
        before = page[-1].seq
    assert row_numbers == list(range(99, 49, -1))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["id-3", "id-1"]),
        ({"outcome": Outcome.UNSCORABLE}, ["id-2"]),
        ({"outcome": None}, ["id-3", "id-2", "id-1"]),
        ({"model_id": "m-2"}, ["id-3"]),
        ({"source": "other"}, ["id-1"]),
        ({"since_us": 1_767_323_046_000_000}, ["id-3"]),
        ({"until_us": 1_767_323_046_000_000}, ["id-1"]),
    ],
)
def test_a_filter_narrows(store: AlertStore, conditions: dict[str, Any], expected: list[str]) -> None:
    store.add_alerts(
        [
            alert(1, topic="other"),
            alert(2, outcome="unscorable", score=None),
            alert(3, model_id="m-2", produced_at="2026-01-02T05:04:06+02:00"),
        ]
    )
    assert ids(store, **conditions) == expected


def test_samples_and_positions_move_the_counters_and_are_not_stored(store: AlertStore) -> None:
    position = {"type": "position", "at": "2026-01-02T03:04:05Z", "positions": {PARTITION.topic: {"0": {"end": 50}}}}
    sample = {"type": "sample", "topic": PARTITION.topic, "partition": 0, "offset": 20}
    progress = {"type": "progress", "positions": {PARTITION.topic: {"0": {"position": 30}}}}
    assert store.add_events([position, progress, sample]).accepted == 3
    assert store.events() == []
    assert store.positions()[PARTITION].end == 50
    assert store.positions()[PARTITION].position == 30


def test_an_older_position_changes_nothing_and_a_smaller_newer_one_means_a_new_topic(store: AlertStore) -> None:
    def at(second: int, end: int) -> dict[str, Any]:
        ends = {PARTITION.topic: {"0": {"begin": 0, "end": end}}}
        return {"type": "position", "at": f"2026-01-02T03:04:{second:02d}Z", "positions": ends}

    store.add_events([at(5, 50)])
    store.add_alerts([alert(39)])
    store.add_events([at(4, 45)])
    assert (store.positions()[PARTITION].end, store.positions()[PARTITION].position) == (50, 40)
    store.add_events([at(6, 49)])  # of another relay, which read it before the first one read 50
    assert (store.positions()[PARTITION].end, store.positions()[PARTITION].position) == (50, 40)
    store.add_events([at(10, 10)])
    assert (store.positions()[PARTITION].end, store.positions()[PARTITION].position) == (10, 0)


def test_an_event_is_stored_once_by_its_id_or_by_its_content(store: AlertStore) -> None:
    named = {"type": "model", "event_id": "e-1", "message": "swapped"}
    unnamed = {"type": "query", "message": "started"}
    assert store.add_events([named, unnamed]).accepted == 2
    assert store.add_events([named | {"message": "again"}, unnamed, {"message": "no type"}]).duplicates == 2
    assert [row.document["message"] for row in store.events()] == ["started", "swapped"]
    assert [row.document["event_id"] for row in store.events(kind="model")] == ["e-1"]


def test_dead_letters_count_once_and_only_the_newest_keep_their_payload(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "KEPT_DEAD_LETTERS", 300)
    dead_letters = [
        {"topic": "t", "partition": 1, "offset": offset, "reason": "empty", "payload_base64": None}
        for offset in range(303)
    ]
    assert store.add_dead_letters(dead_letters[:301]).accepted == 301
    assert store.add_dead_letters(dead_letters[200:]).accepted == 2
    assert store.add_dead_letters(dead_letters[:5]).duplicates == 5
    assert store.totals()[Total.DEAD_LETTERS] == 303
    newest, _ = DeadLetterReader(store.database).page(DeadLetterFilter(), after=None, limit=20_000)
    assert len(newest) == 300
    assert newest[0].document["id"] == "t/1/302"
    assert store.positions()[TopicPartition("t", 1)].position == 303


def test_a_huge_payload_is_cut_and_says_so(store: AlertStore) -> None:
    store.add_dead_letters([{"topic": "t", "partition": 0, "offset": 0, "payload_base64": "A" * 200_000}])
    dead_letter = DeadLetterReader(store.database).page(DeadLetterFilter(), after=None, limit=1)[0][0].document
    assert dead_letter["payload_truncated"] is True
    assert len(dead_letter["payload_base64"]) == 65_536


def test_the_columns_of_an_export_are_the_union_in_the_order_first_seen(store: AlertStore) -> None:
    store.add_alerts([alert(1, transaction={"b": 1, "a": 2}), alert(2, transaction={"a": 1, "c": 2})])
    store.add_alerts([alert(3, outcome="unscorable", transaction={"x": 1})])
    assert store.search.transaction_columns(AlertFilter(), up_to=store.latest_seq()) == ["b", "a", "c"]
    assert store.search.transaction_columns(AlertFilter(), up_to=1) == ["b", "a"]


@pytest.mark.sqlite
def test_what_was_answered_is_on_the_disk_and_readers_do_not_wait_for_writers(
    store: AlertStore, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "alerts.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.sqlite
def test_a_write_that_fails_says_so_and_stores_nothing(store: AlertStore, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "alerts.db", isolation_level=None)
    other.execute("DROP TABLE totals")
    other.close()
    with pytest.raises(StoreError, match="a write to the alert store failed") as failed:
        store.add_alerts([alert(1)])
    assert str(tmp_path / "alerts.db") in failed.value.where
    assert ids(store) == []


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+psycopg2://somewhere/alerts",
        "sqlite:////no/such/a.db",
    ],
)
def test_an_address_that_cannot_be_opened_is_reported_with_a_remedy(url: str) -> None:
    with pytest.raises(StoreError) as failed:
        AlertStore.open(url)
    assert failed.value.where
    assert failed.value.remedy


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"Time,V1\n" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        AlertStore.open(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.mark.sqlite
def test_a_database_of_a_newer_release_is_refused(store: AlertStore, url: str, tmp_path: Path) -> None:
    store.close()
    connection = sqlite3.connect(tmp_path / "alerts.db", isolation_level=None)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="does not know"):
        AlertStore.open(url)
