"""Finds the columns that identify an entity: a card, terminal, customer, merchant or device."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Self

from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.times import words_of
from fraudstream.transactions.words import WORDS

_KINDS: Final = {kind: WORDS[kind] for kind in ("card", "terminal", "customer", "merchant", "device")}
"""The most useful first: the entities of an alert are in this order."""

LONGEST: Final = 200

MOST_ENTITIES: Final = 16
"""Of one transaction: each is stored, and its alerts are counted wherever the alert is shown."""


class Entity(NamedTuple):
    """An entity: the column that identifies it, and its value there as text."""

    column: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `COLUMN:VALUE`; None if it is something else. A card number is masked, as it is stored."""
        column, colon, value = text.partition(":")
        return cls(column, masked_text(value)) if column and colon and value else None


class EntityColumns(NamedTuple):
    """The columns of a model's training data that identify entities, and all others."""

    entities: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()


UNKNOWN: Final = EntityColumns()
"""Of a model that does not know its entities: columns are recognised by their names."""


def entity_kind(column: str) -> str | None:
    """Return the kind of entity that a column identifies by its name; None for another or a very long one."""
    if len(column) > LONGEST or any(char.isdigit() for char in column):  # card1 to card6 are traits of a card
        return None
    words = set(words_of(column))
    kinds = [kind for kind, names in _KINDS.items() if words & names]
    if len(kinds) != 1 or not words - _KINDS[kinds[0]] <= WORDS["entity_suffixes"]:
        return None
    return kinds[0]


def entity_order(column: str) -> int:
    """Return the sort key of a column: the most useful kinds first, others last."""
    kind = entity_kind(column)
    return len(_KINDS) if kind is None else list(_KINDS).index(kind)


def entities_of(transaction: Mapping[str, object], columns: EntityColumns = UNKNOWN) -> list[Entity]:
    """Return the entities of a transaction, the most useful first.

    A column that its model has never read, as it is new, is recognised by its name. Values that are empty, long,
    fractions or completely masked identify nobody. Of very many columns those of the model come first.
    """
    names = _entity_names(tuple(transaction), columns)
    return [Entity(name, value) for name in names if (value := _text(transaction[name]))]


@lru_cache(maxsize=256)
def _entity_names(names: tuple[str, ...], columns: EntityColumns) -> list[str]:
    entities = [
        name
        for name in names
        if name in columns.entities or (name not in columns.others and entity_kind(name) is not None)
    ]
    entities.sort(key=lambda name: (name not in columns.entities, entity_order(name)))
    return sorted(entities[:MOST_ENTITIES], key=entity_order)


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if len(text) <= LONGEST and any(char.isalnum() for char in text) else ""
