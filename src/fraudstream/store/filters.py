"""Defines the filters, orders and cursors of the alert search."""

import base64
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

import orjson
from sqlalchemy import Column, ColumnElement, Select, and_, select

from fraudstream.store import tables
from fraudstream.store.full_text import Text, fold
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.entities import Entity
from fraudstream.transactions.wire import AlertField, Outcome


class Sort(StrEnum):
    """The sort orders: by commit, or by descending value, then newest first; alerts without a value come last.

    `due` has only the alerts that need information, the earliest due first.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    SCORE = "score"
    AMOUNT = "amount"
    LOSS = "loss"
    DUE = "due"

    @property
    def column(self) -> ColumnElement[Any] | None:
        """The value to sort by, the largest first; None for commit order."""
        column = tables.alerts.c
        if self is Sort.DUE:
            return -column.due_us
        name = {Sort.SCORE: "score", Sort.AMOUNT: "amount", Sort.LOSS: "expected_loss"}.get(self)
        return None if name is None else column[name]


class Op(StrEnum):
    """The operators on column values; two numbers are compared as numbers, anything else as text.

    All but the last are named as in the module `operator`.
    """

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    HAS = "has"


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_WHERE: Final = re.compile(rf"(.+?):({'|'.join(Op)}):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on a column; it never matches a missing value. A card number is searched as it is stored: masked."""

    name: str
    op: Op
    value: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `NAME:OP:VALUE`; None if it is something else."""
        match = _WHERE.fullmatch(text)
        return None if match is None else cls(match[1], Op(match[2]), masked_text(match[3]))

    @property
    def number(self) -> float | None:
        """The value as a number, as an integer if the database can represent it; None if it is not a number."""
        text = self.value.strip()
        return int(text) if _INTEGER.fullmatch(text) else parse_number(text)

    def matches(self, transaction: Mapping[str, Any]) -> bool:
        """Whether a transaction has the column, with a value that fulfils the condition."""
        value = _value(transaction, self.name)
        if value is None or isinstance(value, dict):
            return False
        as_text, number = _as_text(value), self.number
        if self.op is Op.HAS:
            return fold(self.value) in fold(as_text or orjson.dumps(value).decode())
        as_number = None if number is None else _as_number(value)
        if self.op in (Op.EQ, Op.NE):
            is_same = as_text == self.value or (as_number is not None and as_number == number)
            return is_same == (self.op is Op.EQ)
        side, other = (as_text, self.value) if number is None else (as_number, number)
        return side is not None and bool(getattr(operator, self.op)(side, other))


def _value(transaction: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column: by its name, else by its dotted name if it is nested."""
    if name in transaction:
        return transaction[name]
    value: Any = transaction
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _as_text(value: Any) -> str | None:
    """Return a text, for a list its JSON; None for a number."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, list | bool) else None


def _as_number(value: Any) -> float | None:
    """Return a number, also one in a text; None for anything else."""
    if isinstance(value, str):
        return parse_number(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_entity(entity: Entity) -> ColumnElement[bool]:
    """Return the condition that a row of `alert_entities` is of an entity."""
    column = tables.alert_entities.c
    return and_(column.column == entity.column, column.value == entity.value)


def of_entity(entity: Entity) -> Select[tuple[int]]:
    """Select the `seq` of the alerts of an entity."""
    return select(tables.alert_entities.c.alert).where(is_entity(entity))


def conditions(*comparisons: tuple[Column[Any], Callable[[Any, Any], Any], object]) -> list[ColumnElement[bool]]:
    """Return the conditions of comparisons of a column with a value, without those whose value is None."""
    return [compare(column, value) for column, compare, value in comparisons if value is not None]


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """A filter on alerts; fields that are None or empty match everything. Times are those of production.

    Of several `entities` an alert must have all; unscorable transactions have none.
    """

    outcome: Outcome | None = Outcome.ALERT
    since_us: int | None = None
    until_us: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    min_amount: float | None = None
    max_amount: float | None = None
    statuses: tuple[str, ...] = ()
    assignee: str | None = None
    reason_code: str | None = None
    due_before_us: int | None = None
    model_id: str | None = None
    schema_id: str | None = None
    source: str | None = None
    text: Text | None = None
    where: tuple[Where, ...] = ()
    entities: tuple[Entity, ...] = ()

    def matches(self, body: str) -> bool:
        """Whether a stored alert fulfils the conditions on columns of its transaction."""
        if not self.where:
            return True
        transaction = orjson.loads(body)[AlertField.TRANSACTION]
        return all(each.matches(transaction) for each in self.where)

    @property
    def looks_inside(self) -> bool:
        """Whether it filters on the content of the transaction, which is not part of `conditions`."""
        return bool(self.where or (self.text and self.text.terms))

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the columns of the table `alerts`."""
        column = tables.alerts.c
        return [column.seq.in_(of_entity(each)) for each in self.entities] + conditions(
            (column.outcome, operator.eq, self.outcome),
            (column.produced_us, operator.ge, self.since_us),
            (column.produced_us, operator.lt, self.until_us),
            (column.score, operator.ge, self.min_score),
            (column.score, operator.le, self.max_score),
            (column.amount, operator.ge, self.min_amount),
            (column.amount, operator.le, self.max_amount),
            (column.status, Column.in_, self.statuses or None),
            (column.assignee, operator.eq, self.assignee),
            (column.reason_code, operator.eq, self.reason_code),
            (column.due_us, operator.lt, self.due_before_us),
            (column.model_id, operator.eq, self.model_id),
            (column.schema_id, operator.eq, self.schema_id),
            (column.topic, operator.eq, self.source),
        )


MOST_CHARS = 200


class SearchPosition(NamedTuple):
    """The end of a page, and the range of alerts that remains to be searched.

    Attributes:
        value: The sort value of the last alert; None if it has none, or in commit order.
        seq: The last alert; None if the search continues with older alerts without a match so far.
        below: Only alerts before this one in commit order, and from `floor` on; None for all.
    """

    value: float | None = None
    seq: int | None = None
    below: int | None = None
    floor: int | None = None


def write_cursor(sort: Sort, position: SearchPosition) -> str:
    """Encode a position for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([sort.value, *position])).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> SearchPosition | None:
    """Decode a position from `write_cursor`; None if it is invalid, or belongs to another order."""
    try:
        content = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except ValueError:
        return None
    if len(text) > MOST_CHARS or not isinstance(content, list) or len(content) != 5 or content[0] != sort.value:
        return None
    _, value, *seqs = content
    if not all(seq is None or (type(seq) is int and abs(seq) < 2**63) for seq in seqs):
        return None
    return SearchPosition(value, *seqs) if isinstance(value, int | float | None) else None
