"""Which alerts are searched for, in which order, and where a page of them ended; `search.py` runs them."""

from __future__ import annotations

import base64
import binascii
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Column, ColumnElement, and_, false, func, not_, or_

from fraudstream.store import tables
from fraudstream.store.database import member
from fraudstream.store.full_text import Text
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.cards import masked_text
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

    @property
    def computed(self) -> ColumnElement[Any] | None:
        """The same values as an expression of what every index holds, which keeps SQLite from following that order."""
        column = tables.alerts.c
        if self is Sort.LOSS:
            return column.score * column.amount
        return None if self.column is None else self.column + 0


class Op(StrEnum):
    """What a value of a column is held against: as a number where both are numbers, else as text."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    HAS = "has"


COMPARE: Final[dict[Op, Callable[[Any, Any], Any]]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}

EMPTY: Final = ("null", "object")
"""What is no value of a column: nothing, and an object, whose members are columns of dotted names."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_WHERE: Final = re.compile(rf"(.+?):({'|'.join(Op)}):(.*)", re.DOTALL)


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
        """The value as a number, an integer exactly where the database can; None where it is none."""
        text = self.value.strip()
        return int(text) if _INTEGER.fullmatch(text) else parse_number(text)

    def condition(self) -> ColumnElement[bool]:
        """The same in SQL."""
        column = member(tables.alerts.c.body, AlertField.TRANSACTION, self.name)
        number = self.number
        if self.op is Op.HAS:
            return column.has(self.value)
        if self.op in (Op.EQ, Op.NE):
            same = column.as_text() == self.value
            same = same if number is None else or_(same, column.as_number() == number)
            is_same = func.coalesce(same, false())
            return is_same if self.op is Op.EQ else and_(column.kind.not_in(EMPTY), not_(is_same))
        sides = (column.as_text(), self.value) if number is None else (column.as_number(), number)
        compared: ColumnElement[bool] = COMPARE[self.op](*sides)
        return compared


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
    def looks_inside(self) -> bool:
        """Whether it asks for what has no column of its own, which `conditions` leave out."""
        return bool(self.where or (self.text and self.text.terms))

    def conditions(self) -> list[ColumnElement[bool]]:
        """What it asks of the columns of the table `alerts`."""
        column = tables.alerts.c
        conditions: list[tuple[Column[Any], Callable[[Any, Any], Any], object]] = [
            (column.outcome, operator.eq, self.outcome),
            (column.produced_us, operator.ge, self.since_us),
            (column.produced_us, operator.lt, self.until_us),
            (column.score, operator.ge, self.min_score),
            (column.score, operator.le, self.max_score),
            (column.amount, operator.ge, self.min_amount),
            (column.amount, operator.le, self.max_amount),
            (column.status, Column.in_, self.statuses or None),
            (column.assignee, operator.eq, self.assignee),
            (column.model_id, operator.eq, self.model_id),
            (column.schema_id, operator.eq, self.schema_id),
            (column.topic, operator.eq, self.source),
        ]
        return [compare(name, value) for name, compare, value in conditions if value is not None]


MOST_CHARS = 200


class Position(NamedTuple):
    """Where a page ended, and which alerts are left to search.

    Attributes:
        value: The last alert's value in the order; None where it has none, or in that of commit.
        seq: The last alert; None where a search goes on with older alerts, of which none was given yet.
        below: Only alerts before this one, in the order of commit; None for all.
        floor: Only this alert and those after it; None for all.
    """

    value: float | None
    seq: int | None
    below: int | None = None
    floor: int | None = None


def write_cursor(sort: Sort, position: Position) -> str:
    """The position as a text for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([sort.value, *position])).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> Position | None:
    """The position in a text that `write_cursor` made; None where it is no such text, or is of another order."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if len(text) > MOST_CHARS or not isinstance(found, list) or len(found) != 5 or found[0] != sort.value:
        return None
    _, value, *seqs = found
    if not all(seq is None or (type(seq) is int and abs(seq) < 2**63) for seq in seqs):
        return None
    return Position(value, *seqs) if isinstance(value, int | float | None) else None
