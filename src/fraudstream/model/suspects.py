"""Columns that no model should learn from: they name a payment or a person, or give the label away."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.transactions.cards import is_card_number, masked_text
from fraudstream.transactions.column_reader import Categories, ColumnProfile
from fraudstream.transactions.sensitive_names import sensitivity
from fraudstream.transactions.times import words_of

LEAK_FRAUDS: Final = 5
"""With fewer frauds in the training rows, a column that separates them may do so by chance."""
_CODE_VALUES: Final = 10
_FEW_VALUES: Final = 30

_ID_WORDS: Final = frozenset({"id", "ids", "uuid", "guid", "num", "number", "no", "nr", "nbr"})
_ID_NAMES: Final = frozenset(
    {"id", "rowid", "index", "customer", "client", "cardholder", "account", "iban", "pan", "ccnum", "transnum"}
    | {"nameorig", "namedest", "ip", "ipaddress", "deviceid", "txid", "transactionid", "token", "hash"}
    | {"user", "userid", "accountid", "cardid", "customerid", "clientid", "merchantid", "terminalid"}
)
_PERSONAL_NAMES: Final = frozenset(
    {"first", "last", "firstname", "lastname", "surname", "fullname", "customername", "cardholdername", "street"}
    | {"streetaddress", "address", "email", "emailaddress", "phone", "ssn"}
)
_POSTAL_WORDS: Final = frozenset({"zip", "zipcode", "postcode", "postal", "postalcode", "plz"})
_LOOKED_AT: Final = 1_000
_UNNAMED: Final = re.compile(r"unnamed: ?[0-9]+|_c0", re.IGNORECASE)


def reason_in_the_name(name: str, *, is_text: bool) -> str:
    """Why a column of this name is no feature whatever it holds; empty where the name says nothing against it."""
    words = words_of(name)
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    if not name.strip() or _UNNAMED.fullmatch(name.strip()):
        return "has no name, as an index that was written along"
    if any(word.startswith(("fraud", "chargeback")) for word in words):
        return "its name says fraud: known only after the payment was judged (a leak)"
    if joined in _ID_NAMES or _names_a_thing(name, words):
        return "an identifier, by its name"
    if _POSTAL_WORDS & set(words) or joined.startswith(("zipcode", "postcode")):
        return "a postal code: its number measures nothing"
    if is_text and joined in _PERSONAL_NAMES:
        return "names a person or a place, by its name"
    return ""


def reason_to_keep_out(column: ColumnProfile) -> str:
    """Why a column may never be learned from, be it named by the user: what it holds is masked before it is stored.

    Its name decides, and its values: more than half of up to 1,000 of them are card numbers. Empty where it may be.
    """
    if (kind := sensitivity(column.name)) is not None:
        return f"holds a {kind.value}, by its name: no model may learn from it"
    if column.categories is not None:
        texts = column.categories.values[:_LOOKED_AT]
        cards = sum(masked_text(text) is not text for text in texts)
    else:
        numbers = column.values[~np.isnan(column.values)][:_LOOKED_AT]
        texts = tuple(f"{number:.0f}" for number in numbers if 1e12 <= number < 1e19)
        cards = sum(map(is_card_number, texts)) if len(texts) == len(numbers) else 0
    return "holds card numbers, by the check of Luhn: no model may learn from it" if 2 * cards > len(texts) else ""


def _names_a_thing(name: str, words: list[str]) -> bool:
    # "card_id" and "trans_num" name something; IEEE-CIS's id_01 to id_38 are measurements.
    return len(words) > 1 and words[-1] in _ID_WORDS and not name[-1].isdigit()


def leaks(values: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> bool:
    """Whether a number alone tells every fraud, and does so as a code or an entry made afterwards does.

    That is, a threshold divides the classes and one of the two has at most ten distinct values. Two clouds of many
    values with a gap between them are left to `is_strong`: see docs/decisions/0009-any-csv.md.

    Args:
        values: By training row, NaN where missing.
        is_fraud: By training row.
    """
    frauds, legitimate = _by_class(values, is_fraud)
    if len(frauds) < LEAK_FRAUDS or not len(legitimate):
        return False
    if not (frauds.min() > legitimate.max() or frauds.max() < legitimate.min()):
        return False
    return min(len(np.unique(frauds)), len(np.unique(legitimate))) <= _CODE_VALUES


def category_leaks(categories: Categories, is_train: NDArray[np.bool_], is_fraud: NDArray[np.bool_]) -> bool:
    """Whether no text of a column with few of them stands both in a fraud and in a legitimate row.

    Args:
        categories: The column.
        is_train: By row, whether it is a training row; no other is looked at.
        is_fraud: By row.
    """
    frauds = categories.counts(is_train & is_fraud)
    legitimate = categories.counts(is_train & ~is_fraud)
    if frauds.sum() < LEAK_FRAUDS or not legitimate.sum() or ((frauds + legitimate) > 0).sum() > _FEW_VALUES:
        return False
    return not ((frauds > 0) & (legitimate > 0)).any()


def _by_class(
    values: NDArray[np.float64], is_fraud: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    present = ~np.isnan(values)
    return values[is_fraud & present], values[~is_fraud & present]
