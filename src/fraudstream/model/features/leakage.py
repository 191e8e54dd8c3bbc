"""Detects columns that no model should learn from: identifiers, personal data and label leaks."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.evaluation.bootstrap import Floats, ScoredRows, average_precision, roc_auc
from fraudstream.model.evaluation.record import LeakSuspicion
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.transactions.cards import is_card_number, masked_text
from fraudstream.transactions.label import ColumnProfile, CsvProfile
from fraudstream.transactions.sensitive_names import sensitivity
from fraudstream.transactions.times import words_of

LEAK_FRAUDS: Final = 5
"""With fewer frauds in the training rows, a column may separate them by chance."""
_CODE_VALUES: Final = 10
_FEW_VALUES: Final = 30
_PURE: Final = 0.98
_COVERED: Final = 0.95
"""A value is of frauds if this share of its rows are frauds; such values copy the label if they cover nearly all."""
_FILLED: Final = 0.5
"""A column that has values for frauds alone is filled in afterwards, even if it was for half of them only."""

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
_MOST_SAMPLED: Final = 1_000
_UNNAMED: Final = re.compile(r"unnamed: ?[0-9]+|_c0", re.IGNORECASE)
STRONG_PRECISION: Final = 0.9
STRONG_AUC: Final = 0.99
"""The best single column of creditcard.csv has an average precision of 0.65 (V17) and an area of 0.96 (V14), that
of the handbook's simulated payments 0.26 and 0.66: a feature beyond these limits would make the model redundant."""


def reason_in_the_name(name: str, *, is_text: bool) -> str:
    """Return why a column of this name cannot be a feature whatever its values; empty if the name is acceptable."""
    words = words_of(name)
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    if not name.strip() or _UNNAMED.fullmatch(name.strip()):
        return "has no name, like an exported index"
    # "card_id" and "trans_num" are identifiers; IEEE-CIS's id_01 to id_38 are measurements.
    if joined in _ID_NAMES or (len(words) > 1 and words[-1] in _ID_WORDS and not name[-1].isdigit()):
        return "an identifier, by its name"
    if _POSTAL_WORDS & set(words) or joined.startswith(("zipcode", "postcode")):
        return "a postal code: its number is not a quantity"
    if is_text and joined in _PERSONAL_NAMES:
        return "names a person or a place, by its column name"
    return ""


def is_named_like_a_leak(name: str) -> bool:
    """Return whether the name mentions fraud: a result of a review, or a card's history that was known before."""
    return any(word.startswith(("fraud", "chargeback")) for word in words_of(name))


def reason_to_keep_out(column: ColumnProfile) -> str:
    """Return why a column must never be a feature, even if the user names it: its values are masked before storage.

    Decided by its name and its values: more than half of up to 1,000 of them are card numbers. Empty if it may be used.
    """
    if (kind := sensitivity(column.name)) is not None:
        return f"holds a {kind.value}, by its name: no model may learn from it"
    if column.categories is not None:
        texts = column.categories.values[:_MOST_SAMPLED]
        cards = sum(masked_text(text) is not text for text in texts)
    else:
        numbers = column.values[~np.isnan(column.values)][:_MOST_SAMPLED]
        texts = tuple(f"{number:.0f}" for number in numbers if 1e12 <= number < 1e19)
        cards = sum(map(is_card_number, texts)) if len(texts) == len(numbers) else 0
    return "holds card numbers (they pass the Luhn check): no model may learn from it" if 2 * cards > len(texts) else ""


def leaks(values: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> bool:
    """Return whether a number alone separates the classes the way a code or a value entered afterwards does.

    That is, a threshold separates the classes and one of them has at most ten distinct values. Two clouds of many
    values with a gap between them are left to `find_leaks` (docs/decisions/0009-any-csv.md). NaN is a missing value.
    """
    present = ~np.isnan(values)
    frauds, legitimate = values[is_fraud & present], values[~is_fraud & present]
    if len(frauds) < LEAK_FRAUDS or not len(legitimate):
        return False
    if not (frauds.min() > legitimate.max() or frauds.max() < legitimate.min()):
        return False
    return min(len(np.unique(frauds)), len(np.unique(legitimate))) <= _CODE_VALUES


def reason_in_the_values(column: ColumnProfile, is_train: NDArray[np.bool_], is_fraud: NDArray[np.bool_]) -> str:
    """Return why the values of a column are a copy of the label, also with a few exceptions; empty if they are not.

    Many values that each occur with one class only, as of a number, are no copy: a few values must identify a class.
    They must cover nearly all frauds with a value, or half of them if the name mentions fraud. `is_fraud` is by
    training row.
    """
    if column.categories is not None:
        codes = column.categories.codes[is_train].astype(np.intp) + 1
        is_present = codes > 0
    elif len(column.values):
        values = column.values[is_train]
        codes, is_present = np.unique(values, return_inverse=True)[1], ~np.isnan(values)
    else:
        return ""
    if _are_frauds(is_present, is_fraud, _FILLED):
        return "has a value for frauds and hardly any legitimate row, like one filled in afterwards (a leak)"
    if _are_frauds(~is_present, is_fraud, _COVERED):
        return "lacks a value for frauds and hardly any legitimate row, like one filled in afterwards (a leak)"
    rows = np.bincount(codes)
    frauds = np.bincount(codes[is_fraud], minlength=len(rows))
    by_class = frauds, rows - frauds
    is_repeated = any(2 * np.count_nonzero(counts) <= counts.sum() for counts in by_class)
    is_code = np.count_nonzero(rows) <= _FEW_VALUES or np.count_nonzero(rows - frauds) <= _CODE_VALUES
    covered = _FILLED if is_named_like_a_leak(column.name) else _COVERED
    is_like_the_label = is_present & (frauds >= _PURE * rows)[codes]
    if is_repeated and is_code and _are_frauds(is_like_the_label, is_fraud & is_present, covered):
        return "has values that most frauds and hardly any legitimate rows have, like the label (a leak)"
    return ""


def _are_frauds(selected: NDArray[np.bool_], is_fraud: NDArray[np.bool_], covered: float) -> bool:
    """Return whether nearly all selected rows are frauds, and at least this share of the frauds is selected."""
    frauds = int((selected & is_fraud).sum())
    return frauds >= max(LEAK_FRAUDS, covered * int(is_fraud.sum())) and frauds >= _PURE * int(selected.sum())


def find_leaks(
    profile: CsvProfile, features: Sequence[Feature], is_train: NDArray[np.bool_], legitimate_share: float
) -> tuple[LeakSuspicion, ...]:
    """Find features that rank the frauds of the training rows almost perfectly on their own."""
    is_fraud = profile.label.is_fraud[is_train]
    if int(is_fraud.sum()) < LEAK_FRAUDS or is_fraud.all():
        return ()
    weight = np.where(is_fraud, 1.0, 1.0 / legitimate_share)
    columns = {column.name: column for column in profile.columns}
    suspicions = []
    for feature in features:
        if feature.type is FeatureType.TIME:
            continue
        values = _values(columns[feature.name], is_train, is_fraud)
        if (leak := _leak(feature.name, values, is_fraud, weight)) is not None:
            suspicions.append(leak)
    return tuple(suspicions)


def _values(column: ColumnProfile, is_train: NDArray[np.bool_], is_fraud: NDArray[np.bool_]) -> Floats:
    """Return a number to rank each training row by; for a category, the fraud share of its value."""
    if column.categories is None:
        return column.values[is_train]
    codes = column.categories.codes[is_train].astype(np.intp) + 1
    rows = np.bincount(codes, minlength=len(column.categories.values) + 1)
    frauds = np.bincount(codes[is_fraud], minlength=len(rows))
    return np.asarray((frauds / np.maximum(rows, 1))[codes])


def _leak(name: str, values: Floats, is_fraud: NDArray[np.bool_], weight: Floats) -> LeakSuspicion | None:
    # A missing value ranks lowest in either direction: what is recorded only for frauds is missing elsewhere.
    rankings = [np.where(np.isnan(values), -np.inf, sign * values) for sign in (1.0, -1.0)]
    scored = [ScoredRows(ranking, is_fraud, weight) for ranking in rankings]
    area, precision = max(map(roc_auc, scored)), max(map(average_precision, scored))
    if area < STRONG_AUC and precision < STRONG_PRECISION:
        return None
    message = (
        f"column {name!r} alone separates nearly all frauds from legitimate rows (average precision {precision:.3f}, "
        f"ROC AUC {area:.4f}): does it leak? --exclude {name} trains without it"
    )
    return LeakSuspicion(name, area, precision, message)
