"""The history operator in batch, against a plain computation in Python."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from fraudstream.history.spec import HistoryEntity, HistorySpec, Measure, operator_config, with_features
from fraudstream.model.features.history import HistoryColumn, with_history

SPEC = with_features(
    HistorySpec(entities=(HistoryEntity("card", "card"), HistoryEntity("shop", "shop")), time="at", amount="amount")
)
SECRET = bytes(range(32))
INPUT = T.StructType(
    [
        T.StructField("partition", T.IntegerType()),
        T.StructField("offset", T.LongType()),
        T.StructField("timestamp", T.TimestampType()),
        T.StructField("text", T.StringType()),
        T.StructField("alert_id", T.StringType()),
        T.StructField("other", T.StringType()),
    ]
)
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
Row = dict[str, Any]


def text_of(second: float, **columns: object) -> str:
    at = datetime.fromtimestamp(START + second, UTC)
    return json.dumps({"at": at.strftime("%Y-%m-%d %H:%M:%S"), "card": "c1", "shop": "s1", "amount": 10.0} | columns)


def frame_of(spark: SparkSession, texts: list[str | None], ids: list[str] | None = None) -> DataFrame:
    rows = [
        (0, offset, None, text, ids[offset] if ids else f"id-{offset}", "passed on")
        for offset, text in enumerate(texts)
    ]
    return spark.createDataFrame(rows, INPUT).coalesce(1)


def history_of(
    spark: SparkSession, texts: list[str | None], spec: HistorySpec = SPEC, ids: list[str] | None = None, **config: Any
) -> list[Row]:
    settings = operator_config(spec, {}, None, SECRET) | config
    rows = with_history(frame_of(spark, texts, ids), settings).collect()
    return [row.asDict() | {"values": dict(zip(spec.names, row[HistoryColumn.VALUES], strict=True))} for row in rows]


def expected(events: list[tuple[float, float, str]], spec: HistorySpec) -> list[dict[str, float]]:
    """The live features of transactions (second, amount, shop) of one card that arrive in this order."""
    results = []
    for index, (second, amount, shop) in enumerate(events):
        values = {}
        for feature in spec.live:
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
    rows = history_of(spark, [text_of(at, amount=amount, shop=shop) for at, amount, shop in events])
    for row, values in zip(rows, expected(events, SPEC), strict=True):
        live = {name: row["values"][name] for name in values}
        assert live == pytest.approx(values, rel=1e-12)
        assert json.loads(row[HistoryColumn.TEXT]).items() >= live.items()
        assert row["other"] == "passed on"
