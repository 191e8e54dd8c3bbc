"""The files of an archive: whatever moment a process is killed at, each record is there once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from archives import DAY, NOON, held, row, rows_of
from fraudstream.archive import writer
from fraudstream.archive.writer import POSITIONS, Archive
from fraudstream.cli.entry import cli
from fraudstream.errors import ArchiveError
from fraudstream.runtime import files
from fraudstream.transactions.archive_files import ArchiveFile, archive_files


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in archive_files(root))


def test_a_file_is_named_by_day_partition_and_offsets(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        assert len(archive.write({1: [row(7, 1), row(9, 1)]}, {1: 10})) == 1
    (path,) = archive_files(tmp_path)
    assert names(tmp_path) == ["date=2024-10-04/t-1-00000000000000000007-00000000000000000009.parquet"]
    assert ArchiveFile.parse(path) == ("t", 1, 7, 9, "2024-10-04")
    assert pq.read_table(path).to_pylist()[0]["text"] == '{"a":1}'


def test_records_of_several_days_are_in_the_folders_of_their_days(tmp_path: Path) -> None:
    rows = [row(0), row(1, at=NOON + DAY), row(2), row(3, at=0), row(4, at=NOON + DAY)]
    with Archive.open(tmp_path, "t", "id") as archive:
        assert len(archive.write({0: rows}, {0: 5})) == 3
    assert {name.partition("/")[0] for name in names(tmp_path)} == {
        "date=1970-01-01",
        "date=2024-10-04",
        "date=2024-10-05",
    }
    assert held(tmp_path) == [(0, offset) for offset in range(5)]


def test_other_tools_read_the_folder_as_it_is(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        rows = [row(0), row(1, at=NOON + DAY)._replace(entity_ids=[("card_id", "c1")], event_time=None)]
        archive.write({0: rows}, {0: 2})
    days = ["2024-10-04", "2024-10-05"]
    frame = pandas.read_parquet(tmp_path).sort_values("offset")
    assert list(frame["date"].astype(str)) == days
    assert str(frame["timestamp"].dt.tz) == "UTC"
    assert list(frame["entity_ids"]) == [[], [("card_id", "c1")]]
    files = polars.scan_parquet(tmp_path / "*/*.parquet", hive_partitioning=True)
    filtered = files.filter(polars.col("offset") == 1).collect()
    assert filtered["event_id"].to_list() == ["t/0/1"]
    assert [str(each) for each in filtered["date"]] == days[1:]


@pytest.fixture
def moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of the archive at each step of a write: what a kill at that moment leaves behind."""
    copies: list[Path] = []

    def at_each(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            result = original(*args, **options)
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(tmp_path / "archive", copies[-1])
            return result

        monkeypatch.setattr(owner, name, step)

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
        at_each(owner, name)
    return copies


def test_a_kill_at_any_step_of_a_write_loses_and_doubles_nothing(tmp_path: Path, moments: list[Path]) -> None:
    first = {0: [row(0), row(1, at=NOON + DAY), row(2)], 1: [row(0, 1)]}
    second = {0: [row(3), row(4, at=NOON + DAY)], 1: [row(5, 1)]}
    with Archive.open(tmp_path / "archive", "t", "id") as archive:
        archive.write(first, {0: 3, 1: 1})
        archive.write(second, {0: 5, 1: 6})
    copies = moments[:]
    assert len(copies) > 15
    everything = [row for each in (first, second) for rows in each.values() for row in rows]
    for copy in copies:
        with Archive.open(copy, "t", "id") as archive:
            archive.remove_unfinished({0: 0, 1: 0})
            done = [pair for pair in held(copy) if pair[1] < archive.positions.get(pair[0], 0)]
            assert held(copy) == done
            # As Kafka sends them again, but in other portions.
            rest = {p: [r for r in everything if r[1] == p and r[2] >= archive.positions.get(p, 0)] for p in (0, 1)}
            archive.write({p: rows for p, rows in rest.items() if rows}, {0: 5, 1: 6})
        assert held(copy) == sorted((each.partition, each.offset) for each in everything)
        assert not list(copy.rglob("*.partial"))


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_and_the_next_write_has_all(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner: Any = os if failing == "fsync" else Path
    original, calls = getattr(owner, failing), [0]

    def full(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args)

    with Archive.open(tmp_path, "t", "id") as archive:
        with monkeypatch.context() as patch:
            patch.setattr(owner, failing, full)
            with pytest.raises(OSError, match="No space left"):
                archive.write({0: [row(0), row(1, at=NOON + DAY)]}, {0: 2})
        assert archive.positions == {}
        assert names(tmp_path) == []
        assert not list(tmp_path.rglob("*.partial"))
        archive.write({0: [row(0), row(1, at=NOON + DAY), row(2)]}, {0: 3})
    assert held(tmp_path) == [(0, 0), (0, 1), (0, 2)]


def test_what_kafka_deleted_is_not_removed_with_an_unfinished_write(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0)]}, {0: 1})
        state = (tmp_path / POSITIONS).read_bytes()
        archive.write({0: [row(1), row(2)]}, {0: 3})
    (tmp_path / POSITIONS).write_bytes(state)
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.remove_unfinished({0: 9})
        assert archive.positions == {0: 3}
    assert held(tmp_path) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("hidden", [0, 1], ids=["all in place", "one hidden"])
def test_an_interleaved_write_is_kept_as_a_whole_or_not_at_all(hidden: int, tmp_path: Path) -> None:
    rows = [row(offset, at=NOON + (DAY if offset > 2 and offset % 2 else 0)) for offset in range(1, 9)]
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0)], 1: [row(0, 1)]}, {0: 1, 1: 1})
        state = (tmp_path / POSITIONS).read_bytes()
        archive.write({0: rows, 1: [row(1, 1)]}, {0: 9, 1: 2})
    (tmp_path / POSITIONS).write_bytes(state)
    for path in sorted(tmp_path.glob("date=2024-10-05/t-0-*"))[:hidden]:
        path.rename(path.with_name(f".{path.name}.partial"))
    with Archive.open(tmp_path, "t", "id") as archive, capture_logs() as logs:
        archive.remove_unfinished({0: 2, 1: 0})
        assert archive.positions == {0: 9, 1: 1}
    assert held(tmp_path) == [*((0, offset) for offset in range(9)), (1, 0)]
    assert [each["records"] for each in logs] == ["t[0] 1-8"]
    with Archive.open(tmp_path, "t", "id") as archive:
        assert archive.positions == {0: 9, 1: 1}


def test_hidden_files_alone_are_removed_as_they_may_be_torn(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(1)]}, {0: 0})
        (path,) = archive_files(tmp_path)
        path.rename(path.with_name(f".{path.name}.partial"))
        archive.remove_unfinished({0: 5})
    assert not list(tmp_path.rglob("*.parquet*"))


def test_files_that_could_not_be_removed_are_removed_before_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Archive.open(tmp_path, "t", "id") as archive:
        with monkeypatch.context() as patch:
            patch.setattr(writer, "replace_json", refuse)
            original = Path.unlink
            patch.setattr(
                Path, "unlink", lambda path, **o: refuse() if path.suffix == ".parquet" else original(path, **o)
            )
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output error"):
                    archive.write({0: [row(0), row(1)]}, {0: 2})
        assert held(tmp_path) == [(0, 0), (0, 1)]
        archive.write({0: [row(0), row(1), row(2)]}, {0: 3})
    assert held(tmp_path) == [(0, 0), (0, 1), (0, 2)]


def test_a_folder_that_cannot_be_synced_after_the_positions_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync_folder", fail)
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0)]}, {0: 1})
        assert archive.positions == {0: 1}
    assert held(tmp_path) == [(0, 0)]


def test_the_positions_are_on_disk_before_they_are_replaced(tmp_path: Path, moments: list[Path]) -> None:
    with Archive.open(tmp_path / "archive", "t", "id") as archive:
        before = len(moments)
        archive.write({}, {0: 7})
    copies = moments[before:]
    # The folder is synced and made sure of, the content synced under another name, renamed, and the folder synced.
    assert [b'"0": 7' in (copy / POSITIONS).read_bytes() for copy in copies] == [False, False, False, True, True]
    assert any(b'"0": 7' in path.read_bytes() for path in copies[2].glob(f".{POSITIONS}.*"))


def test_without_its_positions_an_archive_continues_after_its_files(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(4), row(7)], 1: [row(2, 1)]}, {0: 9, 1: 3})
    (tmp_path / POSITIONS).unlink()
    with Archive.open(tmp_path, "t", "id") as archive:
        assert archive.positions == {0: 8, 1: 3}


@pytest.mark.parametrize(("topic", "topic_id"), [("t", "another"), ("other", "id")])
def test_an_archive_of_another_topic_is_refused(topic: str, topic_id: str, tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0)]}, {0: 1})
    with pytest.raises(ArchiveError, match="of another topic"), Archive.open(tmp_path, topic, topic_id):
        pass


def test_damaged_positions_are_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / POSITIONS).write_bytes(b"{")
    with pytest.raises(ArchiveError, match="positions of the archive are damaged"), Archive.open(tmp_path, "t", "id"):
        pass


def test_two_processes_never_write_into_one_archive(tmp_path: Path) -> None:
    with (
        Archive.open(tmp_path, "t", "id"),
        pytest.raises(ArchiveError, match="another process is archiving into this folder"),
        Archive.open(tmp_path, "t", "id"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="cannot be opened"), Archive.open(tmp_path / "file" / "in", "t", "id"):
        pass


def test_retention_removes_whole_days_and_no_position(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0), row(1, at=NOON + DAY), row(2, at=NOON + 2 * DAY)]}, {0: 3})
        assert archive.remove_before(date(2024, 10, 6), 1) == ["date=2024-10-04"]
        assert archive.positions == {0: 3}
    assert [each["offset"] for each in rows_of(tmp_path)] == [1, 2]


def test_retention_leaves_the_files_of_others(tmp_path: Path) -> None:
    with Archive.open(tmp_path, "other", "id") as archive:
        archive.write({0: [row(0, topic="other")]}, {0: 1})
    (tmp_path / POSITIONS).unlink()
    (tmp_path / "date=2024-10-03").mkdir()
    (tmp_path / "date=2024-10-03" / "own.csv").touch()
    with Archive.open(tmp_path, "t", "id") as archive:
        archive.write({0: [row(0)]}, {0: 1})
        assert archive.remove_before(date(2024, 12, 1), 1) == []
    assert [each["topic"] for each in rows_of(tmp_path)] == ["other"]
    assert (tmp_path / "date=2024-10-03" / "own.csv").exists()


def test_a_retention_that_no_calendar_has_is_refused() -> None:
    result = CliRunner().invoke(cli, ["archive", "--days", "1000000"])
    assert (result.exit_code, "1<=x<=36500" in result.output) == (2, True)
