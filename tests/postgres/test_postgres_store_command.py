"""`fraudstream store` on PostgreSQL: its own programs, migrations by hand only, and copies from and to SQLite."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from dashboards import TO_0013, Clock, alert, open_store
from fraudstream.errors import StoreError
from fraudstream.store.store import AlertStore
from postgres import PostgresServer
from stores import MANY, OLD_DAYS, fill, ids_with, kill_while_it_copies, labels, open_and, rows, run, trail_is_unbroken

AGE = "--older-than=150d"


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


@pytest.fixture
def new_url(postgres: PostgresServer) -> Iterator[str]:
    """A database without any tables."""
    postgres.execute("CREATE DATABASE without_tables TEMPLATE template0")
    yield postgres.url("without_tables")
    postgres.execute("DROP DATABASE without_tables WITH (FORCE)")


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Execute statements; returns the rows of the last one."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def revision(url: str) -> object:
    return execute(url, "SELECT version_num FROM alembic_version")[0][0]


def test_a_backup_finds_the_server_among_several_hosts(
    postgres: PostgresServer, filled: AlertStore, url: str, tmp_path: Path
) -> None:
    hosts = f"host=127.0.0.1:1&host=127.0.0.1:{postgres.port}"
    several = f"postgresql+psycopg://postgres@/{url.rpartition('/')[2]}?{hosts}&target_session_attrs=read-write"
    assert "10 alerts" in run("backup", tmp_path / "backup.dump", "--database", several).output


def test_a_backup_is_restored_into_an_empty_store_and_into_a_new_database(
    filled: AlertStore, url: str, new_url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    file = tmp_path / "backup.dump"
    size = run("backup", file, "--database", url).output
    assert size == f"{file}: 10 alerts and unscorable transactions, {file.stat().st_size:,} bytes\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for other in (new_url, postgres.empty_store()):
        assert "10 alerts" in run("restore", file, "--database", other).output
        assert rows(other) == rows(url)
        assert trail_is_unbroken(other)
        assert open_and(other, lambda store: ids_with(store, "shop2")) == ["id-2"]
        assert open_and(other, lambda store: store.add_alerts([alert(900)]).accepted) == 1
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            execute(other, "DELETE FROM changes")
        with pytest.raises(StoreError, match="not empty"):
            run("restore", file, "--database", other)


def test_a_backup_replaces_no_file_and_leaves_none_behind(filled: AlertStore, url: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(StoreError, match="already"):
        run("backup", tmp_path / "there", "--database", url)
    for database in (url + "_missing", "postgresql+psycopg://ann:secret@127.0.0.1:1/store"):
        with pytest.raises(StoreError) as failed:
            run("backup", tmp_path / "new", "--database", database)
        assert failed.value.remedy
        assert "secret" not in failed.value.message
    assert [each.name for each in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "mine"


def test_a_file_that_is_no_backup_is_not_restored(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"Time,V1\n")
    for name in ("file", "none"):
        with pytest.raises(StoreError, match=r"pg_restore failed: .*(archive|No such file)") as failed:
            run("restore", tmp_path / name, "--database", url)
        assert failed.value.remedy
    assert rows(url)["alerts"] == 0


def test_a_missing_program_of_postgresql_is_named_with_a_remedy(
    filled: AlertStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="pg_dump is not installed") as failed:
        run("backup", tmp_path / "backup.dump", "--database", url)
    assert "postgresql-client" in failed.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_the_password_of_the_url_is_in_no_command_line(
    postgres: PostgresServer, filled: AlertStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = url.rpartition("/")[2]
    arguments, pg_dump = tmp_path / "arguments", tmp_path / "bin" / "pg_dump"
    pg_dump.parent.mkdir()
    pg_dump.write_text(
        f'#!/bin/sh\nPATH={os.environ["PATH"]}\necho "$@" "$PGPASSWORD" >{arguments}\nexec pg_dump "$@"\n'
    )
    pg_dump.chmod(0o700)
    monkeypatch.setenv("PATH", str(pg_dump.parent))
    address = f"postgresql+psycopg://postgres:a%20secret@127.0.0.1:{postgres.port}/{name}?application_name=a+b"
    run("backup", tmp_path / "backup.dump", "--database", address)
    *command, password = arguments.read_text().rsplit(maxsplit=2)
    assert password == "secret"
    assert command[-1] == "a"
    assert "secret" not in command[0]
    assert "application_name='a b'" in command[0]


def test_an_earlier_store_is_migrated_only_by_the_command_with_a_backup(
    filled: AlertStore, url: str, new_url: str, tmp_path: Path
) -> None:
    held, of_verdicts = rows(url), labels(url)
    produced = execute(url, "SELECT seq, produced_us FROM dead_letters ORDER BY seq")
    take_back = (
        *TO_0013,
        "ALTER TABLE dead_letters DROP COLUMN produced_us",
        "ALTER TABLE ledger_places DROP COLUMN without_transaction, DROP COLUMN additional",
        "UPDATE alembic_version SET version_num = '0011'",
    )
    execute(url, *take_back)
    file = tmp_path / "before.dump"
    for open_it in (lambda: AlertStore.open(url), lambda: run("migrate", "--database", url)):
        with pytest.raises(StoreError, match="earlier release") as failed:
            open_it()
        assert "fraudstream store migrate --backup FILE" in failed.value.remedy
    assert revision(url) == "0011"
    result = run("migrate", "--backup", file, "--database", url)
    assert result.output.endswith("revision 0015: migrated from 0011\n")
    assert (revision(url), rows(url), labels(url)) == ("0015", held, of_verdicts)
    assert execute(url, "SELECT seq, produced_us FROM dead_letters ORDER BY seq") == produced
    assert run("migrate", "--database", url).output == "revision 0015: up to date\n"
    run("restore", file, "--database", new_url)
    assert revision(new_url) == "0011", "the backup is of the store as it was"
    with pytest.raises(StoreError, match="cannot be read") as failed:
        run("copy", "--database", new_url, "--to", f"sqlite:///{tmp_path / 'other.db'}")
    assert "fraudstream store migrate" in failed.value.remedy


def test_pruning_deletes_what_is_old_and_was_never_triaged_and_nothing_else(filled: AlertStore, url: str) -> None:
    totals, held = filled.totals(), rows(url)
    assert "alerts 4, events 2" in run("prune", AGE, "--dry-run", "--database", url).output
    assert rows(url) == held
    result = run("prune", AGE, "--database", url)
    assert result.output.endswith("deleted: alerts 4, events 2, rejected 1, dead_letters 1, minutes 0\n")
    expected = {"alerts": 4, "events": 2, "rejected": 1, "reasons": 1, "totals": -2}
    assert {name: held[name] - count for name, count in rows(url).items() if count != held[name]} == expected
    assert {name: filled.totals()[name] for name in totals} == totals
    assert execute(url, "SELECT count(*) FROM alert_words") == [(6,)]
    assert trail_is_unbroken(url)
    assert ids_with(filled, "shop2") == ["id-2"]
    assert ids_with(filled, "shop3") == []


def test_a_store_moves_from_sqlite_and_back(clock: Clock, url: str, tmp_path: Path) -> None:
    first, last = (f"sqlite:///{tmp_path / name}" for name in ("alerts.db", "last.db"))
    with open_store(tmp_path, clock) as store:
        fill(store, clock)
        store.add_alerts([alert(800, score=-0.0, transaction={"a": "1\x00\\u0000", "Amount": -0.0})])
    result = run("copy", "--database", first, "--to", url)
    assert "audit trail: unbroken" in result.output
    assert rows(url) == rows(first)
    with open_store(tmp_path, clock, url=url) as store:
        assert ids_with(store, "shop2") == ["id-2"]
        assert store.add_alerts([alert(801)]).accepted == 1, "its number comes after those that were copied"
        assert store.add_events([{"type": "query", "event_id": "new"}]).accepted == 1
    run("copy", "--database", url, "--to", last)
    assert rows(last) == rows(url)
    assert open_and(last, lambda store: ids_with(store, "shop3")) == ["id-3"]
    assert trail_is_unbroken(last)


def test_an_interrupted_copy_is_resumed(clock: Clock, url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'alerts.db'}"
    with open_store(tmp_path, clock) as store:
        for first in range(0, 2 * MANY, 500):
            store.add_alerts([alert(n) for n in range(first, first + 500)])
    assert 0 < kill_while_it_copies(source, url) < 2 * MANY
    run("copy", "--database", source, "--to", url)
    assert rows(url) == rows(source)
    assert execute(url, "SELECT count(*) FROM alert_words") == [(2 * MANY,)]


def test_a_copy_is_refused_if_the_target_holds_other_data(filled: AlertStore, url: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'source.db'}"
    open_and(source, lambda store: store.add_alerts([alert(700)]))
    held = rows(url)
    with pytest.raises(StoreError, match=r"does not have, in .*alerts"):
        run("copy", "--database", source, "--to", url)
    assert rows(url) == held
