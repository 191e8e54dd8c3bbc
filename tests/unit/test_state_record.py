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
from fraudstream.detector.checkpoint import Marker, write_marker
from fraudstream.detector.events import EventWriter
from fraudstream.detector.history import HistoryKeeper, LiveHistory, check_files
from fraudstream.detector.state_build import archive_gaps, archived_payments, murmur2, partitioner, payments_of
from fraudstream.errors import CheckpointDamaged, DataError, DeploymentRefused, SettingsError
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
from fraudstream.transactions.data_source import open_data
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


AT = datetime(2026, 1, 1, tzinfo=UTC)
Records = list[tuple[int, dict[str, str], str | None, int]]
"""Offset, ids of entities, text and minute."""


def archive(root: Path, rows: dict[int, Records], topic: str = "payments") -> list[Path]:
    for partition, records in rows.items():
        table = [
            {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "index": None,
                "timestamp": AT + timedelta(minutes=minute),
                "event_id": f"e{minute}",
                "event_time": None,
                "entity_ids": list(ids.items()),
                "text": text,
            }
            for offset, ids, text, minute in records
        ]
        path = ArchiveFile(topic, partition, records[0][0], records[-1][0], "2026-01-01").path(root)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), path)
    return archive_files(root)


def test_an_archive_gives_each_payment_to_the_last_partition_of_its_key(tmp_path: Path) -> None:
    masked = '{"card_id":"****","n":1}'
    first, second = ({"card_id": card, "other": "x"} for card in ("c1", "c2"))
    files = archive(
        tmp_path, {0: [(5, first, masked, 0), (7, second, masked, 1), (9, {}, None, 2)], 1: [(3, first, masked, 3)]}
    )
    payments = list(archived_payments(files, "payments", SPEC, {}))
    assert [(each.partition, each.event_id) for each in payments] == [(1, "e0"), (0, "e1"), (1, "e3")]
    assert payments[1].text == b'{"card_id":"c2","n":1}'
    assert payments[1].timestamp == (AT + timedelta(minutes=1)).timestamp() * 1000


def test_an_archived_key_may_be_nested_or_have_an_alias(tmp_path: Path) -> None:
    spec = replace(SPEC, entities=(HistoryEntity("card", "card.id"), TERMINAL))
    nested = '{"card":{"id":"****"}}'
    records: dict[int, Records] = {
        0: [(0, {"card.id": "c1"}, nested, 0), (1, {}, '{"card":{"id":"c2"}}', 1), (2, {"pan": "c3"}, "{}", 2)],
        1: [(0, {"pan": "c1"}, '{"pan":"****"}', 3), (1, {"pan": "c2"}, "{}", 4), (2, {"card.id": "c3"}, nested, 5)],
    }
    payments = list(archived_payments(archive(tmp_path, records), "payments", spec, {"pan": "card.id"}))
    assert [each.partition for each in payments] == [1] * 6
    assert payments[0].text == b'{"card":{"id":"****"},"card.id":"c1"}'
    assert payments[3].text == b'{"pan":"c1"}'


def test_an_archive_of_another_topic_is_refused(tmp_path: Path) -> None:
    files = archive(tmp_path, {0: [(0, {}, "{}", 0)]}, "returns")
    with pytest.raises(DataError, match="nothing of the topic payments, but of returns"):
        list(archived_payments(files, "payments", SPEC, {}))


def test_records_in_neither_archive_nor_stream_are_named(tmp_path: Path) -> None:
    files = archive(tmp_path, {p: [(3, {}, "{}", 0), (7, {}, "{}", 1)] for p in (0, 1)})
    files += archive(tmp_path, {2: [(9, {}, "{}", 0)]}, "returns")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    assert archive_gaps(files, checkpoint, "payments", "id") == []
    write_marker(checkpoint, Marker("payments", "id", start={0: 8, 1: 12, 2: 5, 3: 0}))
    gaps = archive_gaps(files, checkpoint, "payments", "id")
    assert gaps == ["payments[1] 8 to 11", "payments[2] 0 to 4"]
    assert archive_gaps(files, checkpoint, "payments", "recreated") == []


def test_a_files_key_by_an_alias_has_the_partition_of_its_value(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("card,terminal_id,at,Amount\nc1,t,1767225600000,2.5\n,t,1767225600001,2.5\n")
    payments = list(payments_of(open_data(file), SPEC, {"card": "card_id"}, 7))
    assert [each.partition for each in payments] == [partitioner(7)("c1"), 0]
    assert partitioner(7)("c1") > 0


@pytest.mark.parametrize("column", ["card_id", "terminal_id", "at", "Amount"])
def test_a_file_without_a_column_of_the_history_is_refused(tmp_path: Path, column: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("card_id,terminal_id,at,Amount\nc1,t,1767225600000,2.5\n".replace(column, "x"))
    with pytest.raises(DataError, match=f"no column '{column}'"):
        payments_of(open_data(file), SPEC, {}, 2)
