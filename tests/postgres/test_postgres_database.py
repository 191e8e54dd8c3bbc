"""What is particular to PostgreSQL: the order of commits, text, rights, and a server that goes away."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psycopg
import pytest

from dashboards import Clock, alert
from fraudstream.errors import StoreError
from fraudstream.store.backends import postgresql
from fraudstream.store.changes import Actor
from fraudstream.store.database import read_store
from fraudstream.store.filters import AlertFilter
from fraudstream.store.full_text import Text
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from postgres import PostgresServer, running_postgres


@pytest.fixture
def url(store: AlertStore) -> str:
    return store.database.backend.url


@pytest.fixture
def other(url: str, clock: Clock) -> Iterator[AlertStore]:
    """A second process's store on the same database."""
    other = AlertStore.open(url, clock=clock)
    yield other
    other.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may kill."""
    with running_postgres() as server:
        yield server


def ids(store: AlertStore) -> list[str]:
    return [each.document()["alert_id"] for each in store.alerts_after(0)]


def test_a_writer_waits_for_the_one_before_so_that_no_reader_passes_over_an_alert(
    store: AlertStore, other: AlertStore
) -> None:
    done = threading.Event()

    def add() -> None:
        other.add_alerts([alert(2)])
        done.set()

    with store.database.write() as connection:
        # It has drawn its number, and is committed later.
        first = connection.exec_driver_sql("SELECT nextval('alerts_seq_seq')").scalar_one()
        thread = threading.Thread(target=add)
        thread.start()
        assert not done.wait(0.5)
        assert store.alerts_after(0) == []
    thread.join()
    assert [each.seq for each in store.alerts_after(0)] == [first + 1]


def test_a_reader_after_the_last_number_sees_every_alert_of_several_writers(
    store: AlertStore, other: AlertStore
) -> None:
    ended = threading.Event()
    seqs: list[int] = []

    def read() -> None:
        is_last = False
        while not is_last:
            is_last = ended.is_set()
            seqs.extend(each.seq for each in store.alerts_after(seqs[-1] if seqs else 0))

    def write(writer: AlertStore, first: int) -> None:
        for number in range(first, first + 40):
            writer.add_alerts([alert(number)])

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=((store, other)[n % 2], n * 100)) for n in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert len(seqs) == len(set(seqs)) == 160


@pytest.mark.parametrize("text", ["a\x00b", "\\u0000", "\\\x00", "😀 \ud83d"])
def test_any_text_is_stored(store: AlertStore, text: str) -> None:
    added = store.add_alerts([alert(1, alert_id="id 1", transaction={"shop": text, text: "x", "Amount": 1})])
    assert (added.accepted, added.rejected) == (1, [])
    (stored,) = store.alerts()
    transaction = stored.document()["transaction"]
    assert transaction["shop"] == text.replace("\x00", "␀").replace("\ud83d", "\\ud83d")
    store.reject("alert", text, text)
    assert [row.document["payload"] for row in store.rejected()] == [transaction["shop"]]


def test_long_words_and_many_words_are_found(store: AlertStore) -> None:
    long = "w" * 3_000
    columns = {f"column {n}": f"word{n} again" for n in range(1_500)}
    added = store.add_alerts([alert(1, transaction={"a": long}), alert(2, transaction=columns)])
    assert added.accepted == 2
    for typed, expected in ((long, [1]), (long[:-1], []), ("word2 again", [2]), ("word1400", [2]), ("again", [2])):
        page = store.search.page(AlertFilter(text=Text.parse(f"{typed} ")))
        assert [each.seq for each in page.alerts] == expected, typed[:20]


def test_the_database_refuses_to_alter_or_delete_a_change(store: AlertStore, url: str) -> None:
    store.add_alerts([alert(1)])
    TriageService(store).claim(Actor("Ann"), ["id-1"])
    for table in ("changes", "change_items"):
        for statement in (f"UPDATE {table} SET before = NULL", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with (
                psycopg.connect(url.replace("+psycopg", "")) as connection,
                pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
            ):
                connection.execute(statement.encode())


def test_an_audit_sees_one_state_of_the_store(store: AlertStore, url: str) -> None:
    store.add_alerts([alert(1)])
    with read_store(url) as snapshot:
        assert snapshot.exec_driver_sql("SELECT count(*) FROM alerts").scalar_one() == 1
        store.add_alerts([alert(2)])
        assert snapshot.exec_driver_sql("SELECT count(*) FROM alerts").scalar_one() == 1
        setting = snapshot.exec_driver_sql("SELECT current_setting('transaction_read_only')")
        assert setting.scalar_one() == "on"


def test_a_database_of_a_newer_release_is_refused(store: AlertStore, url: str) -> None:
    def become(revision: str) -> None:
        with store.database.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = %s", (revision,))

    with store.database.read() as connection:
        own = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    become("9999")
    try:
        with pytest.raises(StoreError, match="does not know"):
            AlertStore.open(url)
    finally:
        become(own)


def test_a_server_that_is_too_old_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "OLDEST", 99)
    with pytest.raises(StoreError, match="needs 99 or newer"):
        AlertStore.open(url)


def test_an_address_without_a_server_a_database_or_a_user_is_reported_with_a_remedy(
    postgres: PostgresServer, url: str
) -> None:
    for address in (
        "postgresql+psycopg://postgres@127.0.0.1:1/store",
        postgres.url("no_such_database"),
        postgres.url("postgres", user="nobody_known"),
    ):
        with pytest.raises(StoreError) as failed:
            AlertStore.open(address)
        assert failed.value.where
        assert failed.value.remedy
        assert "\n" not in failed.value.what


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(StoreError) as failed:
        AlertStore.open("postgresql+psycopg://ann:secret@127.0.0.1:1/store")
    assert "secret" not in str(vars(failed.value)) + str(failed.value.__cause__)


def test_a_user_without_rights_is_not_ready_and_says_why(postgres: PostgresServer, store: AlertStore, url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.execute("CREATE USER reader", "GRANT pg_read_all_data TO reader")
    reading = AlertStore.open(postgres.url(name, user="reader"))
    try:
        for write in (reading.database.backend.probe, lambda: reading.add_alerts([alert(1)])):
            with pytest.raises(StoreError, match="permission denied"):
                write()
    finally:
        reading.close()
    with read_store(postgres.url(name, user="reader")) as snapshot:
        assert snapshot.exec_driver_sql("SELECT count(*) FROM alerts").scalar_one() == 0


def test_a_server_that_is_killed_while_alerts_are_posted_loses_and_doubles_nothing(
    own_server: PostgresServer, clock: Clock
) -> None:
    own_server.execute("CREATE DATABASE store")
    store = AlertStore.open(own_server.url("store"), clock=clock)
    answered: list[str] = []
    failures = 0
    log: list[str | None] = []
    killed = threading.Timer(0.3, own_server.kill)
    killed.start()
    number = 0
    try:
        while len(answered) < 1_000:
            batch = [alert(n) for n in range(number, number + 5)]
            try:
                store.add_alerts(batch)  # as the relay: until it is answered
            except StoreError as e:
                failures += 1
                log.append(e.remedy)
                with pytest.raises(StoreError, match="cannot write"):
                    store.database.backend.probe()
                killed.join()
                own_server.start()
                continue
            answered += [each["alert_id"] for each in batch]
            number += 5
        store.database.backend.probe()
        assert failures >= 1
        assert all(log)
        assert [each.document()["alert_id"] for page in store.search.walk(AlertFilter()) for each in page] == answered
        assert store.totals()["alert"] == len(answered)
    finally:
        store.close()


def test_a_server_that_comes_back_at_another_address_of_the_url_is_found(clock: Clock) -> None:
    with running_postgres() as first, running_postgres() as second:
        for server in (first, second):
            server.execute("CREATE DATABASE store")
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (first, second))
        store = AlertStore.open(f"postgresql+psycopg://postgres@/store?{hosts}", clock=clock)
        try:
            AlertStore.open(second.url("store"), clock=clock).close()
            assert store.add_alerts([alert(1)]).accepted == 1
            first.kill()
            # The broken connection is noticed before it is used.
            assert store.add_alerts([alert(2)]).accepted == 1
            assert second.url("store") != first.url("store")
            assert ids(store) == ["id-2"], "the second server has what came after the first was gone"
        finally:
            store.close()


def test_a_full_disk_stores_nothing_and_heals(own_server: PostgresServer, clock: Clock) -> None:
    own_server.execute("CREATE DATABASE store")
    own_server.stop()
    own_server.start(file_bytes=17 * 1024 * 1024)  # the log's segments have 16 MiB
    store = AlertStore.open(own_server.url("store"), clock=clock)
    try:
        big = [alert(n, transaction={"text": os.urandom(400_000).hex()}) for n in range(30)]
        added = 0
        with pytest.raises(StoreError, match=r"could not (extend|write)") as failed:  # noqa: PT012
            for each in big:
                added += store.add_alerts([each]).accepted
        assert "disk" in str(failed.value.remedy)
        before = ids(store)
        assert len(before) == added
        own_server.stop()
        own_server.start()
        assert store.add_alerts(big).accepted == len(big) - len(before)
        assert ids(store)[: len(before)] == before
    finally:
        store.close()
