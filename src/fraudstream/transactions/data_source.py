"""Opens payment files as one data set of canonical text, and yields its rows as JSON."""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.errors import BrokenRow, DataError, DataNotFound, EmptyData, SettingsError
from fraudstream.transactions.amounts import is_json_number
from fraudstream.transactions.archive_files import ArchiveFile
from fraudstream.transactions.column_spans import ColumnSpans
from fraudstream.transactions.csv_rows import open_csv_file
from fraudstream.transactions.files import OnBroken, RawFile, data_files, head, ignore, refuse
from fraudstream.transactions.formats import ColumnFormat, ColumnKind, FormatReader, decide
from fraudstream.transactions.label_reader import LABEL_COLUMN, LABEL_KEY_REMEDY, FraudList, payment_id
from fraudstream.transactions.reading_options import AS_RECOGNISED, NAMED_AFTER_DATA, ReadingOptions
from fraudstream.transactions.records import JSON_LINES, open_archive, open_json_array, open_json_lines, open_parquet

BLOCK_ROWS: Final = 8192
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True)
class AddedNumbers:
    """Columns that the files do not have: names, and a row of numbers for each data row; NaN is missing."""

    names: tuple[str, ...]
    values: NDArray[np.float64]

    def cells(self, start: int) -> Iterator[list[str]]:
        """Yield the cells of each row from number `start`."""
        for first in range(start, len(self.values), BLOCK_ROWS):
            block = self.values[first : first + BLOCK_ROWS]
            text = orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY).decode().replace("null", "")
            yield from (row.split(",") for row in text[2:-2].split("],["))


@dataclass(frozen=True)
class DataSource:
    """One or several files of the same columns, in the order of their names; created by `open_data`.

    Attributes:
        formats: How each column is written, of every file and then the label if it comes from a list of frauds.
        row_count: The number of rows, without broken ones that are left out.
        warnings: What may have been read wrongly, or was left out.
        added: Columns computed from the files' own, which follow those.
        spans: The rows in which columns are sent.
    """

    paths: tuple[Path, ...]
    files: tuple[RawFile, ...]
    options: ReadingOptions
    formats: Mapping[str, ColumnFormat]
    row_count: int
    warnings: Sequence[str]
    fraud_list: FraudList | None = None
    added: AddedNumbers | None = field(default=None, compare=False)
    spans: ColumnSpans = field(default_factory=ColumnSpans)

    @property
    def path(self) -> Path:
        """The file or folder, the first of several."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """The file's name, or that of the folder or the first of several."""
        others = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.path.name}{others}"

    @property
    def dialect(self) -> str:
        """What kind of files they are."""
        several = f"{len(self.files)} files: " if len(self.files) > 1 else ""
        return several + "; ".join(dict.fromkeys(file.dialect for file in self.files))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.formats)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The names of the columns without those that were added."""
        return self.columns if self.added is None else self.columns[: -len(self.added.names)]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """By column, whether its cells are JSON numbers."""
        return tuple(form.is_numeric for form in self.formats.values())

    @property
    def notes(self) -> dict[str, str]:
        """What is unusual in a column's cells, for those where something is."""
        return {name: ", ".join(form.notes) for name, form in self.formats.items() if form.notes}

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of the only file's bytes, or of those of all files and the options that change the reading.

        The same row with other columns is another payment, with its own id, so that spans have their own fingerprint.
        """
        digests = [each.digest() for each in self.files]
        # The label and the name of a file change no row.
        options = self.options.model_dump(exclude_defaults=True, exclude={"fraud_value", "labels"})
        if self.fraud_list is not None:
            digests.append(self.fraud_list.fingerprint)
        fingerprint = digests[0]
        if len(digests) > 1 or options:
            fingerprint = hashlib.sha256(orjson.dumps([digests, options], default=bool)).hexdigest()
        if self.spans != ColumnSpans():
            spans = orjson.dumps([self.spans.begins, self.spans.ends], option=orjson.OPT_SORT_KEYS)
            fingerprint = hashlib.sha256(fingerprint.encode() + spans).hexdigest()
        return fingerprint

    def rows(self, start: int = 0) -> Iterator[list[str]]:
        """Yield the data rows from number `start` (from 0), each as a list with a canonical cell per column.

        Blank lines are not rows and have no number. Raises BrokenRow if a file was changed.
        """
        frauds, columns = self.fraud_list, self.own_columns if self.fraud_list is None else self.own_columns[:-1]
        added = None if self.added is None else self.added.cells(start)
        key = None if frauds is None else columns.index(frauds.key)
        forms = enumerate(self.formats.values())
        conversions = [(index, form.canonical) for index, form in forms if form.canonical is not None]
        # Rows before `start` are checked too: the skipped rows must be those that were counted.
        for row in islice(_raw_rows(self.files, columns, self._on_broken), start, None):
            for index, convert in conversions:
                row[index] = convert(row[index])
            if frauds is not None and key is not None:
                row.append("1" if payment_id(row[key]) in frauds.reported else "0")
            if added is not None:
                row += next(added)
            yield row

    def with_numbers(self, names: Sequence[str], values: NDArray[np.float64]) -> "DataSource":
        """Return the same rows with columns of numbers added; raises DataError if the files have one of that name."""
        if taken := set(names).intersection(self.columns):
            what = (
                f"the data have a column {min(taken)!r}, as a feature is called that is computed from earlier payments"
            )
            raise DataError(what, where=self.name, remedy="rename the column")
        number = ColumnFormat(ColumnKind.NUMBER, is_numeric=True)
        added = AddedNumbers(tuple(names), np.ascontiguousarray(values))
        return replace(self, added=added, formats={**self.formats, **dict.fromkeys(names, number)})

    def with_spans(self, spans: ColumnSpans) -> "DataSource":
        """Return the same rows, which `json_rows` yields without columns that are not sent; raises SettingsError."""
        spans.check(self.columns, self.name)
        return replace(self, spans=spans)

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        """Yield the rows from number `start`, each as a JSON object in UTF-8, keys in file order; raises as `rows`.

        A JSON number in a numeric column is written unchanged, so that 149.62 stays 149.62; any other cell as a string;
        an empty cell as null.
        """
        rows, columns, numeric = self.rows(start), self.columns, self.numeric
        for count, sent in self.spans.stretches(columns, start):
            encode = encoder([columns[at] for at in sent], [numeric[at] for at in sent])
            for row in islice(rows, count):
                yield encode([row[at] for at in sent])

    def where(self, row: int | None = None) -> str:
        """Return the file and line, from 1, on which data row `row` starts (reads the files up to it)."""
        if row is None:
            return str(self.path)
        rows = ((file.path, line) for file in self.files for line, _ in file.rows(self._on_broken))
        path, line = next(islice(rows, row, None))
        return f"{path}:{line}"

    @property
    def _on_broken(self) -> OnBroken:
        return refuse if self.options.skip_broken is None else ignore


def _raw_rows(files: Sequence[RawFile], columns: tuple[str, ...], on_broken: OnBroken) -> Iterator[list[str]]:
    for file in files:
        rows = (row for _, row in file.rows(on_broken))
        if file.columns == columns:
            yield from rows
            continue
        # An index of -1 is the empty cell that is added to each row.
        indexes = [file.columns.index(name) if name in file.columns else -1 for name in columns]
        for row in rows:
            row.append("")
            yield [row[index] for index in indexes]


def open_data(paths: Path | Sequence[Path], options: ReadingOptions = AS_RECOGNISED) -> DataSource:
    """Open files, folders or an archive as one data set: CSV, JSON Lines or Parquet, each plain or compressed.

    Reads all rows once, to recognise how every column is written, and writes the file of broken rows.

    Raises:
        DataNotFound: A file is missing or cannot be read, or a folder holds none.
        EmptyData: There is no column or no row.
        DataError: Two columns have the same name, the files have different ones, or there seems to be no header.
        BrokenRow: A row cannot be read, or differs from the header in its number of cells.
        SettingsError: An option does not fit.
    """
    paths = (paths,) if isinstance(paths, Path) else tuple(paths)
    if not paths:
        raise DataNotFound("no file was named", where="--data", remedy="name a file or a folder with --data")
    if options.skip_broken == NAMED_AFTER_DATA:
        name = f"{paths[0].name.partition('.')[0]}.broken.csv"
        options = options.model_copy(update={"skip_broken": Path(name)})
    files = data_files(paths)
    archived = [path for path in files if ArchiveFile.parse(path) is not None]
    opened = [_open_file(path, options) for path in files if ArchiveFile.parse(path) is None]
    return open_files((*([open_archive(archived)] if archived else ()), *opened), options, paths)


def open_files(files: tuple[RawFile, ...], options: ReadingOptions, paths: tuple[Path, ...]) -> DataSource:
    """Open files or tables as `open_data` does, and raise the same; `paths` are what the user named."""
    columns = _common_columns(files)
    frauds = None if options.labels is None else _open_labels(options.labels, columns, options)
    readers = [FormatReader(name) for name in columns]
    broken: list[tuple[BrokenRow, str]] = []
    row_count = 0
    rows = _raw_rows(files, columns, refuse if options.skip_broken is None else lambda *row: broken.append(row))
    while block := list(islice(rows, BLOCK_ROWS)):
        for reader, cells in zip(readers, zip(*block, strict=True), strict=True):
            reader.read(cells)
        row_count += len(block)
    if not row_count:
        raise EmptyData("there is no row, but names of columns", where=str(files[0].path), remedy="use data with rows")
    warnings: list[str] = []
    if broken and options.skip_broken is not None:
        _write_broken(broken, options.skip_broken)
        left_out = f"{len(broken):,} broken row{'s were' if len(broken) > 1 else ' was'} left out"
        warnings.append(f"{left_out} and written to {options.skip_broken}")
    formats = decide(readers, any(file.delimiter == ";" for file in files), options)
    warnings += [each.warning for each in formats.values() if each.warning and not each.has_ambiguous_dates]
    if frauds is not None:
        formats[LABEL_COLUMN] = ColumnFormat(ColumnKind.NUMBER, is_numeric=True)
    return DataSource(paths, files, options, formats, row_count, warnings, frauds)


def _open_file(path: Path, options: ReadingOptions) -> RawFile:
    start = head(path)
    if start.startswith(_PARQUET):
        return open_parquet(path)
    text = start.translate(None, b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    if text.startswith((b"{", b"[{")):
        return (open_json_lines if text.startswith(b"{") else open_json_array)(path, options)
    return open_csv_file(path, options)


def _common_columns(files: Sequence[RawFile]) -> tuple[str, ...]:
    """Return the columns; raises DataError if the files have different ones and are not JSON Lines."""
    first = set(files[0].columns)
    for file in files:
        difference = [f"lacks {name!r}" for name in sorted(first - set(file.columns))]
        difference += [f"has {name!r}" for name in sorted(set(file.columns) - first)]
        if difference and not all(each.dialect.startswith(JSON_LINES) for each in files):
            what = f"this one {', '.join(difference)[:500]}, unlike {files[0].path.name}"
            raise DataError(
                f"the files have different columns: {what}",
                where=str(file.path),
                remedy="name files of the same columns",
            )
    return tuple(dict.fromkeys(name for file in files for name in file.columns))


def _write_broken(rows: Sequence[tuple[BrokenRow, str]], path: Path) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("line", "fault", "text"))
            writer.writerows((e.where.rpartition(":")[2], e.what, text.rstrip("\r\n")) for e, text in rows)
    except OSError as e:
        what = f"the broken rows cannot be written: {e.strerror}"
        raise DataError(what, where=str(path), remedy="--skip-broken FILE names another file") from e


def _open_labels(path: Path, columns: Sequence[str], options: ReadingOptions) -> FraudList:
    if LABEL_COLUMN in columns:
        what = f"the payments have a column {LABEL_COLUMN!r} already"
        raise SettingsError(what, where="--labels", remedy="leave out --labels, or rename it")
    labels = open_data(path, ReadingOptions(decimal=options.decimal, date_order=options.date_order))
    key = options.label_key or ""
    for names, whose in ((columns, "payments"), (labels.columns, "labels")):
        if key not in names:
            what = f"the {whose} have no column {key!r}; theirs are {', '.join(names)}"[:2000]
            raise SettingsError(what, where="--label-key", remedy=LABEL_KEY_REMEDY)
    cells = dict(zip(labels.columns, zip(*labels.rows(), strict=True), strict=True))
    return FraudList.of(labels.name, labels.fingerprint, key, cells, options.fraud_value)


def encoder(columns: Sequence[str], numeric: Sequence[bool]) -> Callable[[list[str]], bytes]:
    """Return a function from a row's cells, in the order of `columns`, to its JSON; `numeric` is as in `DataSource`."""
    template = "{" + ",".join(encode_basestring(name).replace("%", "%%") + ":%s" for name in columns) + "}"

    def encode(row: list[str]) -> bytes:
        values = (
            cell if is_numeric and is_json_number(cell) else encode_basestring(cell) if cell else "null"
            for cell, is_numeric in zip(row, numeric, strict=True)
        )
        return (template % tuple(values)).encode()

    return encode
