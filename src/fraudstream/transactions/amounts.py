"""Which column of a payment is its amount: for the costs of a threshold, an alert's expected loss and the pages."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from fraudstream.transactions.times import words_of

_AMOUNT_WORDS: Final = frozenset({"amount", "amt", "value", "sum", "price"})
_NO_AMOUNT_WORDS: Final = frozenset(
    {"mean", "avg", "average", "max", "min", "count", "limit", "balance", "total", "std", "median", "id", "ratio"}
)


_LONGEST_NAME: Final = 200


def is_amount(name: str) -> bool:
    """Whether a column is named as the amount of a payment is; a very long name is none."""
    return len(name) <= _LONGEST_NAME and _is_amount(name)


@lru_cache(maxsize=4096)
def _is_amount(name: str) -> bool:
    words = set(words_of(name))
    return bool(words & _AMOUNT_WORDS) and not words & _NO_AMOUNT_WORDS


def amount_of(transaction: Mapping[str, Any]) -> float | None:
    """The amount of a payment, in its own unit and without its sign; None where no column of it has one."""
    for name, value in transaction.items():
        if type(value) in (float, int) and is_amount(name):
            amount = abs(float(value))
            return amount if math.isfinite(amount) else None
    return None
