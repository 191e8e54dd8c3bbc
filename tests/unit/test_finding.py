"""Finding alerts: every filter, order and cursor against a plain reading of the same alerts."""

from __future__ import annotations

import math
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy import text as sql

from dashboards import Clock
from fraudstream.alerts import tables
from fraudstream.alerts.filters import AlertFilter, Op, Sort, Where
from fraudstream.alerts.finding import indexer, segment, stored, text, window
from fraudstream.alerts.finding.columns import OWN_NUMBERS, OWN_TEXTS, Coded, GrowingColumns
from fraudstream.alerts.finding.cursor import Position
from fraudstream.alerts.finding.indexer import AlertIndexer
from fraudstream.alerts.finding.masks import own_mask
from fraudstream.alerts.finding.search import AlertSearch
from fraudstream.alerts.finding.tables import Kind, segment_columns, segments
from fraudstream.alerts.store import AlertStore
from fraudstream.alerts.words import Text
from fraudstream.errors import StoreError
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import Outcome

SEGMENT = 256
COUNT = 1500
STATUSES = ("new", "claimed", "confirmed_fraud", "false_alarm", "unsure")
HOUR = 3_600_000_000
WORDS = (
    "Coffee House",
    "café",
    "HOUSE coffee",
    "Grocery",
    "fuel 17",
    "=1+1",
    "a\"b'c",
    "4111 1111 1111 1111",
    "😀 party",
    "zoë",
    "x" * 300,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so small that some hundred alerts go beyond each of them."""
    monkeypatch.setattr(text, "FEW", 40)
    monkeypatch.setattr(text, "FEW_WORDS", 3)
    monkeypatch.setattr(segment, "FEW", 8)
    monkeypatch.setattr(window, "WINDOW", 100)
    monkeypatch.setattr(indexer, "BODY_CHARS", 20_000)
    monkeypatch.setattr(indexer, "WORD_CHARS", 2_000)
    monkeypatch.setattr(stored, "PIECE_BYTES", 3_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}", clock=Clock())
    yield store
    store.close()


def some_alert(number: int, chance: random.Random) -> dict[str, Any]:
    transaction: dict[str, Any] = {"Time": number // 3, "V1": chance.gauss(0, 3), "V2": round(chance.gauss(0, 3), 2)}
    if chance.random() < 0.9:
        transaction["Amount"] = chance.choice([0, 12.5, 100, round(chance.random() * 900, 2), 9007199254740993])
    if chance.random() < 0.7:
        transaction["merchant"] = chance.choice(WORDS)
    if chance.random() < 0.3:
        transaction["code"] = chance.choice(["00123", "12.50", 7, "7", True, None, [1, "two"], 2**53 + 1, 2**53])
    if chance.random() < 0.2:
        transaction["shop"] = {"city": chance.choice(["Ulm", "ULM", "Bonn"]), "floor": chance.randrange(3)}
    unscorable = chance.random() < 0.2
    return {
        "alert_id": f"{chance.getrandbits(64):016x}-{number}",
        "outcome": "unscorable" if unscorable else "alert",
        "score": None if unscorable else round(chance.random(), 2),
        "threshold": 0.5,
        "model_id": chance.choice(["m-1", "m-2", None]),
        "schema_id": chance.choice(["s-1", "s-2"]),
        "topic": chance.choice(["credit_card_transactions", "elsewhere"]),
        "reason": "too much is missing: V3" if unscorable else None,
        "produced_at": f"2026-01-{1 + number * 20 // COUNT:02d}T{chance.randrange(24):02d}:00:00Z",
        "transaction": transaction,
    }


class Reference:
    """The same alerts as a list, filtered and sorted by Python."""

    def __init__(self, store: AlertStore) -> None:
        self.documents = [
            found.document() for page in store.all_alerts(AlertFilter(outcome=None), up_to=10**9) for found in page
        ]
        with store.reading() as connection:
            self.rows = {row.seq: row for row in connection.execute(tables.alerts.select())}

    def of(self, wanted: AlertFilter, sort: Sort) -> list[int]:
        found = [document["seq"] for document in self.documents if self._fits(document, wanted)]
        if sort is Sort.OLDEST:
            return found
        found.reverse()
        if sort is Sort.NEWEST:
            return found
        name = "expected_loss" if sort is Sort.LOSS else sort.value
        values = {seq: getattr(self.rows[seq], name) for seq in found}
        return sorted(found, key=lambda seq: math.inf if values[seq] is None else -values[seq])

    def _fits(self, document: dict[str, Any], wanted: AlertFilter) -> bool:
        row = self.rows[document["seq"]]
        return (
            (wanted.outcome is None or row.outcome == wanted.outcome)
            and (wanted.since_us is None or row.produced_us >= wanted.since_us)
            and (wanted.until_us is None or row.produced_us < wanted.until_us)
            and _within(row.score, wanted.min_score, wanted.max_score)
            and _within(row.amount, wanted.min_amount, wanted.max_amount)
            and (not wanted.statuses or row.status in wanted.statuses)
            and wanted.assignee in (None, row.assignee)
            and wanted.model_id in (None, row.model_id)
            and wanted.schema_id in (None, row.schema_id)
            and wanted.source in (None, row.topic)
            and wanted.matches(document)
        )


def _within(value: float | None, low: float | None, high: float | None) -> bool:
    return (low is None or (value is not None and value >= low)) and (
        high is None or (value is not None and value <= high)
    )


def some_filter(chance: random.Random) -> AlertFilter:
    def now_and_then(make: Callable[[], Any], share: float = 0.15) -> Any:
        return make() if chance.random() < share else None

    start = 1_767_225_600_000_000
    names = ("V1", "V2", "Amount", "merchant", "code", "shop.city", "shop.floor", "Time", "nothing")
    values = (
        "0",
        "0.5",
        "12.5",
        "12.50",
        "7",
        "00123",
        "Coffee House",
        "coffee",
        "ULM",
        "9007199254740993",
        "true",
        "two",
        "x",
    )
    where = tuple(
        Where(chance.choice(names), chance.choice(list(Op)), chance.choice(values))
        for _ in range(chance.choice([0, 0, 1, 1, 2]))
    )
    return AlertFilter(
        outcome=chance.choice([Outcome.ALERT, Outcome.UNSCORABLE, None, None]),
        since_us=now_and_then(lambda: start + chance.randrange(20 * 24) * HOUR),
        until_us=now_and_then(lambda: start + chance.randrange(20 * 24) * HOUR),
        min_score=now_and_then(lambda: round(chance.random(), 1)),
        max_score=now_and_then(lambda: round(chance.random(), 1)),
        min_amount=now_and_then(lambda: chance.choice([0, 12.5, 300])),
        max_amount=now_and_then(lambda: chance.choice([0, 12.5, 300])),
        statuses=tuple(chance.sample(STATUSES, chance.choice([1, 2]))) if chance.random() < 0.25 else (),
        assignee=now_and_then(lambda: chance.choice(["Ana", "Bo", "nobody"])),
        model_id=now_and_then(lambda: chance.choice(["m-1", "m-2", "m-3"])),
        schema_id=now_and_then(lambda: chance.choice(["s-1", "s-2"])),
        source=now_and_then(lambda: "elsewhere"),
        text=now_and_then(lambda: Text.typed(chance.choice(TYPED)), 0.4),
        where=where,
    )


TYPED = (
    "coffee", "coff", '"coffee house"', "house coffee", "CAFE", "credit_card_transactions", "12.5", "12.50", "00123",
    "Amount 12.5", '"amount 12.5"', "m-1", "NEAR(coffee house)", "* OR 1=1; --", '"', "😀", "zoe", "17", "fuel 17",
    "too much is missing", "elsewh cof", "V3", "unscorable", "ul", "nothing at all", "x" * 300, "0.12345678901",
    "100*", "a\"b'c", "co", "4111 1111 1111 1111", "411111*", "4111111*", "1111",
)  # fmt: skip


def fill(store: AlertStore, chance: random.Random, numbers: range) -> None:
    alerts = [some_alert(number, chance) for number in numbers]
    assert store.add_alerts(alerts).accepted == len(alerts)


def decide(store: AlertStore, chance: random.Random, times: int) -> None:
    newest = store.latest_seq()
    with store.writing() as connection:
        for _ in range(times):
            assignee = chance.choice([None, "Ana", "Bo"])
            connection.execute(
                update(tables.alerts)
                .where(tables.alerts.c.seq == chance.randrange(1, newest + 1))
                .values(status=chance.choice(STATUSES), assignee=assignee)
            )


def paged(store: AlertStore, wanted: AlertFilter, sort: Sort, limit: int) -> list[int]:
    found: list[int] = []
    after: Position | None = None
    while True:
        page = store.search.page(wanted, sort=sort, after=after, limit=limit, seconds=600)
        assert page.complete
        found += [alert.seq for alert in page.alerts]
        after = page.following
        if after is None:
            return found


@pytest.mark.parametrize("questions", [40, pytest.param(250, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("indexed", ["nothing", "a part", "all but the newest changes", "all"])
def test_every_filter_in_every_order_finds_what_a_plain_reading_finds(
    store: AlertStore, indexed: str, questions: int
) -> None:
    chance = random.Random(indexed)
    follower = AlertIndexer(store, segment=SEGMENT)
    fill(store, chance, range(COUNT // 2))
    decide(store, chance, 200)
    if indexed != "nothing":
        follower.catch_up()
    decide(store, chance, 100)
    fill(store, chance, range(COUNT // 2, COUNT))
    if indexed.startswith("all"):
        follower.catch_up()
    decide(store, chance, 100)
    if indexed == "all":
        follower.catch_up()
    reference = Reference(store)
    several = 0
    for _ in range(questions):
        wanted, sort, limit = some_filter(chance), chance.choice(list(Sort)), chance.choice([7, 100, 1000])
        expected = reference.of(wanted, sort)
        several += len(expected) > 1
        assert paged(store, wanted, sort, limit) == expected, (wanted, sort)
    assert several > questions // 5


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("sort", list(Sort))
def test_what_is_typed_finds_the_alerts_that_have_it(store: AlertStore, typed: str, sort: Sort) -> None:
    chance = random.Random(1)
    fill(store, chance, range(600))
    AlertIndexer(store, segment=SEGMENT).catch_up()
    fill(store, chance, range(600, 650))
    wanted = AlertFilter(outcome=None, text=Text.typed(typed))
    assert paged(store, wanted, sort, 50) == Reference(store).of(wanted, sort)


def test_pages_are_stable_while_alerts_arrive_and_are_indexed(store: AlertStore) -> None:
    chance = random.Random(2)
    fill(store, chance, range(500))
    follower = AlertIndexer(store, segment=SEGMENT)
    follower.start()
    wanted = AlertFilter(outcome=None, min_amount=1)
    before = {sort: Reference(store).of(wanted, sort) for sort in Sort}
    newest = store.latest_seq()
    done = threading.Event()

    def keep_adding() -> None:
        number = 500
        # No end of them would be no end of pages either, where they arrive faster than they are read.
        while not done.is_set() and number < 2000:
            fill(store, chance, range(number, number + 20))
            number += 20

    adding = threading.Thread(target=keep_adding)
    adding.start()
    try:
        for sort in Sort:
            found: list[int] = []
            after = None
            while not found or after is not None:
                page = store.search.page(wanted, sort=sort, after=after, limit=30)
                found += [alert.seq for alert in page.alerts]
                after = page.following
                if sort is Sort.OLDEST and found[-1] > newest:
                    break
            assert len(found) == len(set(found))
            assert [seq for seq in found if seq <= newest] == before[sort]
    finally:
        done.set()
        adding.join()
        follower.close()


def test_an_alert_is_found_from_its_commit_on_and_indexed_within_a_second(store: AlertStore) -> None:
    follower = AlertIndexer(store)
    follower.start()
    try:
        for number in range(5):
            fill(store, random.Random(number), range(number, number + 1))
            wanted = AlertFilter(outcome=None, text=Text.typed(f'"-{number}"'), where=(Where("Time", Op.GE, "0"),))
            assert number + 1 in paged(store, wanted, Sort.NEWEST, 10)
            assert wait_until(lambda: follower.progress() == (store.latest_seq(), store.latest_seq()), 60)
    finally:
        follower.close()


def test_the_next_process_goes_on_where_the_last_one_stopped(store: AlertStore) -> None:
    chance = random.Random(3)
    fill(store, chance, range(SEGMENT + 50))
    AlertIndexer(store, segment=SEGMENT).catch_up()
    fill(store, chance, range(SEGMENT + 50, 2 * SEGMENT + 20))
    following = AlertIndexer(store, segment=SEGMENT)
    following.catch_up()
    assert following.progress() == (2 * SEGMENT + 20, 2 * SEGMENT + 20)
    for typed in ("coffee", "V1"):
        wanted = AlertFilter(outcome=None, text=Text.typed(typed))
        assert paged(store, wanted, Sort.AMOUNT, 100) == Reference(store).of(wanted, Sort.AMOUNT)


def test_a_verdict_is_found_at_once_whether_it_is_indexed_or_not(store: AlertStore) -> None:
    fill(store, random.Random(4), range(SEGMENT + 20))
    follower = AlertIndexer(store, segment=SEGMENT)
    follower.catch_up()
    wanted = AlertFilter(outcome=None, statuses=("unsure",), assignee="Zoë")
    for seqs in ([5], [5, SEGMENT + 7]):
        with store.writing() as connection:
            connection.execute(
                update(tables.alerts).where(tables.alerts.c.seq.in_(seqs)).values(status="unsure", assignee="Zoë")
            )
        assert paged(store, wanted, Sort.OLDEST, 10) == seqs
        follower.catch_up()
        assert paged(store, wanted, Sort.OLDEST, 10) == seqs
    with store.writing() as connection:
        connection.execute(update(tables.alerts).values(status="new", assignee=None))
    follower.catch_up()
    assert paged(store, wanted, Sort.OLDEST, 10) == []


@pytest.mark.parametrize("indexed", [SEGMENT, SEGMENT // 2])
def test_a_verdict_that_is_changed_while_the_index_takes_it_over_is_not_forgotten(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch, indexed: int
) -> None:
    fill(store, random.Random(4), range(indexed))
    follower = AlertIndexer(store, segment=SEGMENT)
    follower.catch_up()
    one = update(tables.alerts).where(tables.alerts.c.seq == 5)
    with store.writing() as connection:
        connection.execute(one.values(status="claimed"))
    writing = store.writing

    @contextmanager
    def after_a_change(*, relaxed: bool = False) -> Iterator[Connection]:
        monkeypatch.setattr(store, "writing", writing)
        with store.writing() as connection:
            connection.execute(one.values(status="unsure"))
        with store.writing(relaxed=relaxed) as connection:
            yield connection

    monkeypatch.setattr(store, "writing", after_a_change)
    follower.catch_up()
    wanted = AlertFilter(outcome=None, statuses=("unsure",))
    assert paged(store, wanted, Sort.OLDEST, 10) == [5]
    assert paged(store, AlertFilter(outcome=None, statuses=("claimed",)), Sort.OLDEST, 10) == []


def test_a_segment_that_could_not_be_stored_is_stored_anew(store: AlertStore) -> None:
    fill(store, random.Random(4), range(SEGMENT + 20))
    with store.writing() as connection:
        refused = "CREATE TRIGGER full BEFORE INSERT ON segments BEGIN SELECT RAISE(ABORT, 'no room'); END"
        connection.execute(sql(refused))
    with pytest.raises(StoreError, match="no room"):
        AlertIndexer(store, segment=SEGMENT).catch_up()
    wanted = AlertFilter(outcome=None, where=(Where("V1", Op.GT, "0"),))
    assert paged(store, wanted, Sort.SCORE, 100) == Reference(store).of(wanted, Sort.SCORE)
    with store.writing() as connection:
        connection.execute(sql("DROP TRIGGER full"))
    AlertIndexer(store, segment=SEGMENT).catch_up()
    assert paged(store, wanted, Sort.SCORE, 100) == Reference(store).of(wanted, Sort.SCORE)
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(segments)).scalar_one() == 1
        twice = select(segment_columns.c.kind, segment_columns.c.name).group_by("kind", "name").having(func.count() > 1)
        assert connection.execute(twice).all() == []


def is_indexed_once(store: AlertStore) -> None:
    """Each alert is in one segment, each segment is whole, and both are found as a plain reading finds them."""
    with store.reading() as connection:
        stretches = connection.execute(select(segments.c.first_seq, segments.c.last_seq).order_by(segments.c.id)).all()
        twice = select(segment_columns.c.name).group_by("segment", "kind", "name").having(func.count() > 1)
        assert connection.execute(twice).all() == []
    assert all(before.last_seq < after.first_seq for before, after in pairwise(stretches))
    for wanted in (
        AlertFilter(outcome=None, where=(Where("V1", Op.GT, "0"),)),
        AlertFilter(outcome=None, text=Text.typed("coffee"), min_score=0.1),
    ):
        for sort in (Sort.SCORE, Sort.OLDEST):
            assert paged(store, wanted, sort, 100) == Reference(store).of(wanted, sort)


@pytest.fixture
def second(store: AlertStore) -> Iterator[AlertStore]:
    """The same database as another process opens it."""
    second = AlertStore.open(f"sqlite:///{store.path}", clock=Clock())
    yield second
    second.close()


def test_of_two_processes_one_indexes_and_the_other_takes_over(store: AlertStore, second: AlertStore) -> None:
    chance = random.Random(13)
    fill(store, chance, range(SEGMENT + 20))
    one, other = AlertIndexer(store, segment=SEGMENT), AlertIndexer(second, segment=SEGMENT)
    one.start()
    try:
        assert wait_until(lambda: one.progress().indexed == SEGMENT + 20, 60)
        other.start()
        assert not wait_until(lambda: other.progress().indexed > 0, 1)
        is_indexed_once(second)
        one.close()
        assert store.search.growing is None
        fill(store, chance, range(SEGMENT + 20, 2 * SEGMENT + 20))
        assert wait_until(lambda: other.progress().indexed == 2 * SEGMENT + 20, 60)
    finally:
        one.close()
        other.close()
    is_indexed_once(store)


def test_two_that_index_the_same_alerts_all_the_same_harm_nothing(store: AlertStore, second: AlertStore) -> None:
    chance = random.Random(14)
    one, other = AlertIndexer(store, segment=SEGMENT), AlertIndexer(second, segment=SEGMENT)
    fill(store, chance, range(SEGMENT - 20))
    one.catch_up()
    other.catch_up()
    fill(store, chance, range(SEGMENT - 20, SEGMENT + 20))
    other.catch_up()
    with pytest.raises(StoreError, match="another process"):
        one.catch_up()
    is_indexed_once(store)


@pytest.mark.parametrize("meanwhile", ["begins", "indexes all"])
def test_a_segment_that_another_process_takes_for_left_over_is_not_stored_in_part(
    store: AlertStore, second: AlertStore, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    fill(store, random.Random(15), range(SEGMENT + 20))
    pack = stored.packed_columns

    def interrupted(columns: GrowingColumns, number: int) -> Iterator[list[dict[str, Any]]]:
        monkeypatch.setattr(indexer, "packed_columns", pack)
        for at, packed in enumerate(pack(columns, number)):
            if at == 1 and meanwhile == "indexes all":
                AlertIndexer(second, segment=SEGMENT).catch_up()
            elif at == 1:
                with second.writing() as connection:
                    left_over = stored.unfinished(connection)
                    assert left_over is not None
                    connection.execute(left_over)
            yield packed

    monkeypatch.setattr(indexer, "packed_columns", interrupted)
    with pytest.raises(StoreError, match="another process"):
        AlertIndexer(store, segment=SEGMENT).catch_up()
    AlertIndexer(store, segment=SEGMENT).catch_up()
    is_indexed_once(store)


@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.OLDEST])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_page_whose_time_is_over_goes_on_from_its_cursor(store: AlertStore, sort: Sort, indexed: bool) -> None:
    chance = random.Random(5)
    fill(store, chance, range(1000))
    if indexed:
        AlertIndexer(store, segment=SEGMENT).catch_up()
    ticks = iter(range(10**9))
    slow = AlertSearch(store, lambda: next(ticks))
    slow.growing = store.search.growing
    wanted = AlertFilter(outcome=None, where=(Where("V1", Op.HAS, ".12"),))
    found: list[int] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = slow.page(wanted, sort=sort, after=after, limit=1000, seconds=1.5)
        assert page.complete == (page.following is None)
        assert page.scanned <= page.of
        found += [alert.seq for alert in page.alerts]
        after, pages = page.following, pages + 1
    assert found == Reference(store).of(wanted, sort)
    assert pages > 1


def test_a_page_in_an_order_of_values_whose_time_is_over_says_so(store: AlertStore) -> None:
    fill(store, random.Random(6), range(1000))
    ticks = iter(range(10**9))
    page = AlertSearch(store, lambda: next(ticks)).page(AlertFilter(outcome=None), sort=Sort.AMOUNT, seconds=0.5)
    assert (page.complete, page.following) == (False, None)
    assert page.scanned < page.of


def test_the_columns_of_what_matches_are_known_without_reading_it(store: AlertStore) -> None:
    chance = random.Random(10)
    fill(store, chance, range(SEGMENT + 300))
    reference = Reference(store)
    for indexed in (False, True):
        if indexed:
            AlertIndexer(store, segment=SEGMENT).catch_up()
        for wanted in (AlertFilter(), AlertFilter(where=(Where("code", Op.EQ, "7"),)), AlertFilter(model_id="m-3")):
            found = store.search.transaction_columns(wanted, up_to=SEGMENT + 200)
            seqs = [seq for seq in reference.of(wanted, Sort.OLDEST) if seq <= SEGMENT + 200]
            expected = {name for seq in seqs for name in reference.documents[seq - 1]["transaction"]}
            assert set(found) == expected


def test_a_walk_holds_no_transaction_while_its_reader_is_slow(store: AlertStore) -> None:
    fill(store, random.Random(7), range(1000))
    walk = store.search.walk(AlertFilter(outcome=None))
    first = next(walk)
    assert 0 < first.scanned < first.of == 1000
    fill(store, random.Random(8), range(1000, 1001))
    with sqlite3.connect(store.path) as connection:
        # Busy is what it says where somebody still reads what the log had before.
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()
    found = first.alerts + [alert for some in walk for alert in some.alerts]
    assert [alert.seq for alert in found] == list(range(1, 1001 + 1))[: len(found)]
    assert len(found) >= 1000


@pytest.mark.parametrize("sort", [Sort.SCORE, Sort.AMOUNT, Sort.LOSS])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_walk_in_an_order_of_values_tells_how_far_it_is_and_gives_the_first_in_order(
    store: AlertStore, sort: Sort, indexed: bool
) -> None:
    fill(store, random.Random(11), range(1000))
    if indexed:
        AlertIndexer(store, segment=SEGMENT).catch_up()
    conditions = ((), (Where("V1", Op.HAS, ".1"),), (Where("merchant", Op.EQ, "Grocery"),))
    for wanted in (AlertFilter(outcome=None, where=where) for where in conditions):
        expected = Reference(store).of(wanted, sort)
        for most in (7, 100, 300, 1000):
            steps = list(store.search.walk(wanted, sort=sort, most=most))
            assert [alert.seq for step in steps for alert in step.alerts] == expected[:most]
            far = [step.scanned for step in steps if not step.alerts]
            assert far == sorted(far)
            assert 0 < far[0] < far[-1] == 1000
        first = store.search.page(wanted, sort=sort, limit=10)
        following = [a.seq for step in store.search.walk(wanted, sort=sort, after=first.following) for a in step.alerts]
        assert following == expected[10:]
    walk = store.search.walk(AlertFilter(outcome=None), sort=sort)
    assert next(walk).alerts == []
    with sqlite3.connect(store.path) as connection:
        # Nothing reads between two steps; who goes away then leaves nothing behind.
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()


@pytest.mark.parametrize("most", [1000, 1_000_000])
def test_a_walk_in_an_order_of_values_sorts_all_that_it_found_once(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    fill(store, random.Random(16), range(1000))
    sort, lengths = np.lexsort, []

    def counted(keys: Any) -> Any:
        lengths.append(len(keys[0]))
        return sort(keys)

    monkeypatch.setattr(np, "lexsort", counted)
    found = [alert for step in store.search.walk(AlertFilter(None), sort=Sort.LOSS, most=most) for alert in step.alerts]
    assert len(found) == 1000
    assert sum(lengths) <= 1000 + 2 * 1000  # each piece of its own, and all of them when it is full and at the end


@pytest.mark.parametrize("indexed", [False, True])
def test_digits_of_numbers_are_found_as_json_writes_them(store: AlertStore, indexed: bool) -> None:
    chance = random.Random(12)
    special = [
        7,
        7.0,
        -7,
        4111111111111111,
        4111111111111111.0,
        378282246310005.0,
        "4111111111111111",
        "4111 1111 1111 1111",
        ["4111 1111 1111 1111", 1.23456789012],
        "7.50",
        1e15,
        10**15,
        10**17 + 1,
        1e22,
        5e-324,
        1e-5,
        -0.0,
        2**63,
        True,
        None,
        "1e5",
        [7, 8],
    ]
    values = special + [chance.choice([chance.gauss(0, 3), chance.randrange(10**6)]) for _ in range(SEGMENT)]
    alerts = [some_alert(number, chance) for number in range(len(values))]
    for alert, value in zip(alerts, values, strict=True):
        alert["transaction"]["n"] = value
    alerts[40]["transaction"]["merchant"] = "Café 7"
    assert store.add_alerts(alerts).accepted == len(alerts)
    if indexed:
        AlertIndexer(store, segment=SEGMENT).catch_up()
    reference = Reference(store)
    parts = [
        "7",
        "-7",
        "7.5",
        ".0",
        "e",
        "E",
        "e-",
        "000",
        "0001",
        "-",
        ".",
        "5e-324",
        "rue",
        "[7",
        "1e22",
        "é",
        "411111",
        "4111111",
        "**1",
        "* 1",
    ]
    for part in parts + [f"{chance.randrange(100)}" for _ in range(20)]:
        for name in ("n", "merchant"):
            wanted = AlertFilter(outcome=None, where=(Where(name, Op.HAS, part),))
            assert paged(store, wanted, Sort.NEWEST, 50) == reference.of(wanted, Sort.NEWEST), (name, part)
    for op in Op:
        wanted = AlertFilter(outcome=None, where=(Where("n", op, "4111111111111111"),))
        assert paged(store, wanted, Sort.NEWEST, 50) == reference.of(wanted, Sort.NEWEST), op
    for typed in (
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111111111111111.0",
        "1.23456789012",
        "378282246310005",
        "378282*",
        "3782822*",
    ):
        wanted = AlertFilter(outcome=None, text=Text.typed(typed))
        assert paged(store, wanted, Sort.NEWEST, 50) == reference.of(wanted, Sort.NEWEST), typed


def test_rows_with_more_columns_than_are_kept_are_found_all_the_same(store: AlertStore) -> None:
    chance = random.Random(9)
    wide = [some_alert(number, chance) for number in range(SEGMENT)]
    for at, alert in enumerate(wide):
        alert["transaction"] |= {f"more {at} {column}": column for column in range(4)}
    store.add_alerts(wide)
    AlertIndexer(store, segment=SEGMENT).catch_up()
    for name in ("more 3 2", "more 200 2"):
        wanted = AlertFilter(outcome=None, where=(Where(name, Op.EQ, "2"),))
        assert len(paged(store, wanted, Sort.NEWEST, 10)) == 1
    typed = AlertFilter(outcome=None, text=Text.typed("0.123456789"))
    assert paged(store, typed, Sort.NEWEST, 10) == []


def test_numbers_with_many_digits_are_found_as_they_are_written(store: AlertStore) -> None:
    numbers = [-1.3598071336738, 1.3598071336738, 1.35980713367380001, 123456789012345, 1.5e-12, 9007199254740993]
    alerts = [some_alert(number, random.Random(number)) for number in range(100)]
    for alert, number in zip(alerts, numbers, strict=False):
        alert["transaction"]["V9"] = number
    alerts[50]["transaction"]["note"] = "paid 123456.789012 EUR"
    alerts[51]["transaction"]["note"] = "123456.789"
    store.add_alerts(alerts)
    for _ in range(2):
        for typed, expected in (
            ("1.3598071336738", [1, 2, 3]),
            ("V9 1.3598071336738", [1, 2, 3]),
            ('"V9 1.3598071336738"', [1, 2, 3]),
            ('"V8 1.3598071336738"', []),
            ("123456789012345", [4]),
            ("1.5e-12", [5]),
            ("9007199254740993", [alert.seq for alert in store.alerts_after(0) if b"9007199254740993" in alert.body]),
            ("123456.789012", [51]),
            ("paid 123456.789012 eur", [51]),
            ("123456.7*", []),
            ("123456.789012*", [51]),
            ("123456.789", [52]),
        ):
            wanted = AlertFilter(outcome=None, text=Text.typed(typed))
            assert paged(store, wanted, Sort.OLDEST, 5) == expected, typed
        AlertIndexer(store, segment=SEGMENT).catch_up()


def test_a_text_that_is_first_met_while_a_search_reads_its_column_is_no_error(store: AlertStore) -> None:
    growing = GrowingColumns(10)
    own = dict.fromkeys((*OWN_NUMBERS, *OWN_TEXTS)) | {"status": "new"}
    growing.add(1, own, {})

    class Interrupted(list[str | None]):
        """Texts that change as soon as they were read."""

        def __iter__(self) -> Iterator[str | None]:
            read = list(super().__iter__())
            growing.restate(1, {"status": "unsure", "assignee": None})
            return iter(read)

    key = (Kind.OWN_TEXTS, "status")
    growing.text_columns[key] = Coded(growing.text_columns[key].codes, Interrupted(["new"]))
    with store.reading() as connection:
        wanted = AlertFilter(outcome=None, statuses=("new",))
        mask = own_mask(connection, growing.view(), wanted, {})
        assert mask is not None
        assert mask.tolist() == [True]
        assert own_mask(connection, growing.view(), wanted, {}) is None
