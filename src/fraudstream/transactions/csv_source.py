"""Opens CSV files in common dialects and yields their rows as JSON, optionally with a subset of the columns."""

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Final, cast

import orjson

from fraudstream.errors import BrokenRow, DataError, DataNotFound, EmptyData, SettingsError
from fraudstream.transactions.amounts import JSON_NUMBER_PATTERN, is_json_number

SNIFFED_ROWS: Final = 1000
DELIMITERS: Final = (",", ";", "\t")
LONGEST_CELL: Final = 16 * 1024 * 1024
"""In characters: a longer cell means an unclosed quote."""

_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class CsvSource:
    """A CSV file whose header has been read; created by `open_csv`.

    `numeric` is, by column, whether every non-empty cell of the first 1000 rows is a JSON number.
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    numeric: tuple[bool, ...]

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the file's bytes, in hexadecimal; computed on first access."""
        with _readable(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def rows(self, start: int = 0) -> Iterator[list[str]]:
        """Yield the data rows from number `start` (from 0), each as a list with a cell per column.

        Blank lines are not rows and have no number. Raises BrokenRow if a row differs from the header in its number
        of cells, is not UTF-8, or has invalid quoting.
        """
        rows = _parsed(self.path, self.delimiter)
        next(rows, None)
        width = len(self.columns)
        # Rows before `start` are checked too: the skipped rows must be those that were counted.
        return (row for _, row in islice(_checked(rows, self.path, width), start, None))

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """Yield the rows from number `start`, each as a JSON object in UTF-8, keys in file order; raises as `rows`.

        A JSON number in a numeric column is written unchanged, so that 149.62 stays 149.62; any other cell as a string;
        an empty cell as null.
        """
        return map(encoder(self.columns, self.numeric), self.rows(start))

    def line_of(self, row: int) -> int:
        """Return the line of the file, from 1, on which data row `row` starts (reads the file up to it)."""
        rows = _parsed(self.path, self.delimiter)
        next(rows, None)
        line, _ = next(islice(rows, row, None))
        return line


def open_csv(path: Path) -> CsvSource:
    """Detect delimiter, names and numeric columns from the header and the first 1000 rows.

    Commas, semicolons or tabs; quoted or not; with or without a byte-order mark; plain or gzip.

    Raises:
        DataNotFound: The file is missing or cannot be read.
        EmptyData: The file is empty, or has a header and no row.
        DataError: Two columns have the same name.
        BrokenRow: One of the first 1000 rows cannot be read.
    """
    with _readable(path):
        delimiter = max(DELIMITERS, key=lambda candidate: _width(path, candidate))
        rows = _parsed(path, delimiter)
        _, columns = next(rows, (0, []))
        if not columns:
            raise EmptyData("the CSV is empty", where=str(path), remedy="use a file with a header and rows")
        repeated = [name for name, times in Counter(columns).items() if times > 1]
        if repeated:
            raise DataError(
                f"the header names the column {repeated[0]!r} twice", where=f"{path}:1", remedy="rename one of the two"
            )
        head = [row for _, row in islice(_checked(rows, path, len(columns)), SNIFFED_ROWS)]
    if not head:
        raise EmptyData("the CSV has a header and no row", where=str(path), remedy="use a file with rows")
    numeric = tuple(all(is_json_number(cell) for cell in cells if cell) for cells in zip(*head, strict=True))
    return CsvSource(path, tuple(columns), delimiter, numeric)


def _width(path: Path, delimiter: str) -> int:
    """Return the number of header cells when split at `delimiter`; 0 if that breaks its quoting."""
    try:
        _, header = next(_parsed(path, delimiter), (0, []))
    except BrokenRow:
        return 0
    return len(header)


def encoder(columns: Sequence[str], numeric: Sequence[bool]) -> Callable[[list[str]], bytes]:
    """Return a function from the cells of a row to its JSON, built once per file: 40,000 rows/s of 31 columns.

    It modifies the list of cells, which is in the order of `columns`; `numeric` is as in `CsvSource`.
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
    """Yield the rows unchanged, and check that each has `width` cells."""
    for line, row in rows:
        if len(row) != width:
            raise BrokenRow(
                f"a row has {len(row)} cells, but the header has {width}",
                where=f"{path}:{line}",
                remedy="fix or remove that row (an unquoted delimiter inside a cell is the usual cause)",
            )
        yield line, row


def _parsed(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the line that each starts on, the header first, without blank lines."""
    with _readable(path), _open_bytes(path) as raw:
        # The reader's default limit of 128 KiB is below Kafka's record size.
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
                remedy="look for an unclosed quote, or one that is closed in the middle of a cell",
            ) from e
        except UnicodeDecodeError as e:
            raise BrokenRow(
                "the file is not UTF-8",
                where=f"{path}:{_first_line_not_utf8(path)}",
                remedy="convert it, for example: iconv -f latin1 -t utf-8 OLD > NEW",
            ) from e


def _first_line_not_utf8(path: Path) -> int:
    """Find the line again, as the decoder reads ahead of the rows."""
    with _open_bytes(path) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


@contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open the file's bytes, decompressed if they have the gzip magic number (whatever the file is called)."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != _GZIP_MAGIC:
            yield file
            return
        with gzip.open(file) as decompressed:
            yield cast(IO[bytes], decompressed)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Convert operating system and gzip errors about the file into our errors."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise BrokenRow("the gzip file is damaged", where=str(path), remedy="download or compress it again") from e
    except FileNotFoundError as e:
        raise DataNotFound("the CSV is not there", where=str(path), remedy="check the path given with --data") from e
    except IsADirectoryError as e:
        raise DataNotFound("the CSV path is a directory", where=str(path), remedy="give the path of a file") from e
    except OSError as e:
        raise DataNotFound(
            f"the CSV cannot be read: {e.strerror}", where=str(path), remedy="check its permissions"
        ) from e


@dataclass(frozen=True)
class ColumnSpans:
    """The rows of a file in which columns are sent; a column without a span is in all of them.

    By column, the first row (from 0) with it, and the first row without it again.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any column begins or ends."""
        return bool(self.begins or self.ends)

    def columns_at(self, row: int, columns: Sequence[str]) -> list[int]:
        """Return the indexes of the columns that a row has."""
        return [
            index
            for index, name in enumerate(columns)
            if self.begins.get(name, 0) <= row and (name not in self.ends or row < self.ends[name])
        ]

    def changes_after(self, row: int) -> list[int]:
        """Return the rows after `row` at which a column begins or ends, in order."""
        return sorted({change for change in (*self.begins.values(), *self.ends.values()) if change > row})


@dataclass(frozen=True)
class ChangingSource:
    """A CSV whose rows differ in their columns; created by `with_spans`."""

    source: CsvSource
    spans: ColumnSpans

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the file and its spans: the same row with other columns is another payment, with its own id."""
        spans = orjson.dumps([self.spans.begins, self.spans.ends], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.source.fingerprint.encode() + spans).hexdigest()

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """Yield the rows from number `start`, each as a JSON object with its columns; raises as `CsvSource.rows`."""
        rows = self.source.rows(start)
        for change in self.spans.changes_after(start):
            yield from self._encoded(islice(rows, change - start), start)
            start = change
        yield from self._encoded(rows, start)

    def _encoded(self, rows: Iterator[list[str]], first: int) -> Iterator[bytes]:
        source, indexes = self.source, self.spans.columns_at(first, self.source.columns)
        encode = encoder([source.columns[at] for at in indexes], [source.numeric[at] for at in indexes])
        return (encode([row[at] for at in indexes]) for row in rows)


def with_spans(source: CsvSource, spans: ColumnSpans) -> ChangingSource | CsvSource:
    """Return the source with the column spans; the source itself if there are none.

    Raises SettingsError if a column is not in the file, or ends before it begins.
    """
    for name in (*spans.begins, *spans.ends):
        if name not in source.columns:
            remedy = f"name one of {', '.join(source.columns)}"[:500]
            raise SettingsError(f"there is no column {name!r} for a span", where=str(source.path), remedy=remedy)
    for name in spans.begins.keys() & spans.ends.keys():
        if spans.ends[name] <= spans.begins[name]:
            raise SettingsError(
                f"the column {name!r} would end at row {spans.ends[name]}, before it begins",
                where="--column-from, --column-until",
                remedy="use an end after the row at which it begins",
            )
    return ChangingSource(source, spans) if spans else source
