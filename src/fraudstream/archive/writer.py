"""Writes the files of an archive, so that a kill at any moment neither loses nor doubles a record."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from fraudstream.archive.rows import Row
from fraudstream.errors import ArchiveError
from fraudstream.runtime.files import replace_json, sole_use, sync_folder
from fraudstream.transactions.archive_files import SCHEMA, ArchiveFile, archive_files

log = structlog.get_logger(__name__)
POSITIONS: Final = ".positions.json"
DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)


@dataclass
class Archive:
    """The files of one topic in a folder; one process at a time writes them.

    Which records are archived, the file of positions says: it is replaced once all files of a write are in place, and
    what is beyond it was not finished. Offsets that Kafka remembers for a group could not be as one with the files, and
    expire.

    Attributes:
        positions: By partition, the offset of the next record to archive.
    """

    root: Path
    topic: str
    topic_id: str
    positions: dict[int, int] = field(default_factory=dict)
    _has_failed: bool = False  # the last write, which may have left files

    @classmethod
    @contextmanager
    def open(cls, root: Path, topic: str, topic_id: str) -> Iterator[Self]:
        """Open or create the archive of a topic for the length of a `with` block; raises ArchiveError."""
        in_use = ArchiveError(
            "another process is archiving into this folder",
            where=str(root),
            remedy="stop it, or choose another folder with --archive",
        )
        with ExitStack() as stack:
            archive = cls(root, topic, topic_id)
            try:
                root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(sole_use(root / ".lock", in_use))
                archive._read_positions()
            except OSError as e:
                remedy = "correct --archive or FRAUDSTREAM_ARCHIVE, or its permissions"
                raise ArchiveError(f"the archive cannot be opened: {e.strerror}", where=str(root), remedy=remedy) from e
            yield archive

    def _read_positions(self) -> None:
        file = self.root / POSITIONS
        if not file.exists():
            # Written before the first file is: where it is missing, a person removed it, and all files are complete.
            for each in filter(None, map(ArchiveFile.parse, archive_files(self.root))):
                if each.topic == self.topic:
                    self.positions[each.partition] = max(self.positions.get(each.partition, 0), each.last + 1)
            self._replace_positions(self.positions)
        try:
            state = orjson.loads(file.read_bytes())
            topic, topic_id = state["topic"], state["topic_id"]
            self.positions = {int(partition): offset for partition, offset in state["next"].items()}
        except (ValueError, TypeError, LookupError, AttributeError) as e:
            remedy = "remove it: positions then follow from file names; records of an interrupted write may be missing"
            raise ArchiveError("the positions of the archive are damaged", where=str(file), remedy=remedy) from e
        if (topic, topic_id) != (self.topic, self.topic_id):
            what = f"the archive is of another topic: {topic}, or one that was deleted and created again"
            raise ArchiveError(what, where=str(self.root), remedy="choose another folder with --archive")

    def _replace_positions(self, positions: Mapping[int, int]) -> None:
        state = {"topic": self.topic, "topic_id": self.topic_id, "next": {str(p): o for p, o in positions.items()}}
        replace_json(self.root / POSITIONS, state, durable=True)
        self.positions = dict(positions)

    def remove_unfinished(self, begins: Mapping[int, int]) -> None:
        """Remove what a killed process left beyond the positions, if Kafka, from the offsets `begins` on, has it.

        Else all of the partition is finished: hidden files beside one that has its name already are complete too.
        """
        left = defaultdict[int, dict[ArchiveFile, Path]](dict)
        for path in (*archive_files(self.root), *self.root.glob("date=*/.*.parquet.partial")):
            file = ArchiveFile.parse(path.with_name(path.name.removeprefix(".").removesuffix(".partial")))
            if file is not None and file.topic == self.topic and file.first >= self.positions.get(file.partition, 0):
                left[file.partition][file] = path
        is_complete = any(path.suffix == ".parquet" for files in left.values() for path in files.values())
        positions = dict(self.positions)
        for partition, files in left.items():
            first, last = min(each.first for each in files), max(each.last for each in files)
            if first >= begins.get(partition, 0) or not is_complete:
                for path in files.values():
                    path.unlink()
                continue
            for file, path in files.items():
                path.replace(file.path(self.root))
                sync_folder(path.parent)
            positions[partition] = last + 1
            log.warning("finished a write of what Kafka deleted", records=f"{self.topic}[{partition}] {first}-{last}")
        if positions != self.positions:
            self._replace_positions(positions)

    def write(self, rows: Mapping[int, Sequence[Row]], positions: Mapping[int, int]) -> list[ArchiveFile]:
        """Write rows by partition, in the order of offsets, and then the positions; returns the new files.

        Raises OSError; the next call may then have the same rows and more.
        """
        if self._has_failed:
            self.remove_unfinished({})
        files: dict[ArchiveFile, list[Row]] = {}
        for partition, each in rows.items():
            by_day = defaultdict[int, list[Row]](list)
            for row in each:
                by_day[row.timestamp // DAY_MS].append(row)
            for day, of_day in by_day.items():
                first, last = of_day[0].offset, of_day[-1].offset
                files[ArchiveFile(self.topic, partition, first, last, str(_EPOCH + timedelta(days=day)))] = of_day
        paths = {path: path.with_name(f".{path.name}.partial") for path in (file.path(self.root) for file in files)}
        self._has_failed = True
        try:
            for (path, partial), content in zip(paths.items(), files.values(), strict=True):
                path.parent.mkdir(exist_ok=True)
                _write_table(content, partial)
            for path, partial in paths.items():
                partial.replace(path)
            for folder in {self.root, *(path.parent for path in paths)}:
                sync_folder(folder)
            self._replace_positions({**self.positions, **positions})
        except OSError:
            # Also those that are in place: the next write may end at another offset, and so have other names.
            self.remove_unfinished({})
            raise
        self._has_failed = False
        return list(files)

    def remove_before(self, today: date, days: int) -> list[str]:
        """Remove the files of the days that ended `days` or more before today; returns the folders that are gone."""
        first = f"date={today - timedelta(days=days)}"
        old = sorted(folder for folder in self.root.glob("date=????-??-??") if folder.name < first)
        for folder in old:
            for path in folder.glob("*.parquet"):
                if (file := ArchiveFile.parse(path)) is not None and file.topic == self.topic:
                    path.unlink()
            with suppress(OSError):  # it has files of others
                folder.rmdir()
        return [folder.name for folder in old if not folder.exists()]


def _write_table(rows: Sequence[Row], path: Path) -> None:
    arrays = [pa.array(column, type=field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    with path.open("wb") as file:
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
