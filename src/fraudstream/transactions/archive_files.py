"""Names the files of an archive of transactions, and reads their records in the order of the topic or of time."""

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.transactions.files import readable
from fraudstream.transactions.wire import KEYED

_NAME: Final = re.compile(r"(.+)-([0-9]{1,10})-([0-9]{20})-([0-9]{20})\.parquet")
_FOLDER: Final = re.compile("date=([0-9]{4}-[0-9]{2}-[0-9]{2})")


class ArchiveColumn:
    """Names of the columns of a file; docs/archive.md says what they hold."""

    TOPIC: Final = "topic"
    PARTITION: Final = "partition"
    OFFSET: Final = "offset"
    INDEX: Final = "index"
    TIMESTAMP: Final = "timestamp"
    EVENT_ID: Final = "event_id"
    EVENT_TIME: Final = "event_time"
    ENTITY_IDS: Final = "entity_ids"
    TEXT: Final = "text"


SCHEMA: Final = pa.schema(
    {
        ArchiveColumn.TOPIC: pa.string(),
        ArchiveColumn.PARTITION: pa.int32(),
        ArchiveColumn.OFFSET: pa.int64(),
        ArchiveColumn.INDEX: pa.int32(),
        ArchiveColumn.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
        ArchiveColumn.EVENT_ID: pa.string(),
        ArchiveColumn.EVENT_TIME: pa.timestamp("ms", tz="UTC"),
        ArchiveColumn.ENTITY_IDS: pa.map_(pa.string(), pa.string()),
        ArchiveColumn.TEXT: pa.string(),
    }
)


class ArchiveFile(NamedTuple):
    """The records of one partition and day from offset `first` to `last`, as its name tells; files sort by these."""

    topic: str
    partition: int
    first: int
    last: int
    day: str

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Parse the path of a file; None for that of another file."""
        name, folder = _NAME.fullmatch(path.name), _FOLDER.fullmatch(path.parent.name)
        if name is None or folder is None:
            return None
        return cls(name[1], int(name[2]), int(name[3]), int(name[4]), folder[1])

    def path(self, root: Path) -> Path:
        """Return the path in an archive; by name, files of a partition sort by offset."""
        name = f"{self.topic}-{self.partition}-{self.first:020}-{self.last:020}.parquet"
        return root / f"date={self.day}" / name


def archive_files(root: Path) -> list[Path]:
    """Return the files of an archive, by topic, partition and offset."""
    return [path for _, path in _sorted(root.glob("date=*/*.parquet"))]


def partitions_of(paths: Iterable[Path]) -> dict[tuple[str, int], list[Path]]:
    """Group the files by topic and partition, each in the order of offsets."""
    groups = groupby(_sorted(paths), key=lambda each: each[0][:2])
    return {key: [path for _, path in files] for key, files in groups}


def _sorted(paths: Iterable[Path]) -> list[tuple[ArchiveFile, Path]]:
    return sorted((file, path) for path in paths if (file := ArchiveFile.parse(path)) is not None)


def newest_timestamp(folders: Iterable[Path]) -> int:
    """Return the newest of Kafka's timestamps in folders of days, in milliseconds since 1970; 0 without a record."""
    files = _sorted(path for folder in folders for path in folder.glob("*.parquet"))
    newest = max((file.day for file, _ in files), default="")
    tables = (_table([path], [ArchiveColumn.TIMESTAMP]) for file, path in files if file.day == newest)
    return max((pc.max(table[ArchiveColumn.TIMESTAMP].cast(pa.int64())).as_py() or 0 for table in tables), default=0)


def in_topic_order(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the records of one partition in the order of offsets, in tables with all `columns` or some with the offset.

    Files of several days whose offsets interleave, as around midnight, are in one table.
    """
    together, end = list[Path](), -1
    for file, path in _sorted(paths):
        if file.first > end and together:
            yield _table(together, columns)
            together = []
        together.append(path)
        end = max(end, file.last)
    if together:
        yield _table(together, columns)


def _table(paths: Sequence[Path], columns: Sequence[str] | None) -> pa.Table:
    tables = []
    for path in paths:
        with readable(path), pq.ParquetFile(path) as file:
            tables.append(file.read(columns))
    table = pa.concat_tables(tables)
    if len(tables) > 1:
        # A stable sort, as the elements of a list have one offset.
        table = table.take(sorted(range(table.num_rows), key=table[ArchiveColumn.OFFSET].to_pylist().__getitem__))
    return table


def in_time_order(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield the event id and the JSON of each transaction, the partitions merged by Kafka's timestamp.

    A card number that identifies an entity is the id of the entity.
    """
    merged = heapq.merge(*map(archived, partitions_of(paths).values()), key=attrgetter("timestamp"))
    for record in merged:
        # An entity has the id that it has in the stream.
        cards = {column: each for column, each in record.entity_ids if each.startswith(KEYED)}
        yield record.event_id, record.with_values(cards).decode() if cards else record.text


class ArchivedTransaction(NamedTuple):
    """A transaction of an archive; `timestamp` is Kafka's, in milliseconds since 1970."""

    partition: int
    offset: int
    timestamp: int
    event_id: str
    entity_ids: list[tuple[str, str]]
    text: str

    def with_values(self, values: Mapping[str, str]) -> bytes:
        """Return the JSON with values in place of those of some columns, which may be masked."""
        return orjson.dumps(orjson.loads(self.text) | values)


def archived(paths: Iterable[Path]) -> Iterator[ArchivedTransaction]:
    """Yield the transactions of one partition in the order of offsets, without the records that are none."""
    for table in in_topic_order(paths, ArchivedTransaction._fields):
        columns = [table[name] for name in ArchivedTransaction._fields]
        columns[2] = columns[2].cast(pa.int64())
        records = map(ArchivedTransaction, *(column.to_pylist() for column in columns))
        yield from (record for record in records if record.text is not None)
