"""Finds the label column, and which of its values means fraud; reads the frauds from a list of their ids."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.times import seconds_of_dates, words_of
from fraudstream.transactions.words import LISTS, WORDS

LABEL_COLUMN: Final = "is_fraud"
"""The label from a list of frauds."""
LABEL_KEY_REMEDY: Final = "name the column with the payment's id, which both files have"
_USUAL_NAMES: Final = LISTS["label_columns"]
"""The most likely first: PaySim has isFraud and isFlaggedFraud. Like the next, simplified (see `_simplified`)."""
_NAMES_FRAUD: Final = WORDS["names_fraud"]
_MEANS_FRAUD: Final = _NAMES_FRAUD | WORDS["means_fraud"]
_MESSAGE_CHARS: Final = 40
_FRAUD_VALUE: Final = "name the value that means fraud with --fraud-value, or another column with --label"


@dataclass(frozen=True)
class Categories:
    """The distinct texts of a column, as in the file, by first appearance.

    `codes` has each row's index in `values`; -1 for an empty cell.
    """

    values: tuple[str, ...]
    codes: NDArray[np.int32]

    def counts(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count the selected rows for each value."""
        codes = self.codes[rows]
        return np.bincount(codes[codes >= 0], minlength=len(self.values))


@dataclass(frozen=True)
class Label:
    """The label of each row, with the values for legitimate and fraud as in the file."""

    name: str
    legitimate: str
    fraud: str
    is_fraud: NDArray[np.bool_]


def find_label(columns: Sequence[str], label: str | None, where: str) -> int:
    """Return the index of the label column: `label`, or by default the one with a usual name.

    Raises LabelError, with the columns, if there is none, and SettingsError if there is none of that name.
    """
    if label in columns:
        return columns.index(label)
    simple = [_simplified(name) for name in columns]
    for name in (_simplified(label),) if label is not None else _USUAL_NAMES:
        if name in simple:
            return simple.index(name)
    what = f"there is no column {label!r}" if label is not None else "no column has a usual label name"
    raise (LabelError if label is None else SettingsError)(
        f"{what}; the columns are {', '.join(columns)}"[:2000],
        where=where if label is None else "--label",
        remedy="name the column that marks fraud with --label, or a file that lists the frauds with --labels",
    )


def read_label(
    name: str,
    cells: Categories,
    where: Callable[[int | None], str],
    fraud_value: str | None = None,
    *,
    may_be_most: bool = False,
) -> Label:
    """Return the label from the cells of its column.

    `where` describes the place of a row, or of the file, in an error message. With a `fraud_value` every other value is
    legitimate, and so is an empty cell. More than half of the rows can be frauds only with it, or if `may_be_most`,
    which allows all of them.

    Raises LabelError if a cell is empty or has a third value, if there is only one class, if it is unclear which of the
    two values means fraud, or if more than half of the rows would be frauds and the user did not say so.
    """

    def error(problem: str, remedy: str = _FRAUD_VALUE, row: int | None = None) -> LabelError:
        return LabelError(f"the label column {name!r} {problem}", where=where(row), remedy=remedy)

    values = [_canonical(cell) for cell in cells.values]
    spellings: dict[str, str] = {}
    for value, cell in zip(values, cells.values, strict=True):
        spellings.setdefault(value, cell)
    if fraud_value is None:
        two = [value for value in spellings if value][:2]
        others = [code for code, value in enumerate(values) if value not in two]
        strange = np.flatnonzero(np.isin(cells.codes, [-1, *others]))
        if len(strange):
            code = int(cells.codes[strange[0]])
            is_empty = code < 0 or not values[code]
            known = _quoted([spellings[value] for value in two])
            problem = "is empty in a row" if is_empty else f"has {_quoted([cells.values[code]])} besides {known}"
            remedy = f"use a label with two values; {_FRAUD_VALUE}"
            raise error(f"is not binary: it {problem}", remedy, int(strange[0]))
        index = _index_of_fraud(two) if len(two) == 2 else 0
        if index is None:
            raise error(f"has {_quoted(list(spellings.values()))}: neither is known to mean fraud")
        fraud = two[index]
    else:
        fraud = _canonical(fraud_value)
        if fraud not in spellings:
            raise error(f"never has the value of --fraud-value, but {_quoted(list(spellings.values())[:5])}")
    is_fraud = np.isin(cells.codes, [code for code, value in enumerate(values) if value == fraud])
    if is_fraud.all() and not (may_be_most and (fraud_value is not None or _simplified(fraud) in _MEANS_FRAUD)):
        remedy = "use data with both legitimate and fraudulent rows"
        raise error(f"has one class only: every row is {spellings[fraud]!r}", remedy)
    legitimate = next((cell for value, cell in spellings.items() if value != fraud), "")
    if fraud_value is None and not may_be_most and 2 * int(is_fraud.sum()) > len(is_fraud):
        raise error(
            f"would make {is_fraud.mean():.1%} of the rows frauds, as {spellings[fraud]!r} seems to mean fraud",
            f"if {legitimate!r} means fraud, say so with --fraud-value {legitimate}; "
            f"if most rows are frauds, with --fraud-value {spellings[fraud]}",
        )
    return Label(name, legitimate, spellings[fraud], is_fraud)


@lru_cache
def meaning(cell: str) -> bool | None:
    """Return whether the cell of a label means fraud; None if it is neither a word for it nor for legitimate."""
    name = _canonical(cell) if parse_number(cell) is not None else _simplified(cell)
    return True if name in _MEANS_FRAUD else False if name in WORDS["means_legitimate"] else None


def _quoted(cells: Sequence[str]) -> str:
    return " and ".join(repr(cell[:_MESSAGE_CHARS]) for cell in cells)


def _simplified(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[^\w]|_", "", "".join(char for char in plain if not unicodedata.combining(char)))


def _canonical(cell: str) -> str:
    """Normalize "1", "1.0", " 1" and "'1'" to one spelling, and likewise "True" and "TRUE"."""
    text = cell.strip().strip("'").lower()
    number = parse_number(text)
    return f"{number:g}" if number is not None else text


def _index_of_fraud(values: Sequence[str]) -> int | None:
    """Return which of the two values means fraud: by its name, else the greater of two numbers."""
    names = [_simplified(value) if parse_number(value) is None else value for value in values]
    for fraud, other in ((0, names[1]), (1, names[0])):
        is_opposite = names[fraud] in _MEANS_FRAUD and other in WORDS["means_legitimate"]
        if is_opposite or (names[fraud] in _NAMES_FRAUD and other not in _MEANS_FRAUD):
            return fraud
    first, second = (parse_number(value) for value in values)
    return None if first is None or second is None else int(first <= second)


@dataclass(frozen=True)
class FraudList:
    """The ids of the frauds.

    Attributes:
        key: The column with the id.
        reported: By id, when the fraud was reported, in seconds since 1970; NaN if the list does not say.
    """

    name: str
    fingerprint: str
    key: str
    reported: dict[str, float]

    @classmethod
    def of(
        cls, name: str, fingerprint: str, key: str, cells: Mapping[str, Sequence[str]], fraud: str | None
    ) -> FraudList:
        """Read the list's cells by column; if it has a label column, only its frauds."""
        is_fraud: Sequence[bool] = [True] * len(cells[key])
        try:
            label = list(cells)[find_label(list(cells), None, name)]
        except LabelError:
            label = ""
        if label and seconds_of_dates(cells[label]) is None:
            code = {cell: code for code, cell in enumerate(filter(None, dict.fromkeys(cells[label])))}
            codes = np.array([code.get(cell, -1) for cell in cells[label]], np.int32)
            texts = Categories(tuple(code), codes)
            if fraud is None and {meaning(cell) for cell in code} == {False}:  # as long as all alerts were false alarms
                is_fraud = [False] * len(codes)
            else:
                is_fraud = read_label(label, texts, lambda row: name, fraud, may_be_most=True).is_fraud.tolist()
        reported = [math.nan] * len(is_fraud)
        for column in cells:
            times = None if WORDS["report"].isdisjoint(words_of(column)) else seconds_of_dates(cells[column])
            reported = reported if times is None or np.isnan(times).all() else times.tolist()
        by_id: dict[str, float] = {}
        for cell, time, is_one in zip(cells[key], reported, is_fraud, strict=True):
            if is_one and cell:  # of several reports the first counts
                by_id[payment_id(cell)] = float(np.fmin(by_id.get(payment_id(cell), math.nan), time))
        return cls(name, fingerprint, key, by_id)

    def warnings(self, ids: Set[str]) -> list[str]:
        """Describe the listed ids that are none of the payments' `ids`; raises DataError if none is one."""
        missing = [each for each in self.reported if each not in ids]
        total = len(self.reported)
        if not missing:
            return []
        what = f"{len(missing):,} of the {total:,} ids in {self.name} belong to no payment, as {missing[0]!r}"
        if len(missing) == total:
            raise DataError(what, where=f"--label-key {self.key}", remedy=LABEL_KEY_REMEDY)
        return [what]


def payment_id(cell: str) -> str:
    """Write an id that a table tool turned into a fraction, 100024.0, as the integer that it was."""
    return cell.strip().removesuffix(".0")
