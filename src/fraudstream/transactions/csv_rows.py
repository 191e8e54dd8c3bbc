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
from fraudstream.transactions.files import OnBroken, RawFile, compression, encoding_of, ignore, open_text
from fraudstream.transactions.notation import is_date
from fraudstream.transactions.reading_options import ReadingOptions

LONGEST_CELL: Final = 16 * 1024 * 1024
"""In characters: a longer cell means an unclosed quote."""
_MOST_LINES: Final = 1000
"""Lines of a row: more mean an unclosed quote, so that it costs no more than its own line where it is left out."""
_DELIMITERS: Final = (",", ";", "\t", "|")
_HEAD_ROWS: Final = 50
_QUOTE_REMEDY: Final = "look for an unclosed quote, or one that is closed in the middle of a cell; or --skip-broken"
_ROW_REMEDY: Final = "fix or remove the row, or leave out all broken rows with --skip-broken"


@dataclass(frozen=True)
class _CsvReader:
    """Reads a CSV with a delimiter; `width` is the number of its columns, once it is known."""

    path: Path
    encoding: str
    skip_rows: int
    delimiter: str
    has_header: bool = True
    width: int = 0

    def rows(self, on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        """Yield the data rows, with the line that each starts on."""
        for line, row, text in islice(self.parse(on_broken), int(self.has_header), None):
            if len(row) == self.width:
                yield line, row
            else:
                on_broken(BrokenRow(self._fault(row), where=f"{self.path}:{line}", remedy=_ROW_REMEDY), "".join(text))

    def parse(self, on_broken: OnBroken) -> Iterator[tuple[int, list[str], list[str]]]:
        """Yield line, cells and text of each row with any number of cells, the header first, without blank lines."""
        # The reader's default limit of 128 KiB is below Kafka's record size.
        csv.field_size_limit(LONGEST_CELL)
        with open_text(self.path, self.encoding) as text:
            line, again, row = self.skip_rows + 1, deque[str](), list[str]()
            for _ in islice(text, self.skip_rows):
                pass
            while True:
                try:
                    for cells in csv.reader(_lines(text, again, row), delimiter=self.delimiter, strict=True):
                        if cells:
                            yield line, cells, row
                        line += len(row)
                        row.clear()
                    return
                except csv.Error as e:
                    fault = f"a row cannot be read: {e}"
                    on_broken(BrokenRow(fault, where=f"{self.path}:{line}", remedy=_QUOTE_REMEDY), row[0])
                    # Only the line with the open quote is lost.
                    again.extendleft(reversed(row[1:]))
                    line += 1
                    row.clear()

    def _fault(self, row: Sequence[str]) -> str:
        width = self.width
        first_line = row[0].splitlines()[:1] or [""]
        if len(row) == 1 and len(next(csv.reader(first_line, delimiter=self.delimiter))) == width:
            return "a row is one quoted cell that holds the whole row"
        if len(row) in (2 * width - 1, 2 * width) and width > 1:
            return f"two rows are glued together: a row has {len(row)} cells, but the header has {width}"
        cause = " (an unquoted delimiter inside a cell is the usual cause)" if len(row) > width else ""
        return f"a row has {len(row)} cell{'s' if len(row) > 1 else ''}, but the header has {width}{cause}"


def _lines(text: Iterator[str], again: deque[str], row: list[str]) -> Iterator[str]:
    """Yield the lines to read again and then those of the file, each also added to the current row."""
    while (line := again.popleft() if again else next(text, None)) is not None:
        row.append(line)
        if len(row) > _MOST_LINES:
            raise csv.Error("a quote is not closed")
        yield line


def open_csv_file(path: Path, options: ReadingOptions) -> RawFile:
    """Detect delimiter, encoding and header; raises EmptyData without a header, DataError if it seems to be none."""
    encoding = encoding_of(path, options.encoding)
    named = None if options.delimiter is None else {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    if named is not None and (len(named) != 1 or named in '"\r\n'):
        remedy = "name one character, as in ';' or tab"
        raise SettingsError(f"{named!r} cannot separate cells", where="--delimiter", remedy=remedy)
    heads: dict[str, list[list[str]]] = {}
    for each in (named,) if named else _DELIMITERS:
        parsed = _CsvReader(path, encoding, options.skip_rows, each).parse(ignore)
        heads[each] = [row for _, row, _ in islice(parsed, _HEAD_ROWS)]
    # The delimiter that splits most rows like the first one, into the most cells.
    delimiter = max(heads, key=lambda each: _agreement(heads[each]))
    rows = heads[delimiter]
    if not rows:
        raise EmptyData("the file is empty", where=str(path), remedy="use a file with a header and rows")
    header = rows[0]
    if options.has_header is False:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        header = [f"c{number}" for number in range(1, width + 1)]
    elif options.has_header is None and (cell := _data_cell(header)) is not None:
        raise DataError(
            f"there seems to be no header: the first row holds {cell[:40]!r}",
            where=f"{path}:{options.skip_rows + 1}",
            remedy="--no-header names the columns c1, c2, ...; --header takes the first row as their names",
        )
    if repeated := [name for name, times in Counter(header).items() if times > 1]:
        what = f"the header names the column {repeated[0]!r} twice"
        raise DataError(what, where=f"{path}:{options.skip_rows + 1}", remedy="rename one of them")
    has_header = options.has_header is not False
    reader = _CsvReader(path, encoding, options.skip_rows, delimiter, has_header, len(header))
    cells = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
    text = "UTF-8" if encoding == "utf-8-sig" else encoding
    parts = (f"CSV with {cells}", text, compression(path), "" if has_header else "no header")
    return RawFile(path, tuple(header), ", ".join(filter(None, parts)), reader.rows, delimiter)


def _agreement(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    width = len(rows[0]) if rows else 0
    return (sum(len(row) == width for row in rows), width) if width > 1 else (0, width)


def _data_cell(header: Sequence[str]) -> str | None:
    """Return a date, a fraction, or a whole number if half of the cells are ones that do not count up as pandas' do."""
    numbers = {at: number for at, cell in enumerate(header) if (number := parse_number(cell)) is not None}
    for at, cell in enumerate(header):
        if is_date(cell) or not numbers.get(at, 0.0).is_integer():
            return cell
    counts_up = all(after == before + 1 for before, after in pairwise(numbers.values()))
    return header[min(numbers)] if 2 * len(numbers) >= len(header) and not counts_up else None
