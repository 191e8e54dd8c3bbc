"""Reading a checkpoint: what is whole, what is damaged and how it is named; made anew from the ledger."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fraudstream.detector.checkpoint import (
    Marker,
    accounted_until,
    inspect,
    lock_checkpoint,
    rebuild,
    sweep,
    write_marker,
)
from fraudstream.errors import CheckpointDamaged
from fraudstream.messages.ledger import EntryKind, LedgerEntry

TOPIC = "payments"
ID = "topic-id"


def write(file: Path, *lines: str) -> None:
    """A file as Hadoop's file system leaves it, with its checksum beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = "\n".join(lines).encode()
    file.write_bytes(content)
    pieces = [content[i : i + 512] for i in range(0, len(content), 512)]
    sums = b"".join(struct.pack(">I", zlib.crc32(piece)) for piece in pieces)
    file.with_name(f".{file.name}.crc").write_bytes(b"crc\0" + struct.pack(">i", 512) + sums)


def offsets(*ends: int, topic: str = TOPIC) -> str:
    return json.dumps({topic: {str(p): end for p, end in enumerate(ends)}})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """As Spark writes it: two committed batches, a third begun."""
    path = tmp_path / "checkpoint"
    write(path / "metadata", '{"id":"query-1"}')
    write(path / "sources" / "0" / "0", "\0v1", offsets(0, 0))
    for batch, ends in enumerate([(10, 20), (30, 40), (50, 60)]):
        write(path / "offsets" / str(batch), "v1", "{}", offsets(*ends))
    for batch in (0, 1):
        write(path / "commits" / str(batch), "v1", '{"nextBatchWatermarkMs":0}')
    write_marker(path, Marker(TOPIC, ID))
    return path


def test_a_whole_checkpoint_says_where_each_committed_batch_ended(checkpoint: Path) -> None:
    state = inspect(checkpoint, TOPIC, ID)
    assert state.query_id == "query-1"
    assert state.ends == {0: {0: 10, 1: 20}, 1: {0: 30, 1: 40}}
    assert state.committed == {0: 30, 1: 40}
    assert not state.is_new


def test_a_checkpoint_of_an_earlier_release_without_our_note_is_gone_on_from(checkpoint: Path) -> None:
    (checkpoint / "fraudstream.json").unlink()
    assert inspect(checkpoint, TOPIC, ID).marker is None


def test_a_folder_that_holds_nothing_but_our_lock_is_new(tmp_path: Path) -> None:
    with lock_checkpoint(tmp_path / "checkpoint"):
        assert inspect(tmp_path / "checkpoint", TOPIC, ID).is_new


@pytest.mark.parametrize("name", ["metadata", "offsets/1", "commits/1", "sources/0/0", "fraudstream.json"])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "emptied", "a digit"])
def test_a_damaged_file_is_named_with_the_command_that_mends_it(checkpoint: Path, name: str, damage: str) -> None:
    file = checkpoint / name
    content = file.read_bytes()
    if damage == "a digit" and name == "fraudstream.json":
        content = content.replace(b'"format": 1', b'"format": 7')
    file.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "zeroed": b"\0" * len(content),
            "emptied": b"",
            "a digit": content[:-3] + b"7" + content[-2:] if name != "fraudstream.json" else content,
        }[damage]
    )
    with pytest.raises(CheckpointDamaged) as error:
        inspect(checkpoint, TOPIC, ID)
    assert name in error.value.what
    assert str(file) == error.value.where
    assert error.value.remedy == f"fraudstream checkpoint rebuild --checkpoint {checkpoint}"


@pytest.mark.parametrize(
    ("name", "named"),
    [("offsets/1", "offsets/1"), ("metadata", "metadata"), ("commits/1", "commits/1"), ("offsets", "offsets/1")],
)
def test_a_file_that_is_gone_is_named(checkpoint: Path, name: str, named: str) -> None:
    target = checkpoint / name
    for file in [*target.glob("*"), target] if target.is_dir() else [target]:
        if file.is_file():
            file.unlink()
    with pytest.raises(CheckpointDamaged, match=named):
        inspect(checkpoint, TOPIC, ID)


def test_a_checkpoint_of_another_topic_or_of_the_same_name_made_anew_is_named(checkpoint: Path) -> None:
    with pytest.raises(CheckpointDamaged, match="belongs to the topic payments"):
        inspect(checkpoint, "others", ID)
    with pytest.raises(CheckpointDamaged, match="deleted and recreated"):
        inspect(checkpoint, TOPIC, "another-id")
    (checkpoint / "fraudstream.json").unlink()
    with pytest.raises(CheckpointDamaged, match="belongs to the topic payments"):
        inspect(checkpoint, "others", ID)


def test_a_log_of_another_version_is_named(checkpoint: Path) -> None:
    write(checkpoint / "offsets" / "1", "v2", "{}", offsets(30, 40))
    with pytest.raises(CheckpointDamaged, match=r"offsets/1: its version is 'v2', this release reads 'v1'"):
        inspect(checkpoint, TOPIC, ID)


def entry(partition: int, start: int, end: int, topic_id: str = ID) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{topic_id}/{partition}/{start}", kind=EntryKind.BATCH, topic=TOPIC, topic_id=topic_id,
        partition=partition, from_offset=start, until_offset=end,
    )  # fmt: skip


def test_a_rebuilt_checkpoint_goes_on_where_the_ledger_has_its_first_gap(checkpoint: Path) -> None:
    entries = [entry(0, 0, 10), entry(0, 5, 30), entry(0, 40, 50), entry(1, 20, 60), entry(1, 0, 99, "another-id")]
    begins = {0: 0, 1: 25, 2: 0}
    until = accounted_until(entries, ID, begins)
    assert until == {0: 30, 1: 60, 2: 0}
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    aside = rebuild(checkpoint, Marker(TOPIC, ID, start=until), now)
    assert aside == checkpoint.with_name("checkpoint.damaged-20260102T030405")
    assert (checkpoint.with_name("checkpoint.damaged-20260102T030405") / "offsets" / "1").exists()
    state = inspect(checkpoint, TOPIC, ID)
    assert state.is_new
    assert state.committed == {0: 30, 1: 60, 2: 0}


def test_what_a_full_disk_left_of_a_write_is_swept_and_nothing_else(checkpoint: Path) -> None:
    before = {file: file.read_bytes() for file in checkpoint.rglob("*") if file.is_file()}
    left = [
        checkpoint / "offsets" / ".3.5e0e41b0.tmp",
        checkpoint / "offsets" / "..3.5e0e41b0.tmp.crc",
        checkpoint / "offsets" / ".3.crc",
        checkpoint / "sources" / "0" / ".1.aa.tmp",
    ]
    for file in left:
        file.write_bytes(b"v1")
    assert sorted(sweep(checkpoint)) == sorted(left)
    assert {file: file.read_bytes() for file in checkpoint.rglob("*") if file.is_file()} == before
    assert sweep(checkpoint.with_name("none")) == []


@pytest.mark.parametrize("name", ["offsets/5", "commits/5", "offsets/1"])
def test_a_hole_between_batches_is_named_with_the_command_that_mends_it(checkpoint: Path, name: str) -> None:
    for batch in range(2, 9):
        write(checkpoint / "offsets" / str(batch), "v1", "{}", offsets(50 + batch, 60))
        write(checkpoint / "commits" / str(batch), "v1", "{}")
    assert max(inspect(checkpoint, TOPIC, ID).ends) == 8
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointDamaged, match=f"{name}: it is missing") as error:
        inspect(checkpoint, TOPIC, ID)
    assert error.value.where == str(checkpoint / name)
    assert error.value.remedy == f"fraudstream checkpoint rebuild --checkpoint {checkpoint}"


def test_a_hole_among_batches_that_spark_was_removing_is_none(checkpoint: Path) -> None:
    for batch in range(2, 150):
        write(checkpoint / "offsets" / str(batch), "v1", "{}", offsets(50 + batch, 60))
        write(checkpoint / "commits" / str(batch), "v1", "{}")
    (checkpoint / "offsets" / "20").unlink()
    assert inspect(checkpoint, TOPIC, ID).committed == {0: 199, 1: 60}
