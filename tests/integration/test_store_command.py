"""`fraudstream store` on SQLite files: backup, restore, migration, pruning and copies."""

from __future__ import annotations

import os
import pty
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from commands import command_line
from dashboards import TO_0013, Clock, alert, file_of
from fraudstream.errors import StoreError
from fraudstream.store import tables
from fraudstream.store.store import AlertStore
from releases import SECRETS, unpack_release
from stores import MANY, OLD_DAYS, fill, ids_with, kill_while_it_copies, labels, open_and, rows, run, trail_is_unbroken

pytestmark = pytest.mark.sqlite

AGE = "--older-than=150d"
_COUNT_OLD = select(func.count()).where(tables.alerts.c.seq <= MANY)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands two steps of `fill` ago."""
    return Clock(datetime.now(UTC) - timedelta(days=2 * OLD_DAYS))


@pytest.fixture
def url(store: AlertStore) -> str:
    return store.database.backend.url


@pytest.fixture
def filled(store: AlertStore, clock: Clock) -> AlertStore:
    fill(store, clock)
    return store


def at(path: Path) -> str:
    return f"sqlite:///{path}"


def take_back_to_0011(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        for statement in TO_0013:
            database.execute(statement)
        database.execute("ALTER TABLE dead_letters DROP COLUMN produced_us")
        for name in ("without_transaction", "additional"):
            database.execute(f"ALTER TABLE ledger_places DROP COLUMN {name}")
        database.execute("UPDATE alembic_version SET version_num = '0011'")
        database.commit()


def revision(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def vocabulary(file: Path) -> list[tuple[str, int, int]]:
    """Each token of the full-text index, with the number of alerts that have it and of its occurrences."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO alert_words (alert_words) VALUES ('integrity-check')")
        database.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, alert_words, row)")
        return database.execute("SELECT * FROM temp.vocabulary ORDER BY term").fetchall()


@pytest.fixture
def writer(store: AlertStore) -> Iterator[list[int]]:
    """Alerts are posted all the while; the list has one item for each."""
    ended, posted = threading.Event(), list[int]()

    def post() -> None:
        number = 100_000
        while not ended.is_set():
            store.add_alerts([alert(number)])
            posted.append(number)
            number += 1

    thread = threading.Thread(target=post)
    thread.start()
    yield posted
    ended.set()
    thread.join()


def test_a_backup_of_a_store_in_use_is_consistent_private_and_says_what_it_holds(
    filled: AlertStore, url: str, tmp_path: Path, writer: list[int]
) -> None:
    file = tmp_path / "backup.db"
    result = run("backup", file, "--database", url)
    alerts = rows(at(file))["alerts"]
    assert 0 < alerts <= 10 + len(writer) + 1
    assert result.output == f"{file}: {alerts:,} alerts and unscorable transactions, {file.stat().st_size:,} bytes\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = database.execute("SELECT value FROM totals WHERE name IN ('alert', 'unscorable')").fetchall()
    assert sum(value for (value,) in counted) == alerts
    with pytest.raises(StoreError, match="already"):
        run("backup", file, "--database", url)
    assert sorted(each.name for each in tmp_path.glob("backup*")) == ["backup.db"]


def test_there_is_nothing_to_back_up_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        run("backup", tmp_path / "backup.db", "--database", at(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_restored_store_is_the_one_that_was_backed_up(
    filled: AlertStore, url: str, tmp_path: Path, exists: bool
) -> None:
    run("backup", tmp_path / "backup.db", "--database", url)
    other = at(tmp_path / "other.db")
    if exists:
        open_and(other, lambda store: store.database.backend.probe())
    assert "10 alerts" in run("restore", tmp_path / "backup.db", "--database", other).output
    assert rows(other) == rows(url)
    assert trail_is_unbroken(other)
    assert open_and(other, lambda store: ids_with(store, "shop2")) == ["id-2"]
    assert open_and(other, lambda store: store.add_alerts([alert(900)]).accepted) == 1


def test_a_store_that_is_not_empty_is_not_restored_over(filled: AlertStore, url: str, tmp_path: Path) -> None:
    run("backup", tmp_path / "backup.db", "--database", url)
    with pytest.raises(StoreError, match="not empty") as failed:
        run("restore", tmp_path / "backup.db", "--database", url)
    assert failed.value.remedy


@pytest.mark.parametrize("content", [b"", b"Time,V1\n" * 1000, None])
def test_a_file_that_is_no_store_is_not_restored(tmp_path: Path, content: bytes | None) -> None:
    file, other = tmp_path / "backup.db", tmp_path / "other.db"
    if content is not None:
        file.write_bytes(content)
    open_and(at(other), lambda store: None)
    with pytest.raises(StoreError, match="not an alert store"):
        run("restore", file, "--database", at(other))
    assert rows(at(other))["alerts"] == 0


def test_a_store_of_an_earlier_release_is_backed_up_when_it_is_opened(filled: AlertStore, url: str) -> None:
    file, held, of_verdicts = file_of(filled), rows(url), labels(url)
    filled.close()
    take_back_to_0011(file)
    backup = file.with_name("alerts.db.before-0015")
    with capture_logs() as logged:
        AlertStore.open(url).close()
    assert [(each["backup"], each["revision"]) for each in logged] == [(str(backup), "0015")]
    assert (revision(file), revision(backup), rows(url)) == ("0015", "0011", held)
    assert labels(url) == of_verdicts
    assert [label for _, label, *_ in of_verdicts] == ["legitimate"] * 2
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600

    take_back_to_0011(file)
    before = backup.read_bytes()
    assert run("migrate", "--database", url).output.endswith("\nrevision 0015: migrated from 0011\n")
    assert backup.read_bytes() == before, "a backup that exists stays"
    assert run("migrate", "--database", url).output == "revision 0015: up to date\n"


def test_a_migration_writes_the_backup_that_is_named(store: AlertStore, url: str, tmp_path: Path) -> None:
    store.close()
    take_back_to_0011(tmp_path / "alerts.db")
    run("migrate", "--database", url, "--backup", tmp_path / "named.db")
    assert revision(tmp_path / "named.db") == "0011"
    assert not list(tmp_path.glob("*.before-*"))


def test_a_store_is_not_migrated_if_it_cannot_be_backed_up(store: AlertStore, url: str, tmp_path: Path) -> None:
    store.close()
    take_back_to_0011(tmp_path / "alerts.db")
    with pytest.raises(StoreError, match="cannot be copied"):
        run("migrate", "--database", url, "--backup", tmp_path / "missing" / "named.db")
    assert revision(tmp_path / "alerts.db") == "0011"


def test_the_backup_of_an_unmasked_store_has_its_alerts_without_the_secrets(tmp_path: Path) -> None:
    workdir = unpack_release("release_112b93f", tmp_path)
    AlertStore.open(at(workdir / "alerts.db")).close()
    backup = workdir / "alerts.db.before-0015"
    assert revision(backup) == "0009"
    restored = at(tmp_path / "restored.db")
    run("restore", backup, "--database", restored)
    AlertStore.open(restored).close()
    assert rows(restored) == rows(at(workdir / "alerts.db"))
    content = backup.read_bytes()
    assert [secret for secret in SECRETS if secret.encode() in content] == []


def test_pruning_deletes_what_is_old_and_was_never_triaged_and_nothing_else(
    filled: AlertStore, url: str, clock: Clock, tmp_path: Path
) -> None:
    totals, held, words = filled.totals(), rows(url), ids_with(filled, "shop2")
    dry = run("prune", AGE, "--dry-run", "--database", url)
    assert "alerts 4, events 2, rejected 1, dead_letters 1, minutes 0" in dry.output
    assert rows(url) == held
    result = run("prune", AGE, "--database", url)
    assert result.output.endswith("deleted: alerts 4, events 2, rejected 1, dead_letters 1, minutes 0\n")
    expected = {"alerts": 4, "events": 2, "rejected": 1, "reasons": 1}
    assert {name: held[name] - count for name, count in rows(url).items() if count != held[name]} == expected | {
        "totals": -2
    }
    assert {name: filled.totals()[name] for name in totals} == totals
    assert filled.totals()["pruned_alerts"] == 3
    assert trail_is_unbroken(url)
    assert ids_with(filled, "shop2") == words == ["id-2"], "somebody has decided it"
    assert ids_with(filled, "shop3") == ids_with(filled, "superseded1") == []
    assert len(filled.events(kind="audit_head")) == 2
    assert filled.add_dead_letters([]).duplicates == 0

    # The index is that of a store which never had them.
    run("copy", "--database", url, "--to", at(tmp_path / "new.db"))
    assert vocabulary(file_of(filled)) == vocabulary(tmp_path / "new.db")


def test_posts_wait_for_one_batch_of_pruning_at_most(store: AlertStore, url: str, clock: Clock) -> None:
    store.add_alerts([alert(n) for n in range(MANY)])
    clock.forward(OLD_DAYS * 86_400)
    ended = threading.Event()
    counts: list[int] = []

    def watch() -> None:
        number = 10_000
        while not ended.is_set():
            store.add_alerts([alert(number)])
            counts.append(store.scalar(_COUNT_OLD) or 0)
            number += 1

    thread = threading.Thread(target=watch)
    thread.start()
    run("prune", AGE, "--database", url)
    ended.set()
    thread.join()
    assert store.scalar(_COUNT_OLD) == 0
    assert {MANY - 1_000, MANY - 2_000} & set(counts), "a post was stored between two batches"


def test_pruning_asks_at_a_terminal(filled: AlertStore, url: str, clock: Clock) -> None:
    held = rows(url)
    for typed, code, alerts in (("n", 130, held["alerts"]), ("y", 0, held["alerts"] - 4)):
        ours, theirs = pty.openpty()
        command = command_line("store", "prune", AGE, "--database", url)
        os.write(ours, f"{typed}\n".encode())
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True)
        os.close(ours)
        os.close(theirs)
        assert (done.returncode, rows(url)["alerts"]) == (code, alerts), done.stderr
        assert "Delete them?" in done.stdout


def test_an_interrupted_copy_is_resumed_and_the_copy_is_the_same(store: AlertStore, url: str, tmp_path: Path) -> None:
    for first in range(0, 3 * MANY, 500):
        store.add_alerts([alert(n) for n in range(first, first + 500)])
    target = at(tmp_path / "target.db")
    copied = kill_while_it_copies(url, target)
    assert 0 < copied < 3 * MANY
    result = run("copy", "--database", url, "--to", target)
    assert "audit trail: unbroken" in result.output
    assert rows(target) == rows(url)
    assert open_and(target, lambda copy: ids_with(copy, "id-17")) == ["id-17"]


def test_a_copy_is_refused_if_the_target_holds_other_data(filled: AlertStore, url: str, tmp_path: Path) -> None:
    target = at(tmp_path / "target.db")
    open_and(target, lambda store: store.add_alerts([alert(700)]))
    held = rows(target)
    with pytest.raises(StoreError, match=r"does not have, in .*alerts") as failed:
        run("copy", "--database", url, "--to", target)
    assert failed.value.remedy
    assert rows(target) == held


def test_a_copy_fails_if_the_source_is_written_meanwhile(
    filled: AlertStore, url: str, tmp_path: Path, writer: list[int]
) -> None:
    with pytest.raises(StoreError, match=r"differs from the source, in .*alerts") as failed:
        run("copy", "--database", url, "--to", at(tmp_path / "target.db"))
    assert "stop the dashboards" in failed.value.remedy


def test_an_error_is_a_message_without_a_stack_trace(tmp_path: Path) -> None:
    command = command_line("store", "backup", tmp_path / "b.db", "--database", at(tmp_path / "none.db"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("fraudstream: the alert store ")
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr
