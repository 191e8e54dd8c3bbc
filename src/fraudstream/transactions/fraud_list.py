"""Reads the frauds from a file that lists them by id, and adds them to the payments as a label column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.transactions.label_reader import LabelReader, find_label
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.times import seconds_of_dates, words_of

LABEL_COLUMN: Final = "is_fraud"
FRAUD: Final = "1"
_REPORT_WORDS: Final = frozenset(
    {"reported", "report", "chargeback", "label", "labelled", "labeled", "confirmed", "dispute", "disputed", "claimed"}
)


class ListSource(Protocol):
    """The file of labels, such as `data_source.DataSource`."""

    @property
    def name(self) -> str:
        """The file's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns."""

    @property
    def options(self) -> ReadingOptions:
        """How it is read."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its content."""

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows."""


@dataclass(frozen=True)
class FraudList:
    """The ids of the frauds.

    Attributes:
        key: The column with the id.
        reported: By id, when the fraud was reported, in seconds since 1970; NaN if the list does not say.
        matched: The ids that a payment had, once the payments were read.
    """

    name: str
    fingerprint: str
    key: str
    reported: dict[str, float]
    matched: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, source: ListSource, key: str | None, columns: Sequence[str]) -> FraudList:
        """Read the list; if it has a label column, only its frauds. `columns` are those of the payments.

        Raises SettingsError if the key is not a column of both, or the payments have a label column already.
        """
        for names, whose in ((columns, "payments"), (source.columns, "labels")):
            if key not in names:
                raise SettingsError(
                    f"the {whose} have no column {key!r}; theirs are {', '.join(names)}"[:2000],
                    where="--label-key",
                    remedy="name the column with the payment's id, which both files have",
                )
        if LABEL_COLUMN in columns:
            raise SettingsError(
                f"the payments have a column {LABEL_COLUMN!r} already", where="--labels", remedy="leave out --labels"
            )
        rows = list(source.rows())
        cells = dict(zip(source.columns, zip(*rows, strict=True), strict=True))
        is_fraud = cls._frauds(source, cells)
        reported = np.full(len(rows), np.nan)
        for name in source.columns:
            if not _REPORT_WORDS.isdisjoint(words_of(name)) and (seconds := seconds_of_dates(cells[name])) is not None:
                reported = seconds
        listed = zip(cells[str(key)], reported.tolist(), is_fraud, strict=True)
        frauds = {_id(cell): seconds for cell, seconds, fraud in listed if fraud and cell}
        return cls(source.name, source.fingerprint, str(key), frauds)

    @staticmethod
    def _frauds(source: ListSource, cells: Mapping[str, Sequence[str]]) -> Sequence[bool]:
        """Return which rows of the list are frauds: all of them, unless it has a label column."""
        every = [True] * len(next(iter(cells.values())))
        try:
            name = source.columns[find_label(source.columns, None, source.name)]
        except LabelError:
            return every
        if len(set(cells[name])) == 1 or seconds_of_dates(cells[name]) is not None:
            return every
        reader = LabelReader(name, lambda row: source.name, source.options.fraud_value, may_be_most=True)
        reader.read(cells[name])
        return [bool(fraud) for fraud in reader.label().is_fraud]

    def labelled(self, rows: Iterator[list[str]], columns: Sequence[str]) -> Iterator[list[str]]:
        """Add the label to each row, and collect the ids of frauds among them."""
        at = columns.index(self.key)
        for row in rows:
            key = _id(row[at])
            if key in self.reported:
                self.matched.add(key)
                row.append(FRAUD)
            else:
                row.append("0")
            yield row

    def reported_at(self, ids: Sequence[str]) -> NDArray[np.float64]:
        """Return when each payment was reported as fraud; NaN for the others."""
        return np.array([self.reported.get(_id(cell), np.nan) for cell in ids])

    def warning(self) -> str:
        """Describe the ids without a payment, once all were read; raises DataError if none has one."""
        missing = [each for each in self.reported if each not in self.matched]
        if not missing:
            return ""
        what = f"{len(missing):,} of the {len(self.reported):,} ids in {self.name} belong to no payment"
        if len(missing) == len(self.reported):
            raise DataError(
                f"none of the {len(self.reported):,} ids in {self.name} belongs to a payment",
                where=f"--label-key {self.key}",
                remedy="name the column with the payment's id, which both files have",
            )
        return f"{what}, as {missing[0][:40]!r}"


def _id(cell: str) -> str:
    """Write an id that a table tool turned into a fraction, 100024.0, as the integer that it was."""
    return cell.strip().removesuffix(".0")
