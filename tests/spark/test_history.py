"""The history operator in batch, against a plain computation in Python and against the reading of features."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from entity_ids import CARD as CARD_NUMBER
from entity_ids import CARD_ID, SECRET, VECTOR
from fraudstream.history.spec import HistoryEntity, HistorySpec, Measure, operator_config, with_features
from fraudstream.model.features.history import HistoryColumn, HistoryNote, with_history
from fraudstream.model.features.reading import number_from_text, parse_strings, seconds_since_1970
from fraudstream.transactions.reading_options import DateOrder, Decimal

pytestmark = pytest.mark.spark

CARD, SHOP = HistoryEntity("card", "card"), HistoryEntity("shop", "shop")
SPEC = with_features(HistorySpec(entities=(CARD, SHOP), time="at", amount="amount"))
INPUT = "partition INT, offset LONG, timestamp TIMESTAMP, text STRING, alert_id STRING, other STRING"
START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH, DAY = "payments by this card in 30 days", "payments by this card in 24 h"
MEAN, SINCE = "mean amount of this card in 24 h", "hours since this card's last payment"


class Result(NamedTuple):
    """A row that the operator returned; `values` are the features by name."""

    text: str
    values: dict[str, float | None]
    entities: list[str | None]
    notes: int
    other: str


def text_of(second: float = 0, **columns: object) -> str:
    at = datetime.fromtimestamp(START.timestamp() + second, UTC)
    row = {"at": at.strftime("%Y-%m-%d %H:%M:%S"), "card": "c1", "shop": "s1", "amount": 10.0} | columns
    return json.dumps({name: value for name, value in row.items() if value is not ...})


def history_of(
    spark: SparkSession,
    texts: Sequence[str | None],
    spec: HistorySpec = SPEC,
    *,
    ids: list[str] | None = None,
    at: datetime | None = None,
    aliases: dict[str, str] | None = None,
) -> list[Result]:
    """Add the history to texts in this order; `at` is Kafka's timestamp."""
    names = ids or [f"id-{number}" for number in range(len(texts))]
    rows = [(0, number, at, text, names[number], "passed on") for number, text in enumerate(texts)]
    frame = spark.createDataFrame(rows, INPUT).coalesce(1)
    added = with_history(frame, operator_config(spec, aliases or {}, None, SECRET))
    return [
        Result(
            row[HistoryColumn.TEXT],
            dict(zip(spec.names, row[HistoryColumn.VALUES], strict=True)),
            row[HistoryColumn.ENTITY_IDS],
            row[HistoryColumn.NOTES],
            row["other"],
        )
        for row in added.collect()
    ]


def expected(events: list[tuple[float, float, str]]) -> list[dict[str, float]]:
    """The live features of transactions (second, amount, shop) of one card that arrive in this order."""
    results = []
    for index, (second, amount, shop) in enumerate(events):
        values = {}
        for feature in SPEC.live:
            window = [each for each in events[:index] if second - feature.hours * 3600 <= each[0] <= second]
            amounts = [float(np.float32(each[1])) for each in window]
            mean = math.fsum(amounts) / len(amounts) if amounts else float(np.float32(amount))
            values[feature.name] = {
                Measure.COUNT: float(len(window)),
                Measure.SUM: math.fsum(amounts),
                Measure.MEAN: mean,
                Measure.RATIO: float(np.float32(amount)) / mean,
                Measure.SINCE: (second - max(each[0] for each in window)) / 3600 if window else float(feature.hours),
                Measure.PARTNERS: float(len({each[2] for each in window})),
                Measure.FIRST: float(shop not in {each[2] for each in window}),
            }[feature.measure]
        results.append(values)
    return results


def test_features_equal_those_of_a_plain_computation(spark: SparkSession) -> None:
    chance = random.Random(1)
    events: list[tuple[float, float, str]] = []
    second = 0.0
    for _ in range(400):
        second += chance.choice([0, 5, 600, 40_000, 300_000])
        late = second - chance.choice([0, 0, 0, 60, 5000])
        events.append((late, round(chance.lognormvariate(3, 1), 2), f"s{chance.randrange(12)}"))
    results = history_of(spark, [text_of(at, amount=amount, shop=shop) for at, amount, shop in events])
    for result, values in zip(results, expected(events), strict=True):
        live = {name: result.values[name] for name in values}
        assert live == pytest.approx(values, abs=2e-6)
        assert json.loads(result.text).items() >= result.values.items()
        assert result.other == "passed on"


@pytest.mark.parametrize("decimal", Decimal)
def test_amounts_are_read_as_a_models_numbers(spark: SparkSession, decimal: Decimal) -> None:
    texts = [
        "1.5",
        " 2 ",
        "1e3",
        "$1,009.53",
        "1.009,53 €",
        "(12.50)",
        "\u22127",
        "1,5",
        "12%",
        "abc",
        "",
        "1" * 30,
        "NaN",
    ]
    spec = HistorySpec(entities=(CARD,), time="at", amount="amount", decimal=decimal, live=SPEC.live[:6])
    rows = [text_of(card=str(number), amount=text) for number, text in enumerate(texts)]
    frame = spark.createDataFrame([(text,) for text in texts], "text STRING")
    numbers = [row[0] for row in frame.select(number_from_text(F.col("text"), decimal)).collect()]
    amounts = [None if number is None else pytest.approx(float(np.float32(number)), abs=1e-6) for number in numbers]
    assert [result.values[MEAN] for result in history_of(spark, rows, spec)] == amounts
    assert sum(number is not None for number in numbers) > 5


@pytest.mark.parametrize(
    ("clock", "order"),
    [
        (None, None),
        (None, DateOrder.DMY),
        pytest.param(None, DateOrder.MDY, marks=pytest.mark.nightly),
        pytest.param(1, None, marks=pytest.mark.nightly),
        (1000, None),
    ],
)
def test_times_are_read_as_a_models_dates(spark: SparkSession, clock: int | None, order: DateOrder | None) -> None:
    texts = [
        *("2026-01-05 10:20:30", "2026-01-05T10:20:30.125Z", "2026-01-05T10:20:30+02:00", " 2026-01-05 ", "2026-01-32"),
        *(
            "2026-01-05 24:00:00",
            "2026-01-05 10:20:3Z",
            "0000-01-05 10:20:30",
            "2026-02-30 10:20:30",
            "10:20",
            "1/5/2026",
        ),
        *("05.01.2026 10:20", "1/5/26 3:04:05 PM", "1767700000", "1767700000123", "1.7677e9", "1e300", "soon", ""),
    ]
    spec = HistorySpec(entities=(CARD,), time="at", amount="amount", clock=clock, date_order=order, live=SPEC.live)
    start = int(START.timestamp())
    first = start * (clock or 1) if clock else START.strftime("%Y-%m-%d %H:%M:%S")
    rows = [text_of(card=str(i), at=at) for i, text in enumerate(texts) for at in (first, text)]
    frame = spark.createDataFrame([(text,) for text in texts], "text STRING")
    times = [row[0] for row in frame.select(seconds_since_1970(F.col("text"), clock, order)).collect()]
    hours = [
        None
        if time is None
        else pytest.approx((time - start) / 3600 if 0 <= time - start <= 720 * 3600 else 720, abs=1e-6)
        for time in times
    ]
    results = history_of(spark, rows, spec)[1::2]
    assert [result.values[SINCE] for result in results] == hours
    assert [bool(result.notes & HistoryNote.NO_TIME) for result in results] == [time is None for time in times]
    assert sum(time is not None for time in times) > 1


def test_what_cannot_be_used_is_noted_and_does_not_enter(spark: SparkSession) -> None:
    texts = [
        text_of(0),
        text_of(10, card=...),
        text_of(10, card=" "),
        text_of(10, card="x" * 1025),
        text_of(10, at="soon"),
        text_of(10, amount="much"),
        text_of(10, amount=1e39),
        text_of(400),
        text_of(20),
        text_of(30, shop=None),
    ]
    at = datetime.fromtimestamp(START.timestamp() + 90, UTC)
    results = history_of(spark, texts, at=at)
    no_key, no_time, no_amount = HistoryNote.NO_KEY, HistoryNote.NO_TIME, HistoryNote.NO_AMOUNT
    notes = [0, no_key, no_key, no_key, no_time, no_amount, no_amount, HistoryNote.AHEAD, 0, 0]
    # The profiles have no directory here; without a time there is no day to look for.
    assert [result.notes & ~HistoryNote.NO_PROFILE for result in results] == notes
    assert not results[7].notes & HistoryNote.NO_PROFILE
    assert [result.values[DAY] for result in results] == [0, None, None, None, None, 1, 1, 1, 1, 2]
    assert [result.values[MEAN] for result in results] == [10, None, None, None, None, None, None, 10, 10, 10]
    assert results[9].values["first payment of this card at this shop"] is None
    assert results[9].entities == ["c1", None]
    assert results[0].values["payments at this shop in 7 days"] is None


def test_an_event_id_that_comes_again_counts_once_and_not_itself(spark: SparkSession) -> None:
    texts = [text_of(0), text_of(5), text_of(0), text_of(5), text_of(9)]
    results = history_of(spark, texts, ids=["a", "b", "a", "b", "c"])
    assert [result.values[DAY] for result in results] == [0, 1, 0, 1, 2]
    repeated = [bool(result.notes & HistoryNote.REPEATED) for result in results]
    assert repeated == [False, False, True, True, False]


def test_a_hot_keys_counts_are_noted_as_bounded(spark: SparkSession) -> None:
    results = history_of(spark, [text_of(number) for number in range(600)] + [text_of(40 * 86_400), text_of(-9e9)])
    assert [result.values[MONTH] for result in results[510:514]] == [510, 511, 512, 512]
    is_hot = [bool(result.notes & HistoryNote.HOT) for result in results]
    assert is_hot == [False] * 512 + [True] * 88 + [False] * 2
    assert [result.values[MONTH] for result in results[-2:]] == [0, 0]


def test_transactions_older_than_the_state_do_not_enter(spark: SparkSession) -> None:
    day = 86_400
    results = history_of(
        spark, [text_of(0), text_of(40 * day), text_of(5 * day), text_of(6 * day), text_of(10.5 * day)]
    )
    assert [result.values[MONTH] for result in results] == [0, 0, 0, 0, 0]
    results = history_of(
        spark, [text_of(0), text_of(50 * day), text_of(21 * day), text_of(22 * day), text_of(51 * day)]
    )
    assert [result.values[MONTH] for result in results] == [0, 0, 0, 1, 3]


def test_another_currency_counts_but_not_its_amount(spark: SparkSession) -> None:
    spec = HistorySpec(entities=(CARD,), time="at", amount="amount", currency="cur", home="EUR", live=SPEC.live[:9])
    texts = [text_of(0, cur="EUR"), text_of(1, cur="USD", amount=900), text_of(2, amount=30), text_of(3, cur="USD")]
    results = history_of(spark, texts, spec)
    assert [result.notes for result in results] == [0, HistoryNote.OTHER_CURRENCY, 0, HistoryNote.OTHER_CURRENCY]
    assert [result.values[MONTH] for result in results] == [0, 1, 2, 3]
    assert [result.values[MEAN] for result in results] == [10, 10, 10, 20]
    ratios = [result.values["amount compared with this card's 30-day mean"] for result in results]
    assert ratios == [1, None, 3, None]


def test_names_with_dots_and_aliases_are_followed(spark: SparkSession) -> None:
    spec = HistorySpec(entities=(HistoryEntity("card", "who.card"),), time="at", amount="amount", live=SPEC.live)
    texts = [
        '{"at": "2026-01-01 00:00:00", "amount": 1, "who": {"x": [1, {"card": 9}], "card": "c1"}}',
        '{"at": "2026-01-01 00:00:01", "amount": 1, "who.card": "c1", "who": {"card": "other"}}',
        '{"at": "2026-01-01 00:00:02", "amount": 1, "number": "c1", "who": 7}',
        '{"at": "2026-01-01 00:00:03", "amount": 1, "number": null, "who": {"card": "c2", "card": "c1"}}',
        '{"sum": "x", "at": "2026-01-01 00:00:04", "amount": 3, "number": {"card": "c1"}, "who": {"card": "c1"}}',
    ]
    results = history_of(spark, texts, spec, aliases={"number": "who.card", "sum": "amount"})
    assert [result.entities for result in results] == [["c1"]] * 5
    assert [result.values[DAY] for result in results] == [0, 1, 2, 3, 4]
    assert results[4].notes == 0


def test_a_card_number_is_never_an_entity_id(spark: SparkSession) -> None:
    written = [*VECTOR, (float(CARD_NUMBER), CARD_ID), (int(CARD_NUMBER), CARD_ID)]
    results = history_of(spark, [text_of(second, card=card) for second, (card, _) in enumerate(written)])
    assert [result.entities[0] or "" for result in results] == [identity for _, identity in written]
    assert results[-1].values[DAY] == sum(identity == CARD_ID for _, identity in written) - 1


def test_what_is_no_object_is_left_as_it_is(spark: SparkSession) -> None:
    texts = [None, "", "[]", "{} {}", "[{}]", '{"at":', "null", '{"card": "c1"', '{"a": .5}', "{'a': 1}", "{}x"]
    # A byte order mark, and the two ways to write UTF-16, all of which is valid UTF-8.
    texts += ["\ufeff{}", "\0{\0}", "{\0}\0"]
    results = history_of(spark, texts)
    assert [result.text for result in results] == texts
    frame = spark.createDataFrame([(text,) for text in texts], "text STRING")
    assert {row[0] for row in frame.select(parse_strings(F.col("text"))).collect()} == {None}
    assert {value for result in results for value in result.values.values()} == {None}
    assert {result.notes for result in results} == {0}


def test_features_are_added_as_the_last_members_of_any_object(spark: SparkSession) -> None:
    texts = [
        "{}",
        " { } \n",
        '{"a": {"b": "}"}} ',
        '{"é": NaN, "b": -inf, "card": "c1"}',
        json.dumps({SPEC.names[0]: 5}),
    ]
    results = history_of(spark, texts)
    for text, result in zip(texts, results, strict=True):
        assert result.text.startswith(text.rstrip().removesuffix("}"))
    assert list(json.loads(results[0].text)) == list(SPEC.names)
    assert set(json.loads(results[4].text).values()) == {None}


def test_the_secret_is_in_no_plan(spark: SparkSession) -> None:
    frame = spark.createDataFrame([], INPUT)
    added = with_history(frame, operator_config(SPEC, {}, None, SECRET))
    plans = added._jdf.queryExecution()  # noqa: SLF001
    assert SECRET.hex() not in plans.toString() + plans.optimizedPlan().toJSON() + plans.optimizedPlan().treeString()
