"""The state of the history beside the checkpoint: what it holds, for which model, and what its payments lack."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from columns import MODEL_ID, manifest
from fraudstream.detector.events import EventWriter
from fraudstream.detector.history import HistoryKeeper, LiveHistory, check_files
from fraudstream.detector.state_build import archived_payments, murmur2, partitioner
from fraudstream.errors import CheckpointDamaged, DeploymentRefused, SettingsError
from fraudstream.history.spec import HistoryEntity, HistorySpec, with_features
from fraudstream.model.deployment.state import (
    STATE_RECORD,
    StateRecord,
    content_of,
    read_state,
    require_state,
    state_directory,
    write_state,
)
from fraudstream.model.features.history import HistoryNote
from fraudstream.transactions.archive_files import SCHEMA, ArchiveFile, archive_files
from fraudstream.transactions.wire import EventType

CARD, TERMINAL = HistoryEntity("card", "card_id"), HistoryEntity("terminal", "terminal_id")
SPEC = with_features(HistorySpec((CARD, TERMINAL), time="at", amount="Amount", clock=1000))
ALONE = with_features(replace(SPEC, entities=(CARD,)))
KINDS = [bit for name, bit in vars(HistoryNote).items() if name.isupper()]


class Events(EventWriter):
    """The messages in the order in which they were written."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def write(self, kind: EventType, message: str, **details: Any) -> None:
        assert kind is EventType.HISTORY
        self.messages.append(message)


class Keeper(HistoryKeeper):
    """The keeper of a checkpoint."""

    def __init__(self, tmp_path: Path) -> None:
        self.written = Events()
        now = datetime(2026, 1, 1, tzinfo=UTC)
        super().__init__(
            tmp_path / "checkpoint", tmp_path / "profiles", tmp_path / "entity.key", self.written, lambda: now
        )

    def start(self, spec: HistorySpec | None, topic_id: str = "id", partitions: int = 2) -> LiveHistory | None:
        return self.begin(spec, {"card": "card_id"}, topic_id, partitions)

    def batch(self, **notes: int) -> None:
        counts = {f"note_{bit}": 0 for bit in KINDS} | {f"note_{getattr(HistoryNote, n)}": c for n, c in notes.items()}
        self.report({"observedMetrics": {"history": counts}})


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


def test_a_model_without_history_leaves_no_state(keeper: Keeper, tmp_path: Path) -> None:
    assert keeper.start(None) is None
    keeper.report({"observedMetrics": {}})
    assert (list(tmp_path.iterdir()), keeper.written.messages, keeper.problems) == ([], [], [])


def test_the_first_model_with_history_says_that_it_starts_empty(keeper: Keeper) -> None:
    history = keeper.start(SPEC)
    assert history is not None
    assert (history.spec, history.base) == (SPEC, 0)
    assert history.config["entities"][0]["columns"] == ["card", "card_id"]
    (message,) = keeper.written.messages
    assert "starts empty" in message
    keeper.start(SPEC)
    assert len(keeper.written.messages) == 1


def test_the_state_goes_on_under_a_model_without_history(keeper: Keeper) -> None:
    keeper.start(SPEC)
    history = keeper.start(None)
    assert history is not None
    assert (history.spec.entities, history.spec.names) == (SPEC.entities, ())


def test_a_model_of_the_key_alone_keeps_the_second_entity_in_the_state(keeper: Keeper) -> None:
    keeper.start(SPEC)
    history = keeper.start(ALONE)
    assert history is not None
    assert history.spec.entities == SPEC.entities
    assert history.spec.names == ALONE.names


def test_offsets_of_a_recreated_topic_are_not_compared(keeper: Keeper, tmp_path: Path) -> None:
    directory = state_directory(tmp_path / "checkpoint")
    write_state(directory, StateRecord(content_of(SPEC), 2))
    bases = [history.base for topic in ("a", "a", "b", "b") if (history := keeper.start(SPEC, topic)) is not None]
    assert bases == [0, 0, 1, 1]


def test_a_state_of_another_key_of_card_numbers_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    directory = state_directory(tmp_path / "checkpoint")
    write_state(directory, StateRecord(content_of(SPEC), 2))
    keeper.start(SPEC)
    record = read_state(directory)
    key = keeper.key_file.read_bytes()
    keeper.key_file.unlink()
    with pytest.raises(SettingsError, match="another key") as refused:
        keeper.start(SPEC, "other topic")
    assert refused.value.where == str(tmp_path / "entity.key")
    assert "restore the key file" in refused.value.remedy
    assert "fraudstream state build" in refused.value.remedy
    assert read_state(directory) == record
    keeper.key_file.write_bytes(key)
    assert keeper.start(SPEC) is not None


def test_added_partitions_are_an_alarm_and_scoring_goes_on(keeper: Keeper) -> None:
    keeper.start(SPEC)
    assert keeper.problems == []
    assert keeper.start(SPEC, partitions=3) is not None
    (problem,) = keeper.problems
    assert "3 partitions" in problem.message
    assert "fraudstream state build" in problem.message
    assert problem.message in keeper.written.messages


def test_a_note_is_reported_once_and_an_alarm_until_it_ends(keeper: Keeper) -> None:
    keeper.start(SPEC)
    keeper.written.messages.clear()
    keeper.batch(NO_KEY=3, NO_PROFILE=7)
    keeper.batch(NO_KEY=4, NO_PROFILE=9)
    assert [message.split(" of ")[0] for message in keeper.written.messages] == ["3", "7"]
    assert [problem.kind.value for problem in keeper.problems] == ["history"]
    keeper.batch(NO_KEY=1)
    assert keeper.problems == []


def test_every_note_of_the_operator_has_a_message(keeper: Keeper) -> None:
    keeper.start(SPEC)
    keeper.written.messages.clear()
    keeper.batch(**{name: 1 for name in vars(HistoryNote) if name.isupper()})
    assert len(keeper.written.messages) == len(KINDS)
    assert not any("{" in message for message in keeper.written.messages)


def test_a_model_that_needs_other_columns_is_refused(tmp_path: Path) -> None:
    model = replace(manifest(), history=SPEC)
    require_state(tmp_path, model)
    require_state(tmp_path, manifest())
    write_state(tmp_path, StateRecord(content_of(SPEC), 2))
    for spec in (SPEC, ALONE, replace(SPEC, live=(), lag_hours=1)):
        require_state(tmp_path, replace(manifest(), history=spec))
    other = replace(SPEC, entities=(TERMINAL, CARD), clock=None, time="when")
    with pytest.raises(DeploymentRefused) as refused:
        require_state(tmp_path, replace(manifest(), history=other))
    for part in ("terminal_id", "time when instead of at 1000", "fraudstream state build", MODEL_ID):
        assert part in refused.value.message
    write_state(tmp_path, StateRecord(content_of(ALONE), 2))
    with pytest.raises(DeploymentRefused, match="second entity terminal_id instead of none"):
        require_state(tmp_path, model)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 99}', b"\0\0"])
def test_a_broken_record_names_the_file_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_RECORD).write_bytes(content)
    with pytest.raises(CheckpointDamaged, match="state build"):
        read_state(tmp_path)


def test_a_state_of_a_later_release_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path, replace(StateRecord(content_of(SPEC), 2), format=2))
    with pytest.raises(CheckpointDamaged, match="its format is 2"):
        read_state(tmp_path)


def snapshot(path: Path, **sizes: int) -> None:
    tables = [{"localFileName": "1.sst", "dfsSstFileName": f"{name}.sst", "sizeBytes": sizes[name]} for name in sizes]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata", "v1\n" + json.dumps({"sstFiles": tables, "numKeys": -1}))


def test_a_missing_or_broken_file_of_the_newest_version_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "1" / "0"
    folder.mkdir(parents=True)
    snapshot(folder / "3.zip")
    for version in (2, 3, 4, 5):
        (folder / f"{version}.changelog").write_bytes(b"changes")
    assert check_files(tmp_path) == 1
    (folder / "2.changelog").write_bytes(b"")
    assert check_files(tmp_path) == 1
    (folder / "4.changelog").unlink()
    with pytest.raises(CheckpointDamaged, match="missing") as missing:
        check_files(tmp_path)
    assert missing.value.where == str(folder / "4.changelog")
    (folder / "4.changelog").write_bytes(b"changes")
    (folder / "3.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointDamaged, match="truncated"):
        check_files(tmp_path)


def test_a_missing_or_shortened_table_of_the_newest_snapshot_is_named(tmp_path: Path) -> None:
    tables = tmp_path / "state" / "1" / "0" / "SSTs"
    tables.mkdir(parents=True)
    for version in (3, 2):
        snapshot(tables.parent / f"{version}.zip", **{f"000001-{version}": 5})
    (tables / "000001-3.sst").write_bytes(b"table")
    assert check_files(tmp_path) == 1
    (tables / "000001-3.sst").write_bytes(b"tab")
    with pytest.raises(CheckpointDamaged, match="has 3 bytes instead of 5") as damaged:
        check_files(tmp_path)
    assert damaged.value.where == str(tables / "000001-3.sst")
    (tables / "000001-3.sst").unlink()
    with pytest.raises(CheckpointDamaged, match=r"missing, and 3\.zip"):
        check_files(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_a_key_has_the_hash_of_kafkas_own_tests(key: str, value: int) -> None:
    assert murmur2(key.encode()) == value % 2**32
    assert partitioner(7)(key) == (value & 0x7FFFFFFF) % 7
    assert partitioner(7)(None) == 0


def test_an_archive_gives_each_payment_to_the_last_partition_of_its_key(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = {0: [(5, "c1", 0), (7, "c2", 1), (9, "", 2)], 1: [(3, "c1", 3)]}
    for partition, records in rows.items():
        table = [
            {
                "topic": "payments",
                "partition": partition,
                "offset": offset,
                "index": None,
                "timestamp": at + timedelta(minutes=minute),
                "event_id": f"e{minute}",
                "event_time": None,
                "entity_ids": [("card_id", card), ("other", "x")] if card else [],
                "text": '{"card_id":"****","n":1}' if card else None,
            }
            for offset, card, minute in records
        ]
        path = ArchiveFile("payments", partition, records[0][0], records[-1][0], "2026-01-01").path(tmp_path)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), path)
    payments = list(archived_payments(archive_files(tmp_path), "payments", SPEC))
    assert [(each.partition, each.offset, each.event_id) for each in payments] == [
        (1, -1, "e0"),
        (0, 7, "e1"),
        (1, 3, "e3"),
    ]
    assert payments[1].text == b'{"card_id":"c2","n":1}'
    assert payments[1].timestamp == (at + timedelta(minutes=1)).timestamp() * 1000
    assert list(archived_payments(archive_files(tmp_path), "others", SPEC)) == []
