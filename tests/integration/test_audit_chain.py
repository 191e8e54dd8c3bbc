"""The chain of hashes over the audit trail: whatever is altered in it is found, and old trails are chained."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apps import create_app
from dashboards import Clock, file_of, json_of, open_store, take_back
from fraudstream.audit.gather import check_trail
from fraudstream.audit.report import Finding, Kind
from fraudstream.config import Settings
from fraudstream.relay.service import head_event
from fraudstream.store import changes
from fraudstream.store.changes import Action, Actor, ChangeLog
from fraudstream.store.database import read_store
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus

ANN = Actor("Ann", session="s-1")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    """A store with five entries: a claim and a verdict of three alerts, a note, an undo, an export."""
    with open_store(tmp_path, alerts=4) as store:
        triage = TriageService(store, lambda done: None)
        triage.claim(ANN, ["id-3", "id-1", "id-2"])
        decided = triage.verdict(ANN, ["id-1", "id-2", "id-3"], AlertStatus.FALSE_ALARM, note="a refund")
        triage.note(ANN, "id-4", "seen")
        triage.undo(ANN, str(decided.change_id))
        ChangeLog(store.database).record(Actor(""), Action.EXPORT, "alerts.csv", {"rows": 4})
        yield store


def tamper(store: AlertStore, *statements: str) -> None:
    """Write to the file as somebody with rights on it would, past the triggers."""
    with sqlite3.connect(file_of(store)) as database:
        for table in ("changes", "change_items"):
            for verb in ("update", "delete"):
                database.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
        for statement in statements:
            database.execute(statement)


def broken(store: AlertStore) -> list[int]:
    with store.database.read() as connection:
        return [link.seq for link in changes.broken_links(connection)]


def findings(store: AlertStore, *published: changes.PublishedHead) -> list[Finding]:
    with read_store(f"sqlite:///{file_of(store)}") as snapshot:
        return list(check_trail(snapshot, published))


def head(store: AlertStore) -> changes.Head:
    with store.database.read() as connection:
        return changes.head(connection)


def published(store: AlertStore) -> changes.PublishedHead:
    heads = changes.PublishedHead.of(head_event(vars(head(store)), AT))
    assert heads is not None
    return heads


def test_an_untouched_trail_is_whole(store: AlertStore) -> None:
    assert head(store).entries == 5
    assert broken(store) == []
    assert findings(store, published(store)) == []


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE changes SET actor = 'Ben' WHERE seq = 2", 2),
        ("UPDATE changes SET why = '' WHERE seq = 2", 2),
        ("UPDATE changes SET at_us = at_us + 1 WHERE seq = 1", 1),
        ("UPDATE changes SET session = 's-2' WHERE seq = 4", 4),
        ("UPDATE changes SET undoes = NULL WHERE seq = 4", 4),
        ("UPDATE changes SET before = '{}' WHERE seq = 5", 5),
        ("UPDATE change_items SET after = before WHERE change = 2 AND alert = 2", 2),
        ("DELETE FROM change_items WHERE change = 4 AND alert = 1", 4),
        ("INSERT INTO change_items (change, alert) VALUES (5, 1)", 5),
        ("DELETE FROM changes WHERE seq = 3", 4),
        ("DELETE FROM changes WHERE seq = 1", 2),
        ("UPDATE changes SET seq = 9 WHERE seq = 3", 4),
    ],
)
def test_the_first_entry_that_was_altered_is_named(store: AlertStore, statement: str, seq: int) -> None:
    tamper(store, statement)
    assert broken(store)[0] == seq
    (finding, *_) = findings(store)
    assert finding.kind is Kind.ALTERED
    assert finding.what.startswith(f"entry {seq} (")


def test_a_trail_cut_short_or_chained_anew_is_detected_by_a_published_head(store: AlertStore) -> None:
    before = published(store)
    tamper(store, "DELETE FROM changes WHERE seq = 5")
    assert broken(store) == []
    (cut,) = findings(store, before)
    assert "entry 5, hash " in cut.what
    ChangeLog(store.database).record(Actor("Mallory"), Action.EXPORT, "alerts.csv", None)
    assert broken(store) == []
    assert [finding.kind for finding in findings(store, before)] == [Kind.ALTERED]


def test_a_head_that_came_back_as_an_event_is_compared_and_shown(store: AlertStore) -> None:
    client = create_app(Settings(), store, clock=Clock()).test_client()
    event = head_event(json_of(client.get("/api/audit/head")), AT)
    assert event["event_id"] == f"audit_head/2026-01-02/5/{head(store).hash[:16]}"
    for _ in range(2):
        client.post("/api/events", json=[event])
    assert len(store.events(kind="audit_head")) == 1
    page = client.get("/audit").text
    assert "All entries (5) fit their hashes" in page
    assert "at entry 5, which is unchanged" in page
    tamper(store, "UPDATE changes SET actor = 'Ben' WHERE seq = 2", "DELETE FROM changes WHERE seq = 5")
    page = client.get("/audit").text
    assert "Entry 2 (" in page
    assert "is no longer in this log" in page
    assert [finding.what[:15] for finding in findings(store)] == ["entry 2 (" + finding_id(store), "the head publis"]


def finding_id(store: AlertStore) -> str:
    with store.database.read() as connection:
        return str(connection.exec_driver_sql("SELECT change_id FROM changes WHERE seq = 2").scalar())[:6]


@pytest.mark.parametrize("event", [None, [], {}, {"seq": "1", "hash": "x"}, {"seq": 2**70, "hash": ""}, {"seq": 1}])
def test_an_event_that_is_no_head_is_passed_over(event: object) -> None:
    assert changes.PublishedHead.of(event) is None


def test_only_the_newest_entries_are_checked_where_that_is_asked(store: AlertStore) -> None:
    tamper(store, "UPDATE changes SET actor = 'Ben' WHERE seq = 2")
    with store.database.read() as connection:
        assert list(changes.broken_links(connection, newest=3)) == []
        assert len(list(changes.broken_links(connection, newest=4))) == 1
        assert len(list(changes.broken_links(connection, newest=50))) == 1


def test_entries_of_several_threads_make_one_chain(store: AlertStore) -> None:
    log = ChangeLog(store.database)

    def record() -> None:
        for _ in range(5):
            log.record(Actor("Ben"), Action.EXPORT, "file", None)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (head(store).entries, broken(store)) == (25, [])


def test_entries_from_before_the_chain_are_chained_at_opening(store: AlertStore) -> None:
    chained = head(store)
    store.close()
    take_back(f"sqlite:///{file_of(store)}")
    tamper(
        store,
        "DROP TABLE sessions",
        "UPDATE changes SET session = ''",
        "ALTER TABLE changes DROP COLUMN hash",
        "ALTER TABLE changes DROP COLUMN session",
        "CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes BEGIN SELECT RAISE(ABORT, 'no'); END",
        "UPDATE alembic_version SET version_num = '0008'",
    )
    migrated = AlertStore.open(f"sqlite:///{file_of(store)}")
    try:
        assert head(migrated).entries == 5
        assert head(migrated).hash != chained.hash, "the sessions were forgotten on the way"
        assert broken(migrated) == []
        with (
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
            sqlite3.connect(file_of(store)) as database,
        ):
            database.execute("UPDATE changes SET hash = '' WHERE seq = 1")
    finally:
        migrated.close()
