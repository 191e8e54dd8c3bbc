"""Profiles payment data: the label, the other columns, what orders the rows, and what is unclear about them."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.errors import DataError
from fraudstream.transactions.amounts import is_missing, parse_number
from fraudstream.transactions.data_source import BLOCK_ROWS, DataSource
from fraudstream.transactions.formats import ColumnFormat, ColumnKind
from fraudstream.transactions.label_reader import LABEL_COLUMN, Categories, Label, find_label, payment_id, read_label
from fraudstream.transactions.notation import canonical_date
from fraudstream.transactions.reading_options import DateOrder
from fraudstream.transactions.times import OTHER_WORDS, TimeOrder, find_time, seconds_of_dates, words_of

MOST_VALUES: Final = 1000
"""A text column with more distinct values is an identifier; its values are dropped unless a user includes it."""
_MOST_MIXED_VALUES: Final = 100
_MESSAGE_CHARS: Final = 40
NEARLY_ALL: Final = 0.95
"""Share of the frauds that were reported within the label delay."""
_NOTHING: Final = np.empty(0)


def least_rows(rows: int) -> int:
    """Return the minimum number of rows with a text for it to be learned from: 20, or a thousandth of the rows."""
    return max(20, math.ceil(rows * 0.001))


@dataclass(frozen=True)
class ColumnProfile:
    """The profile of a column.

    Attributes:
        missing: Rows without a value (empty; of numbers also NaN, null, not finite).
        values: By row, NaN if missing: the numbers, or a date's seconds since 1970; empty for the other kinds.
        categories: The values of a text column; None for the other kinds and if there are more than 1,000.
        sampled: Of a text column with more than 1,000 values, how many of them were counted, and their rows.
    """

    name: str
    kind: ColumnKind
    missing: int
    values: NDArray[np.float64]
    categories: Categories | None = None
    sampled: tuple[int, int] | None = None

    @cached_property
    def rows_per_value(self) -> float:
        """How many rows have the same value, on average."""
        present = self.values[~np.isnan(self.values)]
        values, rows = self.sampled or (len(np.unique(present)), len(present))
        if self.categories is not None:
            values, rows = len(self.categories.values), int((self.categories.codes >= 0).sum())
        return rows / max(values, 1)


@dataclass(frozen=True)
class CsvProfile:
    """The columns of a file, in file order; `time` orders the rows, None if they are in file order.

    `label_delay` is how many seconds after the payment nearly all frauds were reported, if the labels say it;
    `warnings` are what affects the figures or may have been read wrongly, the most important first.
    """

    source: DataSource
    rows: int
    label: Label
    columns: tuple[ColumnProfile, ...]
    time: TimeOrder | None
    warnings: Sequence[str]
    label_delay: float | None

    @property
    def frauds(self) -> int:
        """Number of rows labelled as fraud."""
        return int(self.label.is_fraud.sum())


class ColumnReader:
    """Collects a column's numbers, dates or texts."""

    def __init__(self, name: str, form: ColumnFormat, *, is_included: bool = False, is_excluded: bool = False) -> None:
        """Start a column, whose cells are written in a format.

        If a user named it as a feature (`is_included`), any number of distinct texts is stored; if a user excluded it
        (`is_excluded`), a text among its numbers is not an error.
        """
        self.name = name
        self._form = form
        self._most_values = None if is_included else MOST_VALUES
        self._is_excluded = is_excluded
        self._rows = 0
        self._missing = 0
        self._first_text: tuple[int, str] | None = None
        self._blocks: list[NDArray[np.float64]] = []
        self._codes: dict[str, int] | None = {}
        self._code_blocks: list[NDArray[np.int32]] = []
        self._sample: frozenset[str] = frozenset()
        self._sampled_rows = 0

    def read(self, cells: Sequence[str]) -> None:
        """Read the next cells, at most `BLOCK_ROWS`."""
        if self._form.kind is ColumnKind.DATE:
            seconds = seconds_of_dates(cells)
            self._blocks.append(np.full(len(cells), np.nan) if seconds is None else seconds)
        elif self._form.kind is ColumnKind.NUMBER and not self._form.is_mixed:
            self._blocks.append(_numbers(cells))
        elif self._form.kind is not ColumnKind.EMPTY:
            self._read_texts(cells)
        self._rows += len(cells)

    def column(self, where: Callable[[int], str]) -> ColumnProfile:
        """Return the profile, once every cell was read; `where` describes a row's place.

        Raises DataError if a few texts are in a numeric column that is not excluded.
        """
        if self._form.kind is ColumnKind.EMPTY:
            return ColumnProfile(self.name, ColumnKind.EMPTY, self._rows, _NOTHING)
        if self._blocks:
            values = np.concatenate(self._blocks)
            return ColumnProfile(self.name, self._form.kind, int(np.isnan(values).sum()), values)
        categories = None if self._codes is None else Categories(tuple(self._codes), np.concatenate(self._code_blocks))
        if self._first_text is not None and not self._is_excluded and not _is_code(categories):
            row, text = self._first_text
            raise DataError(
                f"the text {text[:_MESSAGE_CHARS]!r} is in the numeric column {self.name!r}",
                where=where(row),
                remedy="correct the cell, leave it empty if unknown, or leave the column out with --exclude",
            )
        sampled = (len(self._sample), self._sampled_rows) if self._sample else None
        return ColumnProfile(self.name, ColumnKind.TEXT, self._missing, _NOTHING, categories, sampled)

    def _read_texts(self, cells: Sequence[str]) -> None:
        self._missing += cells.count("")
        if self._form.is_mixed and self._first_text is None:
            texts = ((row, cell) for row, cell in enumerate(cells, self._rows) if parse_number(cell) is None)
            self._first_text = next(((row, cell) for row, cell in texts if not is_missing(cell)), None)
        if (codes := self._codes) is None:
            self._sampled_rows += sum(map(self._sample.__contains__, cells))
            return
        block = (codes.setdefault(cell, len(codes)) if cell else -1 for cell in cells)
        self._code_blocks.append(np.fromiter(block, np.int32, len(cells)))
        if self._most_values is not None and len(codes) > self._most_values:
            self._codes, self._sample = None, frozenset(codes)
            self._sampled_rows = self._rows + len(cells) - self._missing
            self._code_blocks.clear()


def _is_code(categories: Categories | None) -> bool:
    """Return whether integers with some texts among them are categories (ages 0 to 6 and U), not typing errors."""
    if categories is None or len(categories.values) > _MOST_MIXED_VALUES:
        return False
    numbers = [parse_number(value) for value in categories.values]
    if not all(number is None or number.is_integer() for number in numbers):
        return False
    counts = categories.counts(np.ones(len(categories.codes), dtype=bool))
    texts = int(counts[[number is None for number in numbers]].sum())
    return texts >= least_rows(len(categories.codes))


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """Parse numbers at once if each is a JSON number or missing: orjson is 6.6 times as fast as a loop."""
    try:
        values = orjson.loads(f"[{','.join([cell or 'null' for cell in cells])}]")
    except orjson.JSONDecodeError:
        values = [parse_number(cell) for cell in cells]
    numbers = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def profile(
    source: DataSource,
    label: str | None = None,
    *,
    included: Collection[str] = (),
    excluded: Collection[str] = (),
    is_labelled: bool = True,
) -> CsvProfile:
    """Profile a file in one pass; numbers take 8 bytes a cell (1.47 million rows of 9 columns: 15 s, 276 MB in all).

    `label` None looks for one of the usual names. For columns in `included` any number of distinct texts is stored;
    those in `excluded` are not features, so that a text among their numbers is not an error. Without `is_labelled`, no
    row is a fraud.

    Raises:
        LabelError: No label column, a label that is not binary, or one class only.
        BrokenRow: A row cannot be read.
        DataError: A text is in a column with mostly numbers, or no fraud of a list is among the rows.
    """
    names, frauds = source.columns, source.fraud_list
    name = LABEL_COLUMN if frauds and label is None else label
    label_index = find_label(names, name, source.where()) if is_labelled else None
    parts = _time_parts(names)
    readers = [
        ColumnReader(name, form, is_included=name in included, is_excluded=name in excluded)
        for name, form in source.formats.items()
    ]
    if label_index is not None:
        readers[label_index] = ColumnReader(names[label_index], ColumnFormat(), is_included=True)
    reported, moments = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    matched: set[str] = set()
    remaining = source.rows()
    while block := list(islice(remaining, BLOCK_ROWS)):
        cells_by_column = list(zip(*block, strict=True))
        for reader, cells in zip(readers, cells_by_column, strict=True):
            reader.read(cells)
        if parts:
            times = zip(*(cells_by_column[names.index(part)] for part in parts), strict=True)
            moments.append(np.array([_moment(row) for row in times]))
        if frauds is not None:
            ids = [payment_id(cell) for cell in cells_by_column[names.index(frauds.key)]]
            matched |= frauds.reported.keys() & ids
            reported.append(np.array([frauds.reported.get(each, np.nan) for each in ids]))
    # First, before the label seems to have one class as no id fits.
    warnings = list(source.warnings) if frauds is None else [*frauds.warnings(matched), *source.warnings]
    columns = [reader.column(source.where) for reader in readers]
    labels = Label("", "", "", np.zeros(source.row_count, np.bool_))
    if label_index is not None and (texts := columns[label_index].categories) is not None:
        fraud_value = None if frauds else source.options.fraud_value
        labels = read_label(names[label_index], texts, source.where, fraud_value)
        columns[label_index] = ColumnProfile(labels.name, ColumnKind.LABEL, 0, _NOTHING)
    ordered = [column for column in columns if column.kind in (ColumnKind.NUMBER, ColumnKind.DATE)]
    time = find_time({column.name: (column.values, column.kind is ColumnKind.DATE) for column in ordered})
    if parts and (time is None or time.seconds is None or time.column in parts):
        values = np.concatenate(moments)
        if not np.isnan(values).any() and np.ptp(values):
            time = TimeOrder(", ".join(parts), values, True, bool((np.diff(values) >= 0).all()), parts)
    if time is None:
        unclear = [form.warning for form in source.formats.values() if form.has_ambiguous_dates]
        gaps = [each for each in columns if each.kind is ColumnKind.DATE and each.missing]
        unclear += [f"column {each.name!r} lacks a date in {each.missing:,} rows" for each in gaps]
        warnings = [*(f"figures are not split by time: {warning}" for warning in unclear), *warnings]
    delay = None
    if reported and time is not None and time.seconds is not None:
        delays = np.concatenate(reported) - time.seconds
        if not np.isnan(delays).all():
            delay = max(float(np.nanquantile(delays, NEARLY_ALL)), 0.0)
    return CsvProfile(source, source.row_count, labels, tuple(columns), time, warnings, delay)


def _time_parts(columns: Sequence[str]) -> tuple[str, ...]:
    """Find columns by their last words, after the same words: `tx_year`, `tx_month`, `tx_day` and `tx_time`."""
    by_words = {tuple(words_of(name)): name for name in reversed(columns)}
    for *before, last in filter(None, by_words):
        year, month, day, date, time, hour = (
            by_words.get((*before, part)) for part in ("year", "month", "day", "date", "time", "hour")
        )
        if not OTHER_WORDS.isdisjoint(before):  # birth_year
            continue
        if last == "year" and month and day:
            return tuple(filter(None, (year, month, day, time or hour)))
        if last == "date" and date and time:
            return date, time
    return ()


@lru_cache(maxsize=BLOCK_ROWS)
def _moment(parts: tuple[str, ...]) -> float:
    """Read a time from its parts, in seconds since 1970; NaN if it is none."""
    *date, time = [part.removesuffix(".0") for part in (parts if len(parts) in (2, 4) else (*parts, "0"))]
    clock = time if ":" in time else f"{time}:00"
    seconds = seconds_of_dates([canonical_date(f"{'-'.join(date)} {clock}", DateOrder.YMD) or ""])
    return math.nan if seconds is None else float(seconds[0])
