"""Finding alerts: every filter, order and cursor against a plain reading of the same alerts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dashboards import Clock
from fraudstream.alerts import tables
from fraudstream.alerts.filters import AlertFilter, Op, Sort, Where
from fraudstream.alerts.finding import segment, text, window
from fraudstream.alerts.finding.cursor import Position
from fraudstream.alerts.finding.indexer import AlertIndexer
from fraudstream.alerts.store import AlertStore
from fraudstream.alerts.words import Text
from fraudstream.transactions.wire import Outcome

SEGMENT = 256
COUNT = 1500
STATUSES = ("new", "claimed", "confirmed_fraud", "false_alarm", "unsure")
HOUR = 3_600_000_000
WORDS = ("Coffee House", "café", "HOUSE coffee", "Grocery", "fuel 17", "=1+1", "a\"b'c", "😀 party", "zoë", "x" * 300)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so small that some hundred alerts go beyond each of them."""
    monkeypatch.setattr(text, "FEW", 40)
    monkeypatch.setattr(segment, "FEW", 8)
    monkeypatch.setattr(window, "WINDOW", 100)


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
    "100*", "a\"b'c",
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


@pytest.mark.parametrize("indexed", ["nothing", "a part", "all but the newest changes", "all"])
def test_every_filter_in_every_order_finds_what_a_plain_reading_finds(store: AlertStore, indexed: str) -> None:
    chance = random.Random(indexed)
    indexer = AlertIndexer(store, segment=SEGMENT)
    fill(store, chance, range(COUNT // 2))
    decide(store, chance, 200)
    if indexed != "nothing":
        indexer.catch_up()
    decide(store, chance, 100)
    fill(store, chance, range(COUNT // 2, COUNT))
    if indexed.startswith("all"):
        indexer.catch_up()
    decide(store, chance, 100)
    if indexed == "all":
        indexer.catch_up()
    reference = Reference(store)
    several = 0
    for _ in range(250):
        wanted, sort, limit = some_filter(chance), chance.choice(list(Sort)), chance.choice([7, 100, 1000])
        expected = reference.of(wanted, sort)
        several += len(expected) > 1
        assert paged(store, wanted, sort, limit) == expected, (wanted, sort)
    assert several > 50


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("sort", list(Sort))
def test_what_is_typed_finds_the_alerts_that_have_it(store: AlertStore, typed: str, sort: Sort) -> None:
    chance = random.Random(1)
    fill(store, chance, range(600))
    AlertIndexer(store, segment=SEGMENT).catch_up()
    fill(store, chance, range(600, 650))
    wanted = AlertFilter(outcome=None, text=Text.typed(typed))
    assert paged(store, wanted, sort, 50) == Reference(store).of(wanted, sort)
