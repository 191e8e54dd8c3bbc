"""The state of the history between the runs that write it, in batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fraudstream.history.spec import HistoryEntity, HistorySpec, operator_config, with_features
from fraudstream.model.features.history import HistoryColumn, HistoryNote, with_live_history

pytestmark = pytest.mark.spark

SPEC = with_features(HistorySpec(entities=(HistoryEntity("card", "card"),), time="at", amount="amount"))
CONFIG = operator_config(SPEC, {}, None, bytes(32))
INPUT = "partition INT, offset LONG, timestamp TIMESTAMP, text STRING, alert_id STRING"
MONTH = SPEC.names.index("payments by this card in 30 days")
DAY = 86_400


def counts(
    spark: SparkSession,
    root: Path,
    offsets: range,
    *,
    partition: int = 0,
    card: str = "c1",
    second: float = 0,
    base: int = 1,
    replays: bool = False,
    note: int = 0,
    arrival: datetime | None = None,
    is_past: bool = False,
) -> list[float]:
    """Process one record for each offset of a partition; return the payments before, and check that all have `note`.

    A build from past payments has no offsets, but their event ids.
    """
    at = datetime.fromtimestamp(1.76e9 + second, UTC).isoformat()
    text = json.dumps({"at": at, "card": card, "amount": 1})
    ids = {offset: f"{base}-{partition}-{offset}" for offset in offsets}
    rows = [(partition, -1 if is_past else offset, arrival, text, event_id) for offset, event_id in ids.items()]
    frame = spark.createDataFrame(rows, INPUT).coalesce(1)
    results = with_live_history(frame, CONFIG, root, base, replays=replays).collect()
    assert {row[HistoryColumn.NOTES] for row in results} == {note}
    return [row[HistoryColumn.VALUES][MONTH] for row in results]


def test_a_repeated_batch_starts_from_the_state_that_it_started_from(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(3)) == [0, 1, 2]
    assert counts(spark, tmp_path, range(3, 7)) == [3, 4, 5, 6]
    assert counts(spark, tmp_path, range(3, 5)) == [3, 4]
    assert counts(spark, tmp_path, range(5, 6)) == [5]
    assert counts(spark, tmp_path, range(1, 2)) == [0]
    assert counts(spark, tmp_path, range(8, 9)) == [1]


def test_a_built_state_that_is_ahead_of_the_stream_is_continued(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(6), is_past=True) == [0, 1, 2, 3, 4, 5]
    repeated = HistoryNote.REPEATED
    for _ in range(2):  # as a batch that is repeated after a crash
        assert counts(spark, tmp_path, range(3, 6), note=repeated) == [5, 5, 5]
    assert counts(spark, tmp_path, range(6, 8)) == [6, 7]


@pytest.mark.parametrize("year", [None, 1969, 2099])
def test_a_date_in_the_far_future_does_not_enter(spark: SparkSession, tmp_path: Path, year: int | None) -> None:
    arrival = None if year is None else datetime(year, 12, 31, tzinfo=UTC)
    assert counts(spark, tmp_path, range(2), second=70 * 365 * DAY, note=HistoryNote.AHEAD, arrival=arrival) == [0, 0]
    assert counts(spark, tmp_path, range(2, 4), arrival=arrival) == [0, 1]


def test_a_replay_computes_what_was_computed_and_writes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(3)) == [0, 1, 2]
    assert counts(spark, tmp_path, range(3, 5)) == [3, 4]
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert counts(spark, tmp_path, range(3, 4), replays=True) == [3]
    assert counts(spark, tmp_path, range(1), replays=True) == [0]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    assert counts(spark, tmp_path, range(5, 6)) == [5]


@pytest.mark.nightly
def test_another_base_takes_over_the_newest_state(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(100, 103)) == [0, 1, 2]
    assert counts(spark, tmp_path, range(2), base=2) == [3, 4]
    assert counts(spark, tmp_path, range(2), base=2) == [3, 4]
    assert counts(spark, tmp_path, range(2, 3), base=2) == [5]


@pytest.mark.nightly
def test_offsets_before_all_versions_continue_the_newest(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(7, 9)) == [0, 1]
    (version,) = (tmp_path / "1" / "0").glob("1.*")
    version.rename(version.with_name("5" + version.suffix))
    assert counts(spark, tmp_path, range(3, 4)) == [2]


def test_a_task_may_have_several_partitions_in_batch(spark: SparkSession, tmp_path: Path) -> None:
    text = json.dumps({"at": "2026-01-01", "card": "c1", "amount": 1})
    rows = [(partition, offset, None, text, None) for partition in (3, 1) for offset in range(2)]
    frame = spark.createDataFrame(rows, INPUT).coalesce(1)
    results = with_live_history(frame, CONFIG, tmp_path, 1).collect()
    assert [row[HistoryColumn.VALUES][MONTH] for row in results] == [0, 1, 0, 1]
    assert {path.name for path in (tmp_path / "1").iterdir()} == {"1", "3"}


def test_a_key_that_moves_to_another_partition_is_noted_once(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(2)) == [0, 1]
    assert counts(spark, tmp_path, range(1), partition=1, note=HistoryNote.OTHER_PARTITION) == [0]
    assert counts(spark, tmp_path, range(1, 2), partition=1) == [1]


@pytest.mark.nightly
def test_entities_that_no_window_reaches_are_removed(spark: SparkSession, tmp_path: Path) -> None:
    assert counts(spark, tmp_path, range(1), card="old") == [0]
    assert counts(spark, tmp_path, range(1, 2), card="recent", second=20 * DAY) == [0]
    (version,) = (tmp_path / "1" / "0").glob("2.*")
    # Every thousandth version is swept.
    version.rename(version.with_name("999" + version.suffix))
    assert counts(spark, tmp_path, range(2, 3), card="new", second=61 * DAY) == [0]
    assert counts(spark, tmp_path, range(3, 4), card="old", second=1) == [0]
    assert counts(spark, tmp_path, range(4, 5), card="recent", second=20 * DAY) == [1]
