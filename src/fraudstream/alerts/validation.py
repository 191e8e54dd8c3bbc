"""What may enter the alert store: an alert, an event or a dead letter as posted, checked and made ready for its row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fraudstream.times import microseconds, parse_time
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.presentable import MAX_PATHS, json_text, present
from fraudstream.transactions.wire import AlertField, Outcome

MAX_ID_CHARS: Final = 200
MAX_REJECTED_CHARS: Final = 256 * 1024
"""A rejected payload is kept up to this length: enough to see what it was."""

STORED_OUTCOMES: Final = (Outcome.ALERT, Outcome.UNSCORABLE)
RESERVED_KEYS: Final = frozenset({"seq", "work", "received_at", "conflict_of", "superseded"})
"""Keys that the store itself adds to an alert; posted ones are dropped."""

_INTEGERS = range(-(2**53), 2**53 + 1)
"""Integers that every reader of JSON takes for the same number, a browser's JavaScript too (RFC 8259, section 6)."""


class Unfit(ValueError):
    """Raised when something posted cannot be stored; its text is the reason shown to a person."""


@dataclass(frozen=True, slots=True)
class CheckedAlert:
    """An alert that may be stored: its whole JSON object and the values that have columns of their own."""

    document: dict[str, Any]
    alert_id: str
    outcome: Outcome
    score: float | None
    model_id: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    produced_us: int | None
    columns: list[str]
    digest: str
    schema_id: str | None
    amount: float | None

    @property
    def expected_loss(self) -> float | None:
        """Score times amount, where both are known: what is lost, on the average, by letting it pass."""
        return None if self.score is None or self.amount is None else self.score * self.amount


def check_alert(raw: object) -> CheckedAlert:
    """Check one posted alert, of which what cannot be stored and shown as it came is replaced, in place, by its text.

    Raises:
        Unfit: It cannot be stored; the reason names the key and what it should be.
    """
    if not isinstance(raw, dict):
        raise Unfit("an alert must be a JSON object")
    alert: dict[str, Any] = raw
    as_text = [*names_in(alert, AlertField.AS_TEXT), *present(alert)]
    if as_text:
        alert[AlertField.AS_TEXT.value] = as_text[:MAX_PATHS]
    alert_id = check_record_id(alert, AlertField.ALERT_ID)
    if alert_id is None:
        raise Unfit(f"alert_id must be text of 1 to {MAX_ID_CHARS} characters")
    outcome = alert.get(AlertField.OUTCOME, Outcome.ALERT)
    if outcome not in STORED_OUTCOMES:
        raise Unfit(f"outcome must be {' or '.join(STORED_OUTCOMES)}")
    transaction = alert.get(AlertField.TRANSACTION)
    if not isinstance(transaction, dict):
        raise Unfit("transaction must be a JSON object")
    score = number(alert, AlertField.SCORE)
    if score is None and outcome == Outcome.ALERT:
        raise Unfit("score must be a number for an alert")
    if score is not None and not 0.0 <= score <= 1.0:
        raise Unfit("score must be a number from 0 to 1")
    number(alert, AlertField.THRESHOLD)
    for key in (AlertField.SOURCE_ROW, AlertField.REVISION):
        integer(alert, key)
    text(alert, AlertField.REASON)
    instant(alert, AlertField.DETECTED_AT)
    names_in(alert, AlertField.IMPUTED)
    kept = {key: value for key, value in alert.items() if key not in RESERVED_KEYS}
    return CheckedAlert(
        document={AlertField.ALERT_ID.value: alert_id, AlertField.OUTCOME.value: str(outcome)} | kept,
        alert_id=alert_id,
        outcome=Outcome(outcome),
        score=score,
        model_id=text(alert, AlertField.MODEL_ID),
        topic=text(alert, AlertField.TOPIC),
        partition=integer(alert, AlertField.PARTITION),
        offset=integer(alert, AlertField.OFFSET),
        produced_us=instant(alert, AlertField.PRODUCED_AT),
        columns=list(transaction),
        digest=digest(transaction),
        schema_id=text(alert, AlertField.SCHEMA_ID),
        amount=amount_of(transaction),
    )


def check_object(raw: object, what: str) -> dict[str, Any]:
    """The posted thing as a JSON object that can be written as JSON again, down to its last number.

    Raises:
        Unfit: It is something else, is nested too deeply, or holds a number or text that JSON cannot carry.
    """
    if not isinstance(raw, dict):
        raise Unfit(f"{what} must be a JSON object")
    if paths := present(raw):
        raise Unfit(f"{paths[0]} cannot be written as JSON")
    return raw


def check_record_id(record: Mapping[str, Any], key: str) -> str | None:
    """The id under a key, None where there is none.

    Raises:
        Unfit: It is no text, empty or too long.
    """
    value = text(record, key)
    if value is not None and not 1 <= len(value) <= MAX_ID_CHARS:
        raise Unfit(f"{key} must be text of 1 to {MAX_ID_CHARS} characters")
    return value


def names_in(record: Mapping[str, Any], key: str) -> list[str]:
    """The list of names under a key, empty where there is none.

    Raises:
        Unfit: It is something else.
    """
    names = record.get(key)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise Unfit(f"{key} must be a list of column names")
    return names or []


def number(record: Mapping[str, Any], key: str) -> float | None:
    """The number under a key, None where there is none.

    Raises:
        Unfit: It is something else.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{key} must be a number")
    return float(value)


def integer(record: Mapping[str, Any], key: str) -> int | None:
    """The integer under a key, None where there is none.

    Raises:
        Unfit: It is not an integer, or one beyond 53 bits.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INTEGERS:
        # A longer one may have come as a float.
        is_long = isinstance(value, int | float) and abs(value) > _INTEGERS[-1]
        raise Unfit(f"{key} must be an integer" + (" of at most 53 bits" if is_long else ""))
    return value


def text(record: Mapping[str, Any], key: str) -> str | None:
    """The text under a key, None where there is none.

    Raises:
        Unfit: It is something else.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise Unfit(f"{key} must be text")
    return value


def instant(record: Mapping[str, Any], key: str) -> int | None:
    """The time under a key in microseconds since 1970 (UTC), None where there is none.

    Raises:
        Unfit: It is not a time in ISO 8601.
    """
    value = text(record, key)
    if value is None:
        return None
    try:
        return microseconds(parse_time(value))
    except (ValueError, OverflowError) as e:
        raise Unfit(f"{key} must be a time in ISO 8601") from e


def digest(value: object) -> str:
    """A fingerprint of a JSON value that does not depend on the order of keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def as_readable(raw: object) -> str:
    """Anything at all as text that can be stored and shown: a message as it is, anything else as JSON if it can be."""
    shown = str(raw) if isinstance(raw, str | Unfit) else json_text(raw)
    return shown[:MAX_REJECTED_CHARS].encode("utf-8", "backslashreplace").decode()
