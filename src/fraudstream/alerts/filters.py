"""Which alerts are asked for and in which order; `words.py` has the rules of its text, `finding/` finds them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import orjson
from sqlalchemy import Column, ColumnElement

from fraudstream.alerts import tables
from fraudstream.alerts.words import Text, columns_of, fold
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.numbers import parse_number
from fraudstream.transactions.wire import AlertField, Outcome


class Sort(StrEnum):
    """The orders: by commit, or the largest first, of equals the newest; what has no such value comes last."""

    NEWEST = "newest"
    OLDEST = "oldest"
    SCORE = "score"
    AMOUNT = "amount"
    LOSS = "loss"

    @property
    def column(self) -> Column[Any] | None:
        """The column with the values; None for the order of commit."""
        found = {Sort.SCORE: "score", Sort.AMOUNT: "amount", Sort.LOSS: "expected_loss"}.get(self)
        return None if found is None else tables.alerts.c[found]


class Op(StrEnum):
    """What a value of a column is held against: as a number where both are numbers, else as text."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    HAS = "has"


COMPARE: Final[Mapping[Op, Callable[[Any, Any], Any]]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}

_WHERE: Final = re.compile(rf"(.+?):({'|'.join(Op)}):(.*)", re.DOTALL)

_PLAIN: Final = re.compile(r"[ !#-)+-\[\]-~]+")
"""Not what JSON escapes."""


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on a column of the transaction; a row that has no value there never meets it.

    A card number is looked for as it was stored: masked.
    """

    name: str
    op: Op
    value: str

    @classmethod
    def parse(cls, text: str) -> Where | None:
        """Read `NAME:OP:VALUE`; None where it is something else."""
        found = _WHERE.fullmatch(text)
        return None if found is None else cls(found[1], Op(found[2]), masked_text(found[3]))

    @property
    def number(self) -> float | None:
        """The value as a number, an integer exactly; None where it is none."""
        return _number(self.value.strip())

    def holds(self, value: object) -> bool:
        """Whether a value of the column meets it."""
        number, text = as_number(value), as_text(value)
        if number is None and text is None:
            return False
        asked = self.number
        if self.op is Op.HAS:
            return fold(self.value) in fold(orjson.dumps(value).decode() if text is None else text)
        if self.op in (Op.EQ, Op.NE):
            same = (asked is not None and number is not None and number == asked) or text == self.value
            return same == (self.op is Op.EQ)
        if asked is not None:
            return number is not None and bool(COMPARE[self.op](number, asked))
        return text is not None and bool(COMPARE[self.op](text, self.value))


@lru_cache(maxsize=1024)
def _number(text: str) -> float | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,300}", text) else parse_number(text)


def as_number(value: object) -> float | None:
    """The number that a value is, or that its text holds."""
    if isinstance(value, str):
        return parse_number(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_text(value: object) -> str | None:
    """The text that a value is: of a list its JSON; None for a number and for nothing."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None
    return orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for; a field that is None or empty does not narrow. Times are those of production."""

    outcome: Outcome | None = Outcome.ALERT
    since_us: int | None = None
    until_us: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    min_amount: float | None = None
    max_amount: float | None = None
    statuses: tuple[str, ...] = ()
    assignee: str | None = None
    model_id: str | None = None
    schema_id: str | None = None
    source: str | None = None
    text: Text | None = None
    where: tuple[Where, ...] = ()

    @property
    def ranges(self) -> list[tuple[str, Op, float]]:
        """The conditions on numbers that have columns of their own."""
        found = [
            ("produced_us", Op.GE, self.since_us),
            ("produced_us", Op.LT, self.until_us),
            ("score", Op.GE, self.min_score),
            ("score", Op.LE, self.max_score),
            ("amount", Op.GE, self.min_amount),
            ("amount", Op.LE, self.max_amount),
        ]
        return [(name, op, value) for name, op, value in found if value is not None]

    @property
    def choices(self) -> list[tuple[str, tuple[str, ...]]]:
        """The conditions on texts that have columns of their own, each with the values that meet it."""
        found = [
            ("outcome", self.outcome),
            ("assignee", self.assignee),
            ("model_id", self.model_id),
            ("schema_id", self.schema_id),
            ("topic", self.source),
        ]
        asked: list[tuple[str, tuple[str, ...]]] = [(name, (str(value),)) for name, value in found if value is not None]
        return [*asked, ("status", self.statuses)] if self.statuses else asked

    @property
    def looks_inside(self) -> bool:
        """Whether it asks for what only the alert itself tells, which `conditions` leave out."""
        return bool(self.where or (self.text and self.text.terms))

    def conditions(self) -> list[ColumnElement[bool]]:
        """What it asks of the columns of the table `alerts`; `matches` has the rest."""
        column = tables.alerts.c
        ranges = [COMPARE[op](column[name], value) for name, op, value in self.ranges]
        return ranges + [
            column[name] == values[0] if len(values) == 1 else column[name].in_(values) for name, values in self.choices
        ]

    def rules_out(self, raw: bytes) -> bool:
        """Whether the bytes of an alert tell that it does not match, which is ten times as fast as to read them.

        Only where nothing is written otherwise than it is compared: no accents, no signs that JSON escapes.
        """
        parts = [where.value for where in self.where if where.op is Op.HAS and _PLAIN.fullmatch(where.value)]
        if not parts or not raw.isascii():
            return False
        small = raw.lower()
        return any(part.lower().encode() not in small for part in parts)

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether an alert has the text and meets the conditions on columns of its transaction."""
        if self.where:
            columns = dict(columns_of(document[AlertField.TRANSACTION]))
            if not all(where.holds(columns.get(where.name)) for where in self.where):
                return False
        return self.text is None or self.text.matches(document)
