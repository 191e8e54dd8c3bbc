"""The profile of a CSV: its label column, which of its two values means fraud, and what its other columns are."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import LabelError
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.column_reader import BLOCK_ROWS, ColumnKind, ColumnProfile, ColumnReader
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.times import TimeOrder, find_time

# Without case, underscores and the like, the likeliest first: PaySim has isFraud and isFlaggedFraud.
_USUAL_NAMES: Final = (
    "class",
    "isfraud",
    "txfraud",
    "fraud",
    "fraudbool",
    "isfraudulent",
    "fraudulent",
    "fraudreported",
    "fraudflag",
    "fraudlabel",
    "label",
    "target",
)
_MEANS_FRAUD: Final = frozenset({"1", "true", "yes", "t", "y", "fraud", "fraudulent"})
_MEANS_LEGITIMATE: Final = frozenset(
    {"0", "-1", "false", "no", "f", "n", "legitimate", "legit", "genuine", "normal", "nonfraud", "notfraud"}
)
_SHOWN: Final = 40


@dataclass(frozen=True)
class Label:
    """The label column, row by row, with the values that mean legitimate and fraud as they are in the CSV."""

    name: str
    legitimate: str
    fraud: str
    is_fraud: NDArray[np.bool_]


def find_label(source: CsvSource, wanted: str | None) -> int:
    """The position of the label column: the one that is wanted, or the one with a usual name.

    Raises LabelError, with the columns, where there is none.
    """
    columns = source.columns
    if wanted in columns:
        return columns.index(wanted)
    simple = [_simplified(name) for name in columns]
    for name in (_simplified(wanted),) if wanted is not None else _USUAL_NAMES:
        if name in simple:
            return simple.index(name)
    what = f"there is no column {wanted!r}" if wanted is not None else "no column has the usual name of a label"
    raise LabelError(
        f"{what}; the columns are {', '.join(columns)}"[:2000],
        where=f"{source.path}:1",
        remedy="name the column that says which rows are fraud with --label",
    )


class LabelReader:
    """Reads the label's cells block by block."""

    def __init__(self, source: CsvSource, index: int) -> None:
        """Take the CSV, for the messages, and the position of the label's column in it."""
        self._source = source
        self._name = source.columns[index]
        self._code_by_cell: dict[str, int] = {}
        self._first_cells: dict[str, str] = {}
        self._blocks: list[NDArray[np.int8]] = []
        self._rows = 0

    def read(self, cells: Sequence[str]) -> None:
        """Take the next cells of the column; raises LabelError where one is empty or holds a third value."""
        codes = self._code_by_cell
        for cell in dict.fromkeys(cells):
            if cell not in codes:
                codes[cell] = self._code(cell, cells)
        self._blocks.append(np.fromiter((codes[cell] for cell in cells), np.int8, len(cells)))
        self._rows += len(cells)

    def label(self) -> Label:
        """The label, once every cell was read.

        Raises LabelError where there is one class only, or it is not clear which of the two values means fraud.
        """
        values = list(self._first_cells)
        cells = list(self._first_cells.values())
        if len(values) == 1:
            raise LabelError(
                f"the label column {self._name!r} has one class only: every row says {cells[0]!r}",
                where=str(self._source.path),
                remedy="give a CSV with both legitimate and fraudulent rows",
            )
        fraud = _index_of_fraud(values)
        if fraud is None:
            raise LabelError(
                f"the label column {self._name!r} holds {cells[0]!r} and {cells[1]!r}: neither is known to mean fraud",
                where=str(self._source.path),
                remedy="write 1 for fraud and 0 for legitimate (true/false, yes/no serve too), or name another --label",
            )
        return Label(self._name, cells[1 - fraud], cells[fraud], np.concatenate(self._blocks) == fraud)

    def _code(self, cell: str, cells: Sequence[str]) -> int:
        value = _canonical(cell)
        if value and value not in self._first_cells and len(self._first_cells) < 2:
            self._first_cells[value] = cell
        if value in self._first_cells:
            return list(self._first_cells).index(value)
        known = " and ".join(repr(first[:_SHOWN]) for first in self._first_cells.values())
        found = f"holds {cell[:_SHOWN]!r} beside {known}" if value else "is empty in a row"
        raise LabelError(
            f"the label column {self._name!r} is not binary: it {found}",
            where=f"{self._source.path}:{self._source.line_of(self._rows + list(cells).index(cell))}",
            remedy="give a label of two values, 1 for fraud and 0 for legitimate, or name another column with --label",
        )


def _simplified(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _canonical(cell: str) -> str:
    """One spelling for all of "1", "1.0", " 1" and "'1'", and for all of "True", "TRUE"."""
    text = cell.strip().strip("'").lower()
    number = parse_number(text)
    return f"{number:g}" if number is not None else text


def _index_of_fraud(values: Sequence[str]) -> int | None:
    """Which of the two means fraud: by the word, else the greater of two numbers."""
    words = [_simplified(value) if parse_number(value) is None else value for value in values]
    for fraud in (0, 1):
        if words[fraud] in _MEANS_FRAUD and words[1 - fraud] in _MEANS_LEGITIMATE:
            return fraud
    numbers = [parse_number(value) for value in values]
    if numbers[0] is not None and numbers[1] is not None:
        return 0 if numbers[0] > numbers[1] else 1
    return None


__all__ = ["ColumnKind", "ColumnProfile", "CsvProfile", "Statistics", "profile", "statistics"]

_QUANTILES: Final = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True)
class Statistics:
    """The distribution of a column over some rows, missing values left out; `quantiles` at 0, 5 %, ..., 100 %."""

    median: float
    minimum: float
    maximum: float
    p01: float
    p99: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class CsvProfile:
    """What is in a CSV: every column, in file order; `time` orders the rows, None where only the file's order does."""

    source: CsvSource
    rows: int
    label: Label
    columns: tuple[ColumnProfile, ...]
    time: TimeOrder | None

    @property
    def frauds(self) -> int:
        """Rows whose label says fraud."""
        return int(self.label.is_fraud.sum())


def profile(
    source: CsvSource,
    label: str | None = None,
    *,
    wanted: Collection[str] = (),
    unread: Collection[str] = (),
) -> CsvProfile:
    """Read the whole file once; numbers take 8 bytes a cell (1.47 million rows of 9 columns: 15 s, 276 MB in all).

    `label` None looks for one of the usual names. Of columns in `wanted` texts are kept however many distinct ones
    there are; those in `unread` are no features whatever is in them: a text among their numbers is no error.

    Raises:
        LabelError: No label column, a label that is not binary, or one class only.
        NotANumber: A text is in a column of which most cells are numbers.
        BrokenRow: A row cannot be read.
    """
    label_index = find_label(source, label)
    label_reader = LabelReader(source, label_index)
    readers = {
        index: ColumnReader(name, is_wanted=name in wanted, is_unread=name in unread)
        for index, name in enumerate(source.columns)
        if index != label_index
    }
    rows = 0
    for block in _blocks(source.rows()):
        cells_by_column = list(zip(*block, strict=True))
        label_reader.read(cells_by_column[label_index])
        for index, reader in readers.items():
            reader.read(cells_by_column[index])
        rows += len(block)
    found_label = label_reader.label()
    columns = {index: reader.column(source) for index, reader in readers.items()}
    columns[label_index] = ColumnProfile(found_label.name, ColumnKind.LABEL, 0, np.empty(0), is_non_decreasing=False)
    numbers = {column.name: column.values for column in columns.values() if column.kind is ColumnKind.NUMBER}
    dates = {column.name: column.values for column in columns.values() if column.kind is ColumnKind.DATE}
    return CsvProfile(
        source,
        rows,
        found_label,
        tuple(columns[index] for index in range(len(source.columns))),
        find_time(numbers, dates, source.columns),
    )


def statistics(values: NDArray[np.float64]) -> Statistics | None:
    """Median, range, percentiles and 21 quantiles of the values that are not missing; None where all are."""
    present = values[~np.isnan(values)]
    if not len(present):
        return None
    p01, median, p99 = (float(value) for value in np.quantile(present, (0.01, 0.5, 0.99)))
    quantiles = tuple(np.quantile(present, _QUANTILES).tolist())
    return Statistics(median, float(present.min()), float(present.max()), p01, p99, quantiles)


def _blocks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while block := list(islice(rows, BLOCK_ROWS)):
        yield block
