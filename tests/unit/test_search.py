"""The search: every filter, order and cursor against a plain reading of the same alerts."""

from __future__ import annotations

import itertools
import math
import operator
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import event, text, update

from dashboards import Clock, file_of, take_back
from fraudstream.store import search, tables
from fraudstream.store.backends.sqlite import SqliteBackend
from fraudstream.store.filters import AlertFilter, Op, SearchPosition, Sort, Where
from fraudstream.store.full_text import Text, alert_tokens, columns_of, fold
from fraudstream.store.search import AlertSearch
from fraudstream.store.store import AlertStore
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.wire import AlertField, Outcome

COUNT = 800
STATUSES = ("new", "claimed", "confirmed_fraud", "false_alarm", "unsure", "needs_information")
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
    monkeypatch.setattr(search, "WINDOW", 100)
    monkeypatch.setattr(search, "EXPORT_PAGE", 70)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    """A store of 1,000 alerts, for tests that only read."""
    store = AlertStore.open(store_url(tmp_path_factory.mktemp("thousand")), clock=Clock())
    fill(store, random.Random(6), range(1000))
    yield store
    store.close()


@pytest.fixture(scope="module")
def of_thousand(thousand: AlertStore) -> Reference:
    return Reference(thousand)


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
        self.documents = [stored.document() for page in store.search.walk(AlertFilter(outcome=None)) for stored in page]
        self.words = {document["seq"]: alert_tokens(document) for document in self.documents}
        with store.database.read() as connection:
            self.rows = {row.seq: row for row in connection.execute(tables.alerts.select())}

    def of(self, query: AlertFilter, sort: Sort) -> list[int]:
        seqs = [document["seq"] for document in self.documents if self._fits(document, query)]
        if sort is Sort.OLDEST:
            return seqs
        seqs.reverse()
        if sort is Sort.NEWEST:
            return seqs
        if sort is Sort.DUE:
            waiting = [seq for seq in seqs if self.rows[seq].status == "needs_information"]
            return sorted(waiting, key=lambda seq: self.rows[seq].due_us or math.inf)
        name = "expected_loss" if sort is Sort.LOSS else sort.value
        values = {seq: getattr(self.rows[seq], name) for seq in seqs}
        return sorted(seqs, key=lambda seq: math.inf if values[seq] is None else -values[seq])

    def _fits(self, document: dict[str, Any], query: AlertFilter) -> bool:
        row = self.rows[document["seq"]]
        return (
            (query.outcome is None or row.outcome == query.outcome)
            and (query.since_us is None or row.produced_us >= query.since_us)
            and (query.until_us is None or row.produced_us < query.until_us)
            and _within(row.score, query.min_score, query.max_score)
            and _within(row.amount, query.min_amount, query.max_amount)
            and (not query.statuses or row.status in query.statuses)
            and query.assignee in (None, row.assignee)
            and query.model_id in (None, row.model_id)
            and query.schema_id in (None, row.schema_id)
            and query.source in (None, row.topic)
            and all(_meets(document, where) for where in query.where)
            and (query.text is None or _has(self.words[document["seq"]], query.text))
        )


def _within(value: float | None, low: float | None, high: float | None) -> bool:
    return (low is None or (value is not None and value >= low)) and (
        high is None or (value is not None and value <= high)
    )


COMPARE: dict[Op, Callable[[Any, Any], Any]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}


def _meets(document: dict[str, Any], where: Where) -> bool:
    value = dict(columns_of(document[AlertField.TRANSACTION])).get(where.name)
    if value is None:
        return False
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = value if is_number else parse_number(value) if isinstance(value, str) else None
    words = None if is_number else value if isinstance(value, str) else orjson.dumps(value).decode()
    if where.op is Op.HAS:
        return fold(where.value) in fold(orjson.dumps(value).decode() if words is None else words)
    if where.op in (Op.EQ, Op.NE):
        same = (number is not None and number == where.number) or words == where.value
        return same == (where.op is Op.EQ)
    if where.number is not None:
        return number is not None and bool(COMPARE[where.op](number, where.number))
    return words is not None and bool(COMPARE[where.op](words, where.value))


def _has(names: tuple[str, ...] | list[str], typed: Text) -> bool:

    def has(words: tuple[str, ...], prefix: bool) -> bool:
        *before, last = words
        return any(
            (word == last or (prefix and word.startswith(last))) and names[max(at - len(before), 0) : at] == before
            for at, word in enumerate(names)
        )

    return all(has(*term) for term in typed.terms)


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
        text=now_and_then(lambda: Text.parse(chance.choice(TYPED)), 0.4),
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
    with store.database.write() as connection:
        for _ in range(times):
            assignee = chance.choice([None, "Ana", "Bo"])
            status = chance.choice(STATUSES)
            due_us = chance.randrange(9) * HOUR + HOUR if status == "needs_information" else None
            connection.execute(
                update(tables.alerts)
                .where(tables.alerts.c.seq == chance.randrange(1, newest + 1))
                .values(status=status, assignee=assignee, due_us=due_us)
            )


def paged(store: AlertStore, query: AlertFilter, sort: Sort, limit: int) -> list[int]:
    seqs: list[int] = []
    after: SearchPosition | None = None
    while True:
        page = store.search.page(query, sort=sort, after=after, limit=limit, seconds=600)
        assert page.complete
        seqs += [alert.seq for alert in page.alerts]
        after = page.following
        if after is None:
            return seqs


@pytest.mark.parametrize(("questions", "count"), [(30, 300), pytest.param(600, COUNT, marks=pytest.mark.nightly)])
def test_every_filter_in_every_order_finds_what_a_plain_reading_finds(
    store: AlertStore, questions: int, count: int
) -> None:
    chance = random.Random(questions)
    fill(store, chance, range(count))
    decide(store, chance, count // 2)
    reference = Reference(store)
    several = 0
    for _ in range(questions):
        query, sort, limit = some_filter(chance), chance.choice(list(Sort)), chance.choice([7, 100, 1000])
        expected = reference.of(query, sort)
        several += len(expected) > 1
        assert paged(store, query, sort, limit) == expected, (query, sort)
    assert several > questions // 5


def test_what_is_typed_finds_the_alerts_that_have_it(store: AlertStore) -> None:
    fill(store, random.Random(1), range(300))
    reference = Reference(store)
    for typed, sort in zip(TYPED, itertools.cycle(Sort)):
        for statuses in ((), ("new", "claimed")):
            query = AlertFilter(outcome=None, statuses=statuses, text=Text.parse(typed))
            assert paged(store, query, sort, 50) == reference.of(query, sort), typed


def test_pages_are_stable_while_alerts_arrive(store: AlertStore) -> None:
    chance = random.Random(2)
    fill(store, chance, range(300))
    query = AlertFilter(outcome=None, min_amount=1)
    before = {sort: Reference(store).of(query, sort) for sort in Sort}
    newest = store.latest_seq()
    done = threading.Event()

    def keep_adding() -> None:
        number = 300
        # No end of them would be no end of pages either, where they arrive faster than they are read.
        while not done.is_set() and number < 600:
            fill(store, chance, range(number, number + 20))
            number += 20

    adding = threading.Thread(target=keep_adding)
    adding.start()
    try:
        for sort in Sort:
            seqs: list[int] = []
            after = page = None
            while page is None or after is not None:
                page = store.search.page(query, sort=sort, after=after, limit=30)
                seqs += [alert.seq for alert in page.alerts]
                after = page.following
                if sort is Sort.OLDEST and seqs[-1] > newest:
                    break
            assert len(seqs) == len(set(seqs))
            assert [seq for seq in seqs if seq <= newest] == before[sort]
    finally:
        done.set()
        adding.join()


def test_a_verdict_is_found_at_once(store: AlertStore) -> None:
    fill(store, random.Random(4), range(300))
    query = AlertFilter(outcome=None, statuses=("unsure",), assignee="Zoë")
    for seqs in ([5], [5, 260]):
        with store.database.write() as connection:
            connection.execute(
                update(tables.alerts).where(tables.alerts.c.seq.in_(seqs)).values(status="unsure", assignee="Zoë")
            )
        assert paged(store, query, Sort.OLDEST, 10) == seqs
    with store.database.write() as connection:
        connection.execute(update(tables.alerts).values(status="new", assignee=None))
    assert paged(store, query, Sort.OLDEST, 10) == []


def test_an_alert_that_replaces_an_unscorable_one_has_its_own_words(store: AlertStore) -> None:
    unscorable = some_alert(1, random.Random(1)) | {"alert_id": "id-1", "outcome": "unscorable", "score": None}
    store.add_alerts([unscorable])
    store.add_alerts([unscorable | {"outcome": "alert", "score": 0.75, "reason": None}])
    for typed, seqs in (("id-1", [3, 1]), ("id-1 unscorable", [1]), ('"id-1 alert"', [3])):
        assert paged(store, AlertFilter(outcome=None, text=Text.parse(typed)), Sort.NEWEST, 10) == seqs


@pytest.mark.sqlite
def test_a_store_of_an_earlier_release_is_searched_like_any_other(store: AlertStore) -> None:
    fill(store, random.Random(3), range(600))
    decide(store, random.Random(3), 50)
    query = AlertFilter(outcome=None, min_amount=1, text=Text.parse("coff"))
    expected = {sort: paged(store, query, sort, 100) for sort in Sort}
    assert expected[Sort.LOSS]
    url = f"sqlite:///{file_of(store)}"
    store.close()
    take_back(url)
    with sqlite3.connect(file_of(store)) as database:
        database.execute("UPDATE alerts SET status = 'unsure' WHERE seq = 1")
        assert database.execute("SELECT * FROM restated_alerts").fetchall() == [(1,)]
    database.close()
    again = AlertStore.open(url, clock=Clock())
    try:
        assert {sort: paged(again, query, sort, 100) for sort in Sort} == expected
        fill(again, random.Random(9), range(600, 601))
        with again.database.read() as connection:
            names = connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
        assert not {"segments", "segment_columns", "restated_alerts", "alerts_restated", "indexed"} & set(names)
    finally:
        again.close()


@pytest.mark.parametrize("sort", list(Sort))
def test_a_place_that_no_page_gave_is_no_error_and_no_endless_search(store: AlertStore, sort: Sort) -> None:
    fill(store, random.Random(3), range(30))
    far = (None, -(2**62), 2**62)
    for where in ((), (Where("V1", Op.GT, "0"),)):
        for seq, below, floor in itertools.product(far, repeat=3):
            place = SearchPosition(0.5, seq, below, floor)
            store.search.page(AlertFilter(None, where=where), sort=sort, after=place)


def test_hundreds_of_words_are_no_error(store: AlertStore) -> None:
    fill(store, random.Random(3), range(30))
    for typed in ("time " * 200, " ".join(f"w{number}" for number in range(250)), '"' + "a " * 450 + '"', "a-" * 490):
        store.search.page(AlertFilter(None, text=Text.parse(typed)))


@pytest.mark.sqlite
def test_what_is_not_stored_leaves_no_words(store: AlertStore) -> None:
    with store.database.write() as connection:
        connection.execute(text("DROP TABLE totals"))
    with pytest.raises(Exception, match="totals"):
        fill(store, random.Random(1), range(3))
    with store.database.read() as connection:
        count = connection.execute(text("SELECT count(*) FROM alert_words WHERE alert_words MATCH 'time'"))
        assert count.scalar_one() == 0


class Ticks:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.OLDEST])
def test_a_search_whose_time_is_over_goes_on_from_its_cursor(
    thousand: AlertStore, of_thousand: Reference, sort: Sort
) -> None:
    slow = AlertSearch(thousand, Ticks())
    query = AlertFilter(outcome=None, where=(Where("V1", Op.HAS, ".12"),))
    seqs: list[int] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = slow.page(query, sort=sort, after=after, limit=1000, seconds=1.5)
        assert page.complete == (page.following is None)
        assert page.complete == (page.reached_us is None)
        seqs += [alert.seq for alert in page.alerts]
        after, pages = page.following, pages + 1
    assert seqs == of_thousand.of(query, sort)
    assert pages == 5


@pytest.mark.parametrize("sort", [Sort.SCORE, Sort.AMOUNT, Sort.LOSS])
@pytest.mark.parametrize("limit", [3, 1000])
def test_a_search_by_value_whose_time_is_over_is_in_order_within_what_it_searched(
    thousand: AlertStore, of_thousand: Reference, sort: Sort, limit: int
) -> None:
    slow = AlertSearch(thousand, Ticks())
    query = AlertFilter(outcome=None, where=(Where("merchant", Op.HAS, "o"),))
    expected = of_thousand.of(query, sort)
    stretches = [[seq for seq in expected if low < seq <= low + 200] for low in (800, 600, 400, 200, 0)]
    seqs: list[int] = []
    dates: list[int | None] = []
    after = None
    while not dates or after is not None:
        page = slow.page(query, sort=sort, after=after, limit=limit, seconds=1.5)
        seqs += [alert.seq for alert in page.alerts]
        after = page.following
        dates.append(page.reached_us)
    assert seqs == [seq for stretch in stretches for seq in stretch]
    assert dates[-1] is None
    assert [at for at in dates if at is not None] == sorted((at for at in dates if at is not None), reverse=True)


def test_a_search_that_finds_nothing_in_its_time_says_how_far_it_came(thousand: AlertStore) -> None:
    page = AlertSearch(thousand, Ticks()).page(
        AlertFilter(outcome=None, where=(Where("nothing", Op.EQ, "1"),)), sort=Sort.LOSS, seconds=0.5
    )
    assert (page.alerts, page.complete, page.following) == ([], False, SearchPosition(None, None, 901))
    (reached,) = thousand.alerts_after(900, limit=1)
    assert page.reached_us == reached.produced_us


def test_the_columns_of_what_matches_are_known_without_reading_it(store: AlertStore) -> None:
    fill(store, random.Random(10), range(556))
    reference = Reference(store)
    filters = (AlertFilter(), AlertFilter(model_id="m-3"), AlertFilter(text=Text.parse("ulm")))
    for query in (*filters, AlertFilter(assignee="Ana", text=Text.parse("ulm"))):
        columns = store.search.transaction_columns(query, up_to=456)
        seqs = [seq for seq in reference.of(query, Sort.OLDEST) if seq <= 456]
        assert set(columns) == {name for seq in seqs for name in reference.documents[seq - 1]["transaction"]}


def test_a_walk_gives_all_in_the_order_of_commit_and_holds_no_transaction(store: AlertStore) -> None:
    fill(store, random.Random(7), range(400))
    for query in (AlertFilter(outcome=None), AlertFilter(min_score=0.5, text=Text.parse("coffee"))):
        expected = Reference(store).of(query, Sort.OLDEST)
        walk = store.search.walk(query)
        first = next(walk)
        fill(store, random.Random(8), range(store.latest_seq(), store.latest_seq() + 1))
        if isinstance(store.database.backend, SqliteBackend):
            with sqlite3.connect(file_of(store)) as connection:
                # Busy is what it says where somebody still reads what the log had before.
                assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            connection.close()
        assert [alert.seq for alert in first + [alert for some in walk for alert in some]] == expected
    limited = [alert.seq for some in store.search.walk(AlertFilter(outcome=None), up_to=150) for alert in some]
    assert limited == list(range(1, 151))


def test_digits_of_numbers_are_found_as_json_writes_them(store: AlertStore) -> None:
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
        2**62,
        True,
        None,
        "1e5",
        [7, 8],
    ]
    values = special + [chance.choice([chance.gauss(0, 3), chance.randrange(10**6)]) for _ in range(256)]
    alerts = [some_alert(number, chance) for number in range(len(values))]
    for alert, value in zip(alerts, values, strict=True):
        alert["transaction"]["n"] = value
    alerts[40]["transaction"]["merchant"] = "Café 7"
    assert store.add_alerts(alerts).accepted == len(alerts)
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
            query = AlertFilter(outcome=None, where=(Where(name, Op.HAS, part),))
            assert paged(store, query, Sort.NEWEST, 50) == reference.of(query, Sort.NEWEST), (name, part)
    for op in Op:
        query = AlertFilter(outcome=None, where=(Where("n", op, "4111111111111111"),))
        assert paged(store, query, Sort.NEWEST, 50) == reference.of(query, Sort.NEWEST), op
    for typed in (
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111111111111111.0",
        "1.23456789012",
        "378282246310005",
        "378282*",
        "3782822*",
    ):
        query = AlertFilter(outcome=None, text=Text.parse(typed))
        assert paged(store, query, Sort.NEWEST, 50) == reference.of(query, Sort.NEWEST), typed


NAMES = ('say "x"', "back\\slash", "line\nbreak", "a.b", "a.b.c", "a..b", ".", "$.V1", "'", "é", "%", "[0]")


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_any_name_is_compared(store: AlertStore, name: str) -> None:
    alerts = [some_alert(number, random.Random(number)) for number in range(3)]
    alerts[1]["transaction"][name] = "Here"
    store.add_alerts(alerts)
    for op, value in ((Op.EQ, "Here"), (Op.HAS, "her"), (Op.GE, "A"), (Op.NE, "there")):
        query = AlertFilter(outcome=None, where=(Where(name, op, value),))
        assert paged(store, query, Sort.LOSS, 10) == [2], op


def test_numbers_with_many_digits_are_words_within_texts_alone(store: AlertStore) -> None:
    alerts = [some_alert(number, random.Random(number)) for number in range(6)]
    alerts[0]["transaction"]["V9"] = -1.3598071336738
    alerts[1]["transaction"]["V9"] = 123456789012345
    alerts[2]["transaction"]["note"] = "paid 123456.789012 EUR"
    alerts[3]["transaction"]["note"] = "123456.789"
    store.add_alerts(alerts)
    for typed, expected in (
        ("1.3598071336738", []),
        ("V9 123456789012345", [2]),
        ("123456.789012", [3]),
        ("paid 123456.789012 eur", [3]),
        ("123456.7*", [3, 4]),
        ("123456.789", [4]),
    ):
        assert paged(store, AlertFilter(outcome=None, text=Text.parse(typed)), Sort.OLDEST, 5) == expected, typed
    query = AlertFilter(outcome=None, where=(Where("V9", Op.EQ, "-1.3598071336738"),))
    assert paged(store, query, Sort.OLDEST, 5) == [1]


class Plans:
    """What SQLite does for each query of a store's connections that reads `alerts`."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def of(self, query: AlertFilter, sort: Sort, after: SearchPosition | None = None) -> list[str]:
        statements: list[tuple[str, Any]] = []
        with self._store.database.read() as connection:
            engine = connection.engine

        def record_statement(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", record_statement)
        try:
            self._store.search.page(query, sort=sort, after=after)
        finally:
            event.remove(engine, "before_cursor_execute", record_statement)
        statement, parameters = next(each for each in statements if " UNION ALL " in each[0])
        with self._store.database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return [row[3] for row in plan if " alerts" in row[3]]


@pytest.mark.sqlite
@pytest.mark.parametrize("sort", [sort for sort in Sort if sort is not Sort.DUE])
@pytest.mark.parametrize("statuses", [(), ("new", "claimed")])
def test_every_filter_is_answered_from_an_index_without_reading_alerts(
    store: AlertStore, sort: Sort, statuses: tuple[str, ...]
) -> None:
    fill(store, random.Random(5), range(300))
    several = {"min_score": 0.1, "max_amount": 900.0, "model_id": "m-1", "schema_id": "s-1", "source": "t"}
    for arguments in ({}, {"assignee": "Ana"}, {"since_us": 1, "until_us": 10**18}, {"max_score": 0.9}, several):
        for after in (None, SearchPosition(None if sort.column is None else 0.5, 7)):
            steps = Plans(store).of(AlertFilter(None, statuses=statuses, **arguments), sort, after)
            assert steps
            assert all("USING COVERING INDEX alerts_by_" in step for step in steps), steps
