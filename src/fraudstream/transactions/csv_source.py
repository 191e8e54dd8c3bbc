"""The CSV source: opens a CSV of any common make and yields its rows as JSON, or only chosen columns."""

import csv
import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from json.encoder import encode_basestring
from operator import itemgetter
from pathlib import Path
from typing import IO, Final, cast

import orjson

from fraudstream.errors import BrokenRow, DataError, DataNotFound, EmptyData, SettingsError
from fraudstream.transactions.amounts import JSON_NUMBER_PATTERN, is_json_number

SNIFFED_ROWS: Final = 1000
DELIMITERS: Final = (",", ";", "\t")
LONGEST_CELL: Final = 16 * 1024 * 1024
"""In characters: a longer cell is a quote that was never closed."""

_GZIP_MAGIC: Final = b"\x1f\x8b"

Encoder = Callable[[list[str]], bytes]


@dataclass(frozen=True)
class CsvSource:
    """A CSV file whose header has been read; made by `open_csv`.

    `numeric` says by column whether every non-empty cell of the first 1000 rows is a JSON number.
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    numeric: tuple[bool, ...]

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the file's bytes, in hexadecimal; worked out at the first look."""
        with _readable(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def rows(self, start: int = 0) -> Iterator[list[str]]:
        """The data rows from number `start` (from 0) on, each a list of as many cells as there are columns.

        Blank lines are no rows and have no number. Raises BrokenRow where a row has another number of cells than the
        header, is not UTF-8, or breaks the quoting.
        """
        rows = _parsed(self.path, self.delimiter)
        next(rows, None)
        width = len(self.columns)
        # A row is also checked before `start`: what is skipped must be what was counted.
        numbered = itertools.islice(_checked(rows, self.path, width), start, None)
        return (row for _, row in numbered)

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """The data rows from number `start` on, each as one JSON object in UTF-8, keys in file order; raises as `rows`.

        A cell of a numeric column that is a JSON number is written as it is, so that 149.62 stays 149.62; any other as
        a string; an empty cell as null.
        """
        return map(encoder(self.columns, self.numeric), self.rows(start))

    def line_of(self, row: int) -> int:
        """The line of the file, from 1, on which data row `row` starts (reads the file up to it)."""
        rows = _parsed(self.path, self.delimiter)
        next(rows, None)
        line, _ = next(itertools.islice(rows, row, None))
        return line


def open_csv(path: Path) -> CsvSource:
    """Read the header and the first 1000 rows: the delimiter, the names, and which columns are numeric.

    Commas, semicolons or tabs; quoted or not; with or without a byte-order mark; plain or gzip.

    Raises:
        DataNotFound: The file is not there or cannot be read.
        EmptyData: The file is empty, or holds a header and no row.
        DataError: Two columns have the same name.
        BrokenRow: One of the first 1000 rows cannot be read.
    """
    with _readable(path):
        delimiter = max(DELIMITERS, key=lambda candidate: _width(path, candidate))
        rows = _parsed(path, delimiter)
        _, columns = next(rows, (0, []))
        if not columns:
            raise EmptyData("the CSV is empty", where=str(path), remedy="give a file with a header and rows below it")
        repeated = [name for name, times in Counter(columns).items() if times > 1]
        if repeated:
            raise DataError(
                f"the header names the column {repeated[0]!r} twice", where=f"{path}:1", remedy="rename one of the two"
            )
        head = [row for _, row in itertools.islice(_checked(rows, path, len(columns)), SNIFFED_ROWS)]
    if not head:
        raise EmptyData("the CSV has a header and no row", where=str(path), remedy="give a file with rows")
    numeric = tuple(all(is_json_number(cell) for cell in cells if cell) for cells in zip(*head, strict=True))
    return CsvSource(path, tuple(columns), delimiter, numeric)


def _width(path: Path, delimiter: str) -> int:
    """How many cells the header has when split at `delimiter`; 0 where that breaks its quoting."""
    try:
        _, header = next(_parsed(path, delimiter), (0, []))
    except BrokenRow:
        return 0
    return len(header)


def encoder(columns: Sequence[str], numeric: Sequence[bool]) -> Encoder:
    """A function from the cells of a row to its JSON, put together once a file: 40,000 rows/s of 31 columns.

    It writes into the list that it is given, in the order of `columns`; `numeric` is as in `CsvSource`.
    """
    template = "{" + ",".join(encode_basestring(name).replace("%", "%%") + ":%s" for name in columns) + "}"
    texts = [index for index, is_numeric in enumerate(numeric) if not is_numeric]
    numbers = [index for index, is_numeric in enumerate(numeric) if is_numeric]
    all_numbers = re.compile("\n".join([JSON_NUMBER_PATTERN] * len(numbers))).fullmatch

    def encode(row: list[str]) -> bytes:
        numeric_cells = [row[index] for index in numbers] if texts else row
        if not all_numbers("\n".join(numeric_cells)):
            for index in numbers:
                cell = row[index]
                if not is_json_number(cell):
                    row[index] = encode_basestring(cell) if cell else "null"
        for index in texts:
            cell = row[index]
            row[index] = encode_basestring(cell) if cell else "null"
        return (template % tuple(row)).encode()

    return encode


def _checked(rows: Iterator[tuple[int, list[str]]], path: Path, width: int) -> Iterator[tuple[int, list[str]]]:
    """The same rows, as long as each has `width` cells."""
    for line, row in rows:
        if len(row) != width:
            raise BrokenRow(
                f"a row has {len(row)} cells where the header has {width}",
                where=f"{path}:{line}",
                remedy="mend or remove that row (an unquoted delimiter inside a cell is the usual cause)",
            )
        yield line, row


def _parsed(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows with the line that each starts on, the header first; blank lines left out."""
    with _readable(path), _open_bytes(path) as raw:
        # The reader's own limit of 128 KiB is below what Kafka takes in a record.
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as e:
            raise BrokenRow(
                f"a row cannot be read: {e}",
                where=f"{path}:{line}",
                remedy="look for a quote in it that is opened and never closed, or closed in the middle of a cell",
            ) from e
        except UnicodeDecodeError as e:
            raise BrokenRow(
                "the file is not UTF-8",
                where=f"{path}:{_first_line_not_utf8(path)}",
                remedy="convert it, for example: iconv -f latin1 -t utf-8 OLD > NEW",
            ) from e


def _first_line_not_utf8(path: Path) -> int:
    """The decoder reads ahead of the rows, so the line is looked for again."""
    with _open_bytes(path) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


@contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where they start as gzip does (whatever the file is called)."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != _GZIP_MAGIC:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast(IO[bytes], unpacked)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the operating system and gzip say about the file into our errors."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise BrokenRow("the gzip file is cut off or damaged", where=str(path), remedy="fetch or pack it again") from e
    except FileNotFoundError as e:
        raise DataNotFound("the CSV is not there", where=str(path), remedy="check the path given with --data") from e
    except IsADirectoryError as e:
        raise DataNotFound("a directory stands where the CSV should be", where=str(path), remedy="name the file") from e
    except OSError as e:
        raise DataNotFound(
            f"the CSV cannot be read: {e.strerror}", where=str(path), remedy="check its permissions"
        ) from e


@dataclass(frozen=True)
class ColumnSpans:
    """In which rows of a file a column is sent; one that is not named is in all of them.

    By column, the first row (from 0) that has it, and the first that has it no longer.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any column comes or goes."""
        return bool(self.begins or self.ends)

    def columns_at(self, row: int, columns: Sequence[str]) -> list[int]:
        """The positions of the columns that a row has."""
        return [
            position
            for position, name in enumerate(columns)
            if self.begins.get(name, 0) <= row and (name not in self.ends or row < self.ends[name])
        ]

    def changes_after(self, row: int) -> list[int]:
        """The rows after `row` at which a column comes or goes, in order."""
        return sorted({change for change in (*self.begins.values(), *self.ends.values()) if change > row})


@dataclass(frozen=True)
class ChangingSource:
    """A CSV whose rows do not all have the same columns; made by `with_spans`."""

    source: CsvSource
    spans: ColumnSpans

    @cached_property
    def fingerprint(self) -> str:
        """Of the file and its spans: the same row with other columns is another payment, with an id of its own."""
        spans = orjson.dumps([self.spans.begins, self.spans.ends], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.source.fingerprint.encode() + spans).hexdigest()

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """The data rows from number `start` on, each as a JSON object with its columns; raises as `CsvSource.rows`."""
        rows = self.source.rows(start)
        for change in self.spans.changes_after(start):
            yield from self._encoded(islice(rows, change - start), start)
            start = change
        yield from self._encoded(rows, start)

    def _encoded(self, rows: Iterator[list[str]], first: int) -> Iterator[bytes]:
        source, held = self.source, self.spans.columns_at(first, self.source.columns)
        encode = encoder([source.columns[at] for at in held], [source.numeric[at] for at in held])
        if len(held) == len(source.columns):
            return map(encode, rows)
        pick = itemgetter(*held) if len(held) > 1 else lambda row: tuple(row[at] for at in held)
        return (encode(list(pick(row))) for row in rows)


def with_spans(source: CsvSource, spans: ColumnSpans) -> ChangingSource | CsvSource:
    """The source with columns that come and go; the source itself where none does.

    Raises SettingsError where a column is not in the file, or ends before it begins.
    """
    for name in (*spans.begins, *spans.ends):
        if name not in source.columns:
            raise SettingsError(
                f"there is no column {name!r} that could come or go",
                where=str(source.path),
                remedy=f"name one of {', '.join(source.columns)}"[:500],
            )
    for name in spans.begins.keys() & spans.ends.keys():
        if spans.ends[name] <= spans.begins[name]:
            raise SettingsError(
                f"the column {name!r} would end at row {spans.ends[name]}, before it begins",
                where="--column-from, --column-until",
                remedy="let it end after the row at which it begins",
            )
    return ChangingSource(source, spans) if spans else source
