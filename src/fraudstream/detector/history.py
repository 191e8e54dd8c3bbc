"""Keeps the state of the history beside the checkpoint, and reports what payments lack theirs."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.detector.events import EventWriter
from fraudstream.detector.spark_log import matches_checksum
from fraudstream.errors import SettingsError
from fraudstream.history.identity import entity_key, key_fingerprint
from fraudstream.history.spec import HistorySpec, operator_config
from fraudstream.messages.ledger import Problem, ProblemKind
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.deployment.state import (
    BUILD,
    StateRecord,
    content_of,
    read_state,
    state_damaged,
    state_directory,
    write_state,
)
from fraudstream.model.features.history import HistoryNote
from fraudstream.model.manifest import Manifest
from fraudstream.times import iso
from fraudstream.transactions.wire import EventType

NOTES_OBSERVED: Final = "history"
"""The observed metric that counts a batch's transactions with each note of the operator."""

NOTES: Final = {
    HistoryNote.NO_KEY: "have no readable {key}, and no history",
    HistoryNote.NO_TIME: "have no readable {time}, and no history",
    HistoryNote.NO_AMOUNT: "have no readable {amount}: they do not enter the history",
    HistoryNote.AHEAD: "have a {time} more than 5 minutes after Kafka's, or a day after now: "
    "they do not enter the history",
    HistoryNote.REPEATED: "were sent again: they enter the history once",
    HistoryNote.HOT: "are of a {key} with more payments than its history holds: their numbers are at least so many",
    HistoryNote.OTHER_PARTITION: "are of a {key} with earlier payments on another partition, which they lack: "
    "send with produce --key {key}, or copy the topic: fraudstream rekey",
    HistoryNote.NO_PROFILE: "lack the daily profiles of their date: fraudstream profiles build",
    HistoryNote.OTHER_CURRENCY: "are in another currency: they enter the history without their amount",
}
"""What each of the operator's notes says of the transactions that have it."""
_ALARMS: Final = (HistoryNote.OTHER_PARTITION, HistoryNote.NO_PROFILE)
_MOVED: Final = 0
"""The key of the alarm that the topic has grown."""

STORE: Final = "state"
"""The folder of the store, within the directory of the state."""
_TABLES: Final = "SSTs"
"""The folder, beside the versions of a partition, with the files of RocksDB that several snapshots share."""
_FILE: Final = re.compile(r"\d+\.(zip|changelog)")


@dataclass(frozen=True)
class LiveHistory:
    """The history in a query: what it computes, from the state below `root`; see `StateRecord` for `base`."""

    spec: HistorySpec
    config: dict[str, Any]
    root: Path
    base: int


@dataclass
class HistoryKeeper:
    """The state of one detector's history, and the only writer of its record.

    Args:
        checkpoint: The detector's checkpoint, whose lock is that of the state too.
        profiles: The directory of the daily profiles.
        key_file: The file with the key of the ids of card numbers.
    """

    checkpoint: Path
    profiles: Path
    key_file: Path
    events: EventWriter
    now: Callable[[], datetime]
    _spec: HistorySpec | None = field(default=None, init=False)
    _noted: int = field(default=0, init=False)
    _problems: dict[int, Problem] = field(default_factory=dict, init=False)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the history now."""
        return list(self._problems.values())

    def begin(
        self, spec: HistorySpec | None, aliases: Mapping[str, str], topic_id: str, partitions: int
    ) -> LiveHistory | None:
        """Prepare the state for the next query; None if neither its model nor an earlier one has a history.

        Raises CheckpointDamaged if the query cannot resume from the state, and SettingsError if the state has ids of
        another key.
        """
        self._spec, self._noted = spec, 0
        directory = state_directory(self.checkpoint)
        record = read_state(directory)
        if record is None:
            if spec is None:
                return None
            record = StateRecord(content_of(spec), partitions, topic_id)
            what = "the history starts empty: the first payments lack what was before;"
            self.events.write(EventType.HISTORY, f"{what} {BUILD} fills it")
        elif record.topic_id != topic_id:
            record = replace(record, topic_id=topic_id, base=record.base + 1 if record.topic_id else record.base)
        fingerprint = key_fingerprint(entity_key(self.key_file))
        if record.key_fingerprint not in ("", fingerprint):
            raise SettingsError(
                "the history was made with another key of card numbers: every card would be a new entity",
                where=str(self.key_file),
                remedy=f"restore the key file, or correct FRAUDSTREAM_ENTITY_KEY, or build the state again: {BUILD}",
            )
        record = replace(record, key_fingerprint=fingerprint)
        write_state(directory, record)
        check_files(directory)
        if partitions != record.partitions:
            what = f"the topic has {partitions} partitions, the history is that of {record.partitions}"
            self._alarm(_MOVED, f"{what}: entities that moved have none until it is built again: {BUILD}")
        # Whichever model is active, events enter: the next one may need them.
        self._spec = record.content if spec is None else spec
        if len(self._spec.entities) == 1:
            self._spec = replace(self._spec, entities=(self._spec.key, *record.content.entities[1:]))
        return self._of(self._spec, aliases, record)

    def replay(self, manifest: Manifest, deployment: Deployment) -> LiveHistory | None:
        """Return the history of a model for offsets that an earlier query has read; None if it has none."""
        record = read_state(state_directory(self.checkpoint))
        if manifest.history is None or record is None:
            return None
        return self._of(manifest.history, deployment.aliases, record)

    def _of(self, spec: HistorySpec, aliases: Mapping[str, str], record: StateRecord) -> LiveHistory:
        config = operator_config(spec, dict(aliases), str(self.profiles.absolute()), entity_key(self.key_file))
        return LiveHistory(spec, config, state_directory(self.checkpoint) / STORE, record.base)

    def report(self, progress: Mapping[str, Any]) -> None:
        """Report what a batch's transactions lack: each note once in a query, and alarms while they last."""
        metrics, spec = progress["observedMetrics"].get(NOTES_OBSERVED), self._spec
        if metrics is None or spec is None:
            return
        for bit, text in NOTES.items():
            count = metrics[_metric(bit)]
            what = text.format(key=spec.key.column, time=spec.time, amount=spec.amount)
            message = f"{count:,} of the last payments {what}"
            if not count:
                self._problems.pop(bit, None)
            elif bit in _ALARMS:
                self._alarm(bit, message)
            elif not self._noted & bit:
                self._noted |= bit
                self.events.write(EventType.HISTORY, message)

    def _alarm(self, key: int, message: str) -> None:
        if key not in self._problems:
            self._problems[key] = Problem(kind=ProblemKind.HISTORY, message=message[:500], since=iso(self.now()))
            self.events.write(EventType.HISTORY, message)


def observe_notes(frame: DataFrame, notes: Column) -> DataFrame:
    """Count the transactions with each note, in the progress of the query."""
    return frame.observe(
        NOTES_OBSERVED, *(F.count_if(notes.bitwiseAND(F.lit(bit)) != 0).alias(_metric(bit)) for bit in NOTES)
    )


def _metric(bit: int) -> str:
    return f"note_{bit}"


def check_files(directory: Path) -> int:
    """Check that the newest version of each partition's state can be restored; return the number of partitions.

    Raises CheckpointDamaged, which names the file.
    """
    folders = [folder for folder in (directory / STORE).glob("*/*") if folder.is_dir() and folder.name.isdecimal()]
    for folder in folders:
        # A snapshot goes before the changes of its version.
        files = {int(file.stem): file for file in sorted(folder.iterdir()) if _FILE.fullmatch(file.name)}
        for version in range(max(files, default=0), 0, -1):
            file = files.get(version, folder / f"{version}.changelog")
            _check(file)
            if file.suffix == ".zip":
                break
    return len(folders)


def _check(file: Path) -> None:
    if not file.exists():
        raise state_damaged(file, "it is missing, though there is a later version")
    content, checksum = file.read_bytes(), file.with_name(f".{file.name}.crc")
    if not content:
        raise state_damaged(file, "it is empty")
    if checksum.exists() and not matches_checksum(content, checksum.read_bytes()):
        raise state_damaged(file, "its checksum does not match")
    if file.suffix == ".zip":
        _check_tables(file)


def _check_tables(snapshot: Path) -> None:
    """Check that the tables that a snapshot names are there, with their sizes; their content is not read."""
    try:
        with zipfile.ZipFile(snapshot) as archive:
            tables = json.loads(archive.read("metadata").partition(b"\n")[2]).get("sstFiles") or ()
    except (zipfile.BadZipFile, KeyError, ValueError) as e:
        raise state_damaged(snapshot, "it is truncated") from e
    for table in tables:
        file = snapshot.parent / _TABLES / table["dfsSstFileName"]
        size = file.stat().st_size if file.exists() else None
        if size != table["sizeBytes"]:
            what = "it is missing" if size is None else f"it has {size} bytes instead of {table['sizeBytes']}"
            raise state_damaged(file, f"{what}, and {snapshot.name} needs it")
