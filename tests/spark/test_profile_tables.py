"""The JVM looks up the daily profiles that Python writes, by the transaction's own date."""

from __future__ import annotations

import gzip
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from fraudstream.history.profiles import EPOCH, profile_path, write_table
from fraudstream.history.spec import HistoryEntity, HistorySpec, operator_config, with_features
from fraudstream.model.features.history import HistoryColumn, HistoryNote, with_history

pytestmark = pytest.mark.spark

DAY = date(2026, 3, 1)
HOSTILE = ["1", " a ", "#x", 'quote " and, comma', "two\nlines\r\n", "", "ünï", "null", "hmac:0"]


def lookup(spark: SparkSession, root: Path, folder: str, day: date) -> Any:
    profiles = cast(Any, spark)._jvm.fraudstream.history.Profiles  # noqa: SLF001 - py4j's way to a Scala object
    return profiles.of(str(root), folder, (day - EPOCH).days)


def write(root: Path, folder: str, day: date, ids: list[str], **columns: Sequence[float | None]) -> Path:
    path = profile_path(root, folder, day)
    write_table(pa.table({"id": ids, **{name: pa.array(cells, pa.float64()) for name, cells in columns.items()}}), path)
    return path


def test_every_text_is_an_id_and_an_empty_cell_is_missing(spark: SparkSession, tmp_path: Path) -> None:
    numbers = [float(number) for number in range(len(HOSTILE))]
    write(tmp_path, "terminal", DAY, HOSTILE, payments_1=numbers, mean_amount_1=[None, *numbers[1:]])
    table = lookup(spark, tmp_path, "terminal", DAY)
    assert list(table.columns()) == ["payments_1", "mean_amount_1"]
    assert math.isnan(table.get("1")[1])
    assert [table.get(each)[0] for each in HOSTILE] == numbers
    assert list(table.get("unknown")) == [0.0, 0.0]


def test_only_the_table_of_the_day_itself_counts(spark: SparkSession, tmp_path: Path) -> None:
    for number in (0, 2):
        write(tmp_path, "terminal", DAY + timedelta(number), ["t"], payments_1=[number + 1.0])
    tables = [lookup(spark, tmp_path, "terminal", DAY + timedelta(number)) for number in range(3)]
    assert [table and table.get("t")[0] for table in tables] == [1.0, None, 3.0]
    assert lookup(spark, tmp_path, "merchant", DAY) is None
    write(tmp_path, "device", DAY, [], payments_1=[])
    assert list(lookup(spark, tmp_path, "device", DAY).get("t")) == [0.0]


def test_a_broken_table_counts_as_missing(spark: SparkSession, tmp_path: Path) -> None:
    path = write(tmp_path, "terminal", DAY, ["t"] * 1000, payments_1=list(np.arange(1000.0)))
    path.write_bytes(path.read_bytes()[:-20])
    assert lookup(spark, tmp_path, "terminal", DAY) is None


def test_a_cell_that_is_no_finite_number_is_missing(spark: SparkSession, tmp_path: Path) -> None:
    path = write(tmp_path, "terminal", DAY, ["t"], payments_1=[1.0])
    with gzip.open(path, "wt") as file:
        file.write("id,a,b,c,d,e\nt,many,inf,Infinity,1e999,2\n")
    numbers = list(lookup(spark, tmp_path, "terminal", DAY).get("t"))
    assert [math.isnan(number) for number in numbers] == [True, True, True, True, False]


@pytest.mark.nightly
def test_more_tables_than_memory_allows_are_loaded_again(spark: SparkSession, tmp_path: Path) -> None:
    ids = [f"terminal-{number}" for number in range(60_000)]
    path = write(tmp_path, "terminal", DAY, ids, **{f"c{n}": list(np.arange(60_000.0) + n) for n in range(12)})
    days = [DAY + timedelta(number) for number in range(40)]
    for day in days[1:]:
        os.link(path, profile_path(tmp_path, "terminal", day))
    for day in (*days, *days[:3]):
        assert lookup(spark, tmp_path, "terminal", day).get("terminal-59999")[11] == 60_010.0


@pytest.mark.nightly
def test_a_table_that_comes_later_is_loaded_without_a_restart(spark: SparkSession, tmp_path: Path) -> None:
    assert lookup(spark, tmp_path, "terminal", DAY) is None
    assert lookup(spark, tmp_path, "terminal", DAY) is None  # the loader has looked for it
    write(tmp_path, "terminal", DAY, ["t"], payments_1=[4.0])
    deadline = time.monotonic() + 30
    while (table := lookup(spark, tmp_path, "terminal", DAY)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert table.get("t")[0] == 4.0


def test_a_transaction_reads_the_profile_of_the_last_day_before_the_lag(spark: SparkSession, tmp_path: Path) -> None:
    entities = (HistoryEntity("card", "card"), HistoryEntity("terminal", "shop"))
    spec = with_features(HistorySpec(entities, time="at", amount="amount", zone="Europe/Berlin"))
    columns = {each.column: each.name for each in spec.profiles}
    for number in range(2):
        folder = spec.profile_folder(spec.entities[1])
        write(tmp_path, folder, DAY + timedelta(number), ["s"], **{name: [number + 0.5] for name in columns})
    # In Berlin the day begins an hour before that of UTC, and its profile serves from 6 hours later on.
    moments = ["2026-03-02 04:59:59", "2026-03-02 05:00:00", "2026-03-03 05:00:00", "2026-03-04 05:00:00"]
    texts = [json.dumps({"at": moment, "card": "c", "shop": "s", "amount": 1.0}) for moment in moments]
    fields = {"partition": T.IntegerType(), "offset": T.LongType(), "timestamp": T.TimestampType()}
    schema = T.StructType([T.StructField(name, kind) for name, kind in fields.items()])
    schema = schema.add("text", T.StringType()).add("alert_id", T.StringType())
    rows = [(0, offset, None, text, str(offset)) for offset, text in enumerate(texts)]
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    results = with_history(frame, operator_config(spec, {}, str(tmp_path), bytes(32))).collect()
    last = [row[HistoryColumn.VALUES][-1] for row in results]
    assert last == [None, 0.5, 1.5, None]
    assert [bool(row[HistoryColumn.NOTES] & HistoryNote.NO_PROFILE) for row in results] == [True, False, False, True]
    assert [str(row[HistoryColumn.PROFILE_DATE]) for row in results[1:3]] == ["2026-03-01", "2026-03-02"]
    other = replace(spec, delay_days=spec.delay_days + 1)
    results = with_history(frame, operator_config(other, {}, str(tmp_path), bytes(32))).collect()
    assert {row[HistoryColumn.VALUES][-1] for row in results} == {None}
