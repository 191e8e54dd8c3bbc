"""Reads the frauds from a file that lists them by id, and adds them to the payments as a label column."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError, LabelError
from fraudstream.transactions.label_reader import LabelReader, find_label
from fraudstream.transactions.times import seconds_of_dates, words_of

LABEL_COLUMN: Final = "is_fraud"
KEY_REMEDY: Final = "name the column with the payment's id, which both files have"
_REPORT_WORDS: Final = frozenset(
    {"reported", "report", "chargeback", "label", "labelled", "labeled", "confirmed", "dispute", "disputed", "claimed"}
)


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
    def of(
        cls, name: str, fingerprint: str, key: str, cells: Mapping[str, Sequence[str]], fraud: str | None
    ) -> FraudList:
        """Read the list's cells by column; if it has a label column, only its frauds."""
        is_fraud: Sequence[bool] = [True] * len(cells[key])
        with contextlib.suppress(LabelError):
            label = list(cells)[find_label(list(cells), None, name)]
            if len(set(cells[label])) > 1 and seconds_of_dates(cells[label]) is None:
                reader = LabelReader(label, lambda row: name, fraud, may_be_most=True)
                reader.read(cells[label])
                is_fraud = reader.label().is_fraud.tolist()
        reported = [math.nan] * len(is_fraud)
        for column in cells:
            if (
                not _REPORT_WORDS.isdisjoint(words_of(column))
                and (times := seconds_of_dates(cells[column])) is not None
            ):
                reported = times.tolist()
        listed = zip(cells[key], reported, is_fraud, strict=True)
        return cls(name, fingerprint, key, {_id(cell): time for cell, time, is_one in listed if is_one and cell})

    def labelled(self, rows: Iterator[list[str]], columns: Sequence[str]) -> Iterator[list[str]]:
        """Add the label to each row, and collect the ids of frauds among them."""
        at = columns.index(self.key)
        for row in rows:
            key = _id(row[at])
            if key in self.reported:
                self.matched.add(key)
                row.append("1")
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
        what = (
            f"{len(missing):,} of the {len(self.reported):,} ids in {self.name} belong to no payment, as {missing[0]!r}"
        )
        if not self.matched:
            raise DataError(what, where=f"--label-key {self.key}", remedy=KEY_REMEDY)
        return what


def _id(cell: str) -> str:
    """Write an id that a table tool turned into a fraction, 100024.0, as the integer that it was."""
    return cell.strip().removesuffix(".0")
