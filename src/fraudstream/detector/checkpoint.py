"""Reads and validates Spark's checkpoint of the query, and rebuilds it from the ledger.

Spark writes each file under a temporary name and renames it: a broken file was broken by a disk or by a person.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.detector.spark_log import LogReader, Offsets
from fraudstream.errors import CheckpointDamaged, DetectorError, SettingsError
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.runtime.files import replace_json, sole_use, tighten

MARKER: Final = "fraudstream.json"
LOCK: Final = ".detector.lock"
FORMAT: Final = 1
"""Incremented when a release can no longer resume from the checkpoints of the previous one."""

RETAINED_BATCHES: Final = 100
"""Batches that Spark retains in its logs; if it is killed while purging older ones, these have gaps."""

_FIRST_OFFSETS: Final = Path("sources") / "0" / "0"


@dataclass(frozen=True)
class Marker:
    """The metadata that fraudstream itself writes into a checkpoint.

    `topic_id` is Kafka's: a topic that is deleted and recreated gets another. `start` holds the starting offsets of a
    query that has committed nothing yet; None for the earliest offset.
    """

    topic: str
    topic_id: str
    start: Offsets | None = None
    format: int = FORMAT


_MARKER: Final = TypeAdapter(Marker)


@dataclass(frozen=True)
class CheckpointState:
    """The content of a checkpoint.

    Attributes:
        query_id: The id that Spark gave the query; None for a new checkpoint.
        first: Starting offsets of the first batch; None if Spark has not recorded them yet.
        ends: End offsets by committed batch, as far back as Spark retains them.
        marker: Our own metadata; None in a new checkpoint and in those of earlier releases.
    """

    query_id: str | None = None
    first: Offsets | None = None
    ends: Mapping[int, Offsets] = field(default_factory=dict)
    marker: Marker | None = None

    @property
    def is_new(self) -> bool:
        """Whether no query has run on it."""
        return self.query_id is None

    @property
    def committed(self) -> Offsets:
        """The starting offsets of the next batch, as far as they are known."""
        if self.ends:
            return self.ends[max(self.ends)]
        return self.first or (self.marker.start if self.marker else None) or {}


def inspect(path: Path, topic: str, topic_id: str) -> CheckpointState:
    """Read a checkpoint and verify that a query on this topic can resume from it.

    Raises:
        CheckpointDamaged: A file is missing, truncated, empty or fails its checksum; or the checkpoint belongs to
            another topic, or to another release. Names the file and the command that repairs it.
    """
    reader = LogReader(path, topic)
    marker = _read_marker(path, reader)
    if marker is not None and marker.format != FORMAT:
        raise reader.damaged(MARKER, f"its format is {marker.format}, this release writes {FORMAT}")
    if marker is not None and marker.topic != topic:
        raise reader.damaged(MARKER, f"it belongs to the topic {marker.topic}")
    if marker is not None and marker.topic_id != topic_id:
        raise reader.damaged(MARKER, f"the topic {topic} has since been deleted and recreated")
    logs = {name: reader.batches(name) for name in ("offsets", "commits")}
    first = reader.offsets(_FIRST_OFFSETS) if (path / _FIRST_OFFSETS).exists() else None
    if not (path / "metadata").exists():
        if first is not None or any(logs.values()):
            raise reader.damaged("metadata", "it is missing")
        return CheckpointState(marker=marker)
    query_id = reader.query_id()
    committed = max(logs["commits"], default=-1)
    written = max(logs["offsets"], default=-1)
    if committed >= 0 and committed not in logs["offsets"]:
        raise reader.damaged(f"offsets/{committed}", "it is missing, though the batch was committed")
    for batch in range(max(min(logs["offsets"] | logs["commits"], default=0), written - RETAINED_BATCHES + 1), written):
        for name, batches in logs.items():
            if batch not in batches:
                raise reader.damaged(f"{name}/{batch}", "it is missing, though a later batch was started")
    if committed < 0 and first is None and written >= 0:
        raise reader.damaged(str(_FIRST_OFFSETS), "it is missing")
    for batch in logs["commits"]:
        reader.lines(Path("commits") / str(batch))
    ends = {batch: reader.offsets(Path("offsets") / str(batch)) for batch in logs["offsets"]}
    return CheckpointState(
        query_id=query_id,
        first=first,
        ends={batch: ends[batch] for batch in sorted(ends) if batch <= committed},
        marker=marker,
    )


def _read_marker(path: Path, reader: LogReader) -> Marker | None:
    if not (path / MARKER).exists():
        return None
    try:
        return _MARKER.validate_json((path / MARKER).read_bytes())
    except (OSError, ValidationError) as e:
        raise reader.damaged(MARKER, "it is not in fraudstream's format") from e


def write_marker(path: Path, marker: Marker) -> None:
    """Replace our own metadata file."""
    replace_json(path / MARKER, _MARKER.dump_python(marker, mode="json"))


def sweep(path: Path) -> list[Path]:
    """Remove the temporary files of a failed write from the logs and return them; no query may be running.

    Spark writes under a temporary name first. A full disk leaves that file behind, and Spark then refuses to start the
    first batch ("should be empty on batch 0"), for ever.
    """
    removed = []
    for folder in [path / "offsets", path / "commits", *(path / "sources").glob("*")]:
        names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
        complete = {name for name in names if name.isdecimal()}
        for name in sorted(names - complete - {f".{name}.crc" for name in complete}):
            if name.startswith("."):
                (folder / name).unlink()
                removed.append(folder / name)
    return removed


def put_aside(path: Path, why: str, now: datetime) -> Path | None:
    """Move the content of a checkpoint into a folder beside it; the lock on the checkpoint stays.

    Returns the folder, `<checkpoint>.<why>-<time>`; None if the checkpoint was empty.
    """
    files = [file for file in path.iterdir() if file.name != LOCK] if path.is_dir() else []
    if not files:
        return None
    aside = path.with_name(f"{path.name}.{why}-{now.astimezone(UTC):%Y%m%dT%H%M%S}")
    aside.mkdir(parents=True)
    for file in files:
        shutil.move(file, aside / file.name)
    return aside


def offsets_text(topic: str, offsets: Offsets, partitions: int) -> str:
    """Format offsets for Spark's option `startingOffsets`; a partition without one starts at its earliest."""
    named = {str(p): offsets.get(p, -2) for p in range(partitions)}
    return orjson.dumps({topic: named}).decode()


def first_offsets(path: Path, topic: str) -> Offsets:
    """Read the starting offsets of the first batch; empty if they are missing or unreadable."""
    try:
        return LogReader(path, topic).offsets(_FIRST_OFFSETS)
    except CheckpointDamaged:
        return {}


def ends_after(path: Path, topic: str, batch: int) -> dict[int, Offsets]:
    """Read the end offsets of each batch committed after `batch`; `inspect` reports what cannot be read."""
    reader = LogReader(path, topic)
    ends: dict[int, Offsets] = {}
    with suppress(CheckpointDamaged):
        for each in sorted(committed for committed in reader.batches("commits") if committed > batch):
            ends[each] = reader.offsets(Path("offsets") / str(each))
    return ends


@contextmanager
def lock_checkpoint(checkpoint: Path) -> Iterator[None]:
    """Lock a checkpoint for this process; raises DetectorError if another has, or if it cannot be written."""
    try:
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / LOCK).touch()
        for folder in filter(Path.is_dir, (checkpoint, *checkpoint.iterdir())):
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    except OSError as e:
        raise DetectorError(
            f"the checkpoint cannot be written: {e.strerror}",
            where=str(e.filename or checkpoint),
            remedy="give this user write permission there, or choose another folder with --checkpoint",
        ) from e
    what, remedy = "another detector is using this checkpoint", "stop it first, or give this one another --checkpoint"
    with sole_use(checkpoint / LOCK, DetectorError(what, where=str(checkpoint), remedy=remedy)):
        tighten(checkpoint)
        yield


def accounted_until(entries: Iterable[LedgerEntry], topic_id: str, begins: Mapping[int, int]) -> dict[int, int]:
    """Compute by partition the offset up to which the ledger covers, without a gap, all that Kafka still has.

    The entries may be in any order and of several checkpoints; those of an earlier topic of this name (another
    `topic_id`) are ignored. `begins` are the first offsets that Kafka has.
    """
    until = dict(begins)
    for entry in sorted(entries, key=attrgetter("partition", "from_offset")):
        reached = until.get(entry.partition)
        if entry.topic_id == topic_id and reached is not None and entry.from_offset <= reached:
            until[entry.partition] = max(reached, entry.until_offset)
    return until


def rebuild(checkpoint: Path, marker: Marker, now: datetime) -> Path | None:
    """Recover from a broken checkpoint that no detector uses: move it aside, and resume where the marker says.

    What lies after the ledger's end is scored again, so nothing is lost; the store ignores duplicates.
    Returns the folder of the old one, None if it was empty; raises SettingsError if the directory cannot be written.
    """
    try:
        checkpoint.mkdir(parents=True, exist_ok=True)
        aside = put_aside(checkpoint, "damaged", now)
        write_marker(checkpoint, marker)
    except OSError as e:
        raise SettingsError(
            f"the checkpoint cannot be rebuilt: {e.strerror}", where=str(checkpoint), remedy="check folder and disk"
        ) from e
    return aside
