"""Reads CSV files in common dialects, and names the fault of a row that cannot be read."""

import csv
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

from fraudstream.errors import BrokenRow, DataError, EmptyData, SettingsError
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.files import BrokenRows, RawFile, compression, encoding_of, open_text
from fraudstream.transactions.notation import is_date
from fraudstream.transactions.reading_options import ReadingOptions

LONGEST_CELL: Final = 16 * 1024 * 1024
"""In characters: a longer cell means an unclosed quote."""
_DELIMITERS: Final = (",", ";", "\t", "|")
_HEAD_ROWS: Final = 50
_MOST_LINES: Final = 100
"""Lines of a row, where broken rows are skipped: a quote that is not closed then costs no more than its line."""
_QUOTE_REMEDY: Final = "look for an unclosed quote, or one that is closed in the middle of a cell; or --skip-broken"


@dataclass(frozen=True)
class CsvFile(RawFile):
    """A CSV whose header has been read."""

    delimiter: str
    encoding: str
    skip_rows: int
    has_header: bool

    def rows(self, on_broken: BrokenRows | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the line that it starts on, without blank lines."""
        width, is_header = len(self.columns), self.has_header
        for line, row, text in parse(self.path, self.delimiter, self.encoding, self.skip_rows, on_broken):
            if is_header:
                is_header = False
            elif len(row) == width:
                yield line, row
            elif on_broken is not None:
                on_broken(line, self._fault(row), "".join(text))
            else:
                remedy = "fix or remove the row, or leave out all broken rows with --skip-broken"
                raise BrokenRow(self._fault(row), where=f"{self.path}:{line}", remedy=remedy)

    def _fault(self, row: Sequence[str]) -> str:
        width = len(self.columns)
        first_line = row[0].splitlines()[:1] or [""]
        if len(row) == 1 and len(next(csv.reader(first_line, delimiter=self.delimiter))) == width:
            return "a row is one quoted cell that holds the whole row"
        if len(row) in (2 * width - 1, 2 * width) and width > 1:
            return f"two rows are glued together: a row has {len(row)} cells, but the header has {width}"
        cause = " (an unquoted delimiter inside a cell is the usual cause)" if len(row) > width else ""
        return f"a row has {len(row)} cell{'s' if len(row) > 1 else ''}, but the header has {width}{cause}"


def open_csv_file(path: Path, options: ReadingOptions) -> CsvFile:
    """Detect delimiter, encoding and header; raises EmptyData without a header, DataError if it seems to be none."""
    encoding = encoding_of(path, options.encoding)

    def first_rows(delimiter: str) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            rows += (row for _, row, _ in islice(parse(path, delimiter, encoding, options.skip_rows), _HEAD_ROWS))
        except BrokenRow as e:
            if not isinstance(e.__cause__, csv.Error):
                raise
        return rows

    named = None if options.delimiter is None else {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    if named is not None and (len(named) != 1 or named in '"\r\n'):
        remedy = "name one character, as in ';' or tab"
        raise SettingsError(f"{named!r} cannot separate cells", where="--delimiter", remedy=remedy)
    candidates = (named,) if named else _DELIMITERS
    heads = {delimiter: first_rows(delimiter) for delimiter in candidates}
    # The delimiter that splits most rows like the first one, into the most cells.
    delimiter = max(heads, key=lambda each: _agreement(heads[each]))
    rows = heads[delimiter]
    if not rows:
        raise EmptyData("the file is empty", where=str(path), remedy="use a file with a header and rows")
    header = rows[0]
    if options.has_header is False:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        header = [f"c{number}" for number in range(1, width + 1)]
    elif options.has_header is None and _is_data(header):
        example = next(cell for cell in header if parse_number(cell) is not None or is_date(cell))
        raise DataError(
            f"there seems to be no header: the first row holds {example[:40]!r}",
            where=f"{path}:{options.skip_rows + 1}",
            remedy="--no-header names the columns c1, c2, ...; --header takes the first row as their names",
        )
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        what = f"the header names the column {repeated[0]!r} twice"
        raise DataError(what, where=f"{path}:{options.skip_rows + 1}", remedy="rename one of them")
    cells = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
    text = "UTF-8" if encoding == "utf-8-sig" else encoding
    has_header = options.has_header is not False
    parts = (f"CSV with {cells}", text, compression(path), "" if has_header else "no header")
    dialect = ", ".join(filter(None, parts))
    return CsvFile(path, tuple(header), dialect, delimiter, encoding, options.skip_rows, has_header)


def _agreement(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    width = len(rows[0]) if rows else 0
    return (sum(len(row) == width for row in rows), width) if width > 1 else (0, width)


def _is_data(header: Sequence[str]) -> bool:
    """Return whether it has a date or a fraction, or is half of whole numbers that do not count up as pandas' do."""
    numbers = [number for cell in header if (number := parse_number(cell)) is not None]
    if any(is_date(cell) for cell in header) or not all(number.is_integer() for number in numbers):
        return True
    counts_up = all(after == before + 1 for before, after in pairwise(numbers))
    return 2 * len(numbers) >= len(header) and not counts_up


class _Lines:
    """Feeds a CSV reader, and remembers the lines of its current row."""

    def __init__(self, lines: Iterator[str], first: int, most: float) -> None:
        self._lines, self._again, self._most = lines, deque[str](), most
        self.number, self.row = first, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.row) >= self._most:
            raise csv.Error("a quote is not closed")
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        return line

    def next_row(self) -> None:
        """Begin the next row."""
        self.number += len(self.row)
        self.row = []

    def take_back(self) -> str:
        """Return the first line of the row; the others are fed again."""
        first, *others = self.row
        self._again.extendleft(reversed(others))
        self.row = [first]
        return first


def parse(
    path: Path, delimiter: str, encoding: str, skip_rows: int, on_broken: BrokenRows | None = None
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the line, cells and text of each row with any number of cells, the header first, without blank lines."""
    # The reader's default limit of 128 KiB is below Kafka's record size.
    csv.field_size_limit(LONGEST_CELL)
    with open_text(path, encoding) as text:
        for _ in islice(text, skip_rows):
            pass
        lines = _Lines(text, skip_rows + 1, float("inf") if on_broken is None else _MOST_LINES)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as e:
                fault = f"a row cannot be read: {e}"
                if on_broken is None:
                    raise BrokenRow(fault, where=f"{path}:{lines.number}", remedy=_QUOTE_REMEDY) from e
                on_broken(lines.number, fault, lines.take_back())
            else:
                if row is None:
                    return
                if row:
                    yield lines.number, row, lines.row
            lines.next_row()
