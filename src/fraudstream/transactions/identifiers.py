"""Which columns of a payment say whose it is: card, customer, merchant, terminal; amounts are `amounts.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from fraudstream.transactions.times import words_of

_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "card": frozenset({"card", "cc", "pan"}),
    "customer": frozenset({"customer", "client", "cardholder", "account", "user", "payer", "orig"}),
    "merchant": frozenset({"merchant", "payee", "beneficiary", "dest"}),
    "terminal": frozenset({"terminal", "pos", "atm", "device"}),
}
_BESIDE: Final = frozenset(
    {"id", "ids", "num", "number", "no", "nr", "key", "hash", "token", "uid", "ref", "name", "tx"}
)
"""Words that may stand beside: `merchant_category` and `customer_age` say nothing of who it is."""

LONGEST: Final = 200


class Identifier(NamedTuple):
    """A column that names somebody or something, with its value in this payment."""

    kind: str
    column: str
    value: str | int


def identifier_kind(column: str) -> str | None:
    """What a column of this name identifies; None where it is no identifier, as a very long name is none."""
    return _identifier_kind(column) if len(column) <= LONGEST else None


@lru_cache(maxsize=4096)
def _identifier_kind(column: str) -> str | None:
    if any(letter.isdigit() for letter in column):  # card1 to card6 are traits of a card
        return None
    words = set(words_of(column))
    found = [kind for kind, names in _KINDS.items() if words & names]
    if len(found) != 1 or not words - _KINDS[found[0]] <= _BESIDE:
        return None
    return found[0]


def identifiers_of(transaction: Mapping[str, object]) -> list[Identifier]:
    """The identifiers in a payment, in the order of its columns; empty values are none."""
    found = []
    for column, value in transaction.items():
        is_name = (isinstance(value, str) and 0 < len(value) <= LONGEST) or (
            isinstance(value, int) and not isinstance(value, bool)
        )
        if is_name and (kind := identifier_kind(column)) is not None:
            found.append(Identifier(kind, column, value))  # type: ignore[arg-type]
    return found
