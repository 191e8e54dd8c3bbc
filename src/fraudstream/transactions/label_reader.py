"""Finds the label column, and which of its values means fraud."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import LabelError
from fraudstream.transactions.amounts import parse_number

# Lowercase without punctuation, the most likely first: PaySim has isFraud and isFlaggedFraud.
_USUAL_NAMES: Final = (
    *("class", "isfraud", "txfraud", "fraud", "fraudbool", "isfraudulent", "fraudulent", "fraudreported"),
    *("fraudflag", "fraudlabel", "fraude", "esfraude", "efraude", "frode", "betrug", "ischargeback", "chargeback"),
    *("мошенничество", "label", "target", "etiqueta", "метка"),
)
# Simplified: in lower case, without accents and punctuation.
_NAMES_FRAUD: Final = frozenset(
    {"fraud", "fraudulent", "fraudster", "isfraud", "fraude", "fraudulento", "fraudulenta", "frauduleux"}
    | {"frode", "fraudolento", "betrug", "betrugerisch", "oszustwo", "bedrageri", "мошенничество", "фрод", "欺诈"}
    | {"chargeback", "chargedback", "confirmedfraud", "suspectedfraud", "scam", "bad", "malicious", "illegitimate"}
)
"""Mean fraud whatever the other value is."""
_MEANS_FRAUD: Final = _NAMES_FRAUD | {
    *("1", "true", "yes", "t", "y", "si", "s", "oui", "o", "ja", "j", "sim", "tak", "да", "evet", "positive", "pos"),
    *("anomaly", "suspicious", "illicit", "vrai", "wahr", "verdadero", "verdadeiro", "vero", "是"),
}
_MEANS_LEGITIMATE: Final = frozenset(
    {"0", "-1", "false", "no", "f", "n", "legitimate", "legit", "genuine", "normal", "nonfraud", "notfraud", "nofraud"}
    | {"non", "nein", "nao", "nie", "нет", "hayır", "nee", "clean", "good", "ok", "valid", "negative", "neg", "licit"}
    | {"faux", "falsch", "falso", "regular", "authentic", "real", "benign", "legitimo", "legitima", "legitime", "否"}
)
_OTHER: Final = "every other value"
_MESSAGE_CHARS: Final = 40
_FRAUD_VALUE: Final = "name the value that means fraud with --fraud-value, or another column with --label"


@dataclass(frozen=True)
class Label:
    """The label of each row, with the values for legitimate and fraud as in the file."""

    name: str
    legitimate: str
    fraud: str
    is_fraud: NDArray[np.bool_]


def find_label(columns: Sequence[str], label: str | None, where: str) -> int:
    """Return the index of the label column: `label`, or by default the one with a usual name.

    Raises LabelError, with the columns, if there is none.
    """
    if label in columns:
        return columns.index(label)
    simple = [_simplified(name) for name in columns]
    for name in (_simplified(label),) if label is not None else _USUAL_NAMES:
        if name in simple:
            return simple.index(name)
    what = f"there is no column {label!r}" if label is not None else "no column has a usual label name"
    raise LabelError(
        f"{what}; the columns are {', '.join(columns)}"[:2000],
        where=where,
        remedy="name the column that marks fraud with --label, or a file that lists the frauds with --labels",
    )


class LabelReader:
    """Reads the label column block by block."""

    def __init__(
        self,
        name: str,
        where: Callable[[int | None], str],
        fraud_value: str | None = None,
        *,
        may_be_most: bool = False,
    ) -> None:
        """Take the column's name, and what describes the place of a row, or of the file, in an error message.

        With a `fraud_value` every other value is legitimate, and so is an empty cell. More than half of the rows can be
        frauds only with it, or if `may_be_most`.
        """
        self._name = name
        self._where = where
        self._may_be_most = may_be_most or fraud_value is not None
        self._fraud_value = None if fraud_value is None else _canonical(fraud_value)
        self._code_by_cell: dict[str, int] = {}
        self._first_cells: dict[str, str] = {}
        self._blocks: list[NDArray[np.int8]] = []
        self._rows = 0

    def read(self, cells: Sequence[str]) -> None:
        """Read the next cells of the column; raises LabelError if one is empty or has a third value."""
        codes = self._code_by_cell
        for cell in dict.fromkeys(cells):
            if cell not in codes:
                codes[cell] = self._code(cell, cells)
        self._blocks.append(np.fromiter((codes[cell] for cell in cells), np.int8, len(cells)))
        self._rows += len(cells)

    def label(self) -> Label:
        """Return the label, once every cell was read.

        Raises LabelError if there is only one class, if it is unclear which of the two values means fraud, or if more
        than half of the rows would be frauds and the user did not say so.
        """
        values = list(self._first_cells)
        cells = list(self._first_cells.values())
        if self._fraud_value is not None and self._fraud_value not in values:
            raise self._error(f"never has the value of --fraud-value, but {_quoted(cells[:5])}", None, _FRAUD_VALUE)
        if len(values) == 1:
            remedy = "use data with both legitimate and fraudulent rows"
            raise self._error(f"has one class only: every row is {cells[0]!r}", None, remedy)
        fraud = _index_of_fraud(values) if self._fraud_value is None else values.index(self._fraud_value)
        if fraud is None:
            what = f"has {cells[0]!r} and {cells[1]!r}: neither is known to mean fraud"
            raise self._error(what, None, _FRAUD_VALUE)
        is_fraud = np.concatenate(self._blocks) == fraud
        legitimate = next(cell for index, cell in enumerate(cells) if index != fraud)
        if not self._may_be_most and 2 * int(is_fraud.sum()) > len(is_fraud):
            raise self._error(
                f"would make {is_fraud.mean():.1%} of the rows frauds, as {cells[fraud]!r} seems to mean fraud",
                None,
                f"if {legitimate!r} means fraud, say so with --fraud-value {legitimate}; "
                f"if most rows are frauds, with --fraud-value {cells[fraud]}",
            )
        return Label(self._name, legitimate, cells[fraud], is_fraud)

    def _code(self, cell: str, cells: Sequence[str]) -> int:
        value = _canonical(cell)
        if self._fraud_value is not None and value != self._fraud_value:
            value = _OTHER
        if value and value not in self._first_cells and len(self._first_cells) < 2:
            self._first_cells[value] = cell
        if value in self._first_cells:
            return list(self._first_cells).index(value)
        known = _quoted(list(self._first_cells.values()))
        problem = f"has {cell[:_MESSAGE_CHARS]!r} besides {known}" if value else "is empty in a row"
        row = self._rows + list(cells).index(cell)
        raise self._error(f"is not binary: it {problem}", row, f"use a label with two values; {_FRAUD_VALUE}")

    def _error(self, problem: str, row: int | None, remedy: str) -> LabelError:
        return LabelError(f"the label column {self._name!r} {problem}", where=self._where(row), remedy=remedy)


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
    for fraud in (0, 1):
        if names[fraud] in _MEANS_FRAUD and names[1 - fraud] in _MEANS_LEGITIMATE:
            return fraud
    for fraud in (0, 1):
        if names[fraud] in _NAMES_FRAUD and names[1 - fraud] not in _MEANS_FRAUD:
            return fraud
    first, second = (parse_number(value) for value in values)
    return None if first is None or second is None else int(first <= second)
