"""Masks card numbers in whatever leaves the system: an alert's JSON, documents, payloads, lines of a log.

The store and the topics keep what came, which is the record of it; `cards.py` says what a card number is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import orjson

from fraudstream.transactions.cards import (
    SHORTEST,
    is_card_column,
    is_card_number,
    mask_digits,
    masked_text,
    whole_digits,
)
from fraudstream.transactions.wire import AlertField, DeadLetterField, EventField

# What may hold a card: its first thirteen characters, not behind a digit or a decimal point. More than there are, so
# that one pass over the bytes tells that nothing is to be done: about 14 µs for an alert of 30 columns.
_SUSPECT: Final = re.compile(rb"[2-689][0-9 \-\x80-\xff]{12}(?<![0-9].{13})(?<![0-9]\..{13})", re.DOTALL)
_NAMED: Final = (b'number"', b'num"', b'no"', b'nr"', b'pan"', b'creditcard"')

_FIELD: Final = re.compile(r'"((?:[^"\\]|\\.){1,200})"(\s*:\s*)("(?:[^"\\]|\\.)*"?|-?[0-9*][0-9.eE+*-]*)')

KEPT: Final = frozenset(
    {
        *(each.value for each in AlertField if each not in (AlertField.TRANSACTION, AlertField.REASON)),
        *("seq", "id", "digest", "conflict_of", "at", "received_at", "revision", "run_id", "batch", "replay_id"),
        *("origin", "place", "checkpoint_id", "batch_id", "source_row", "dead_letter", "bytes", "change_id", "port"),
        *(EventField.EVENT_ID.value, EventField.POSITIONS.value, "pid", "timestamp", "level", "next_cursor"),
    }
) - {AlertField.IMPUTED.value, AlertField.TRANSACTION_TEXT.value}
"""Members of a document that are ids, places and times: they pass as they are. Within a transaction nothing does."""

_PAYLOADS: Final = frozenset({DeadLetterField.PAYLOAD.value, "payload", "payload_text"})
"""Members that hold a record as it came, as text or (the first) in base64."""

_NUMBERS_ONLY: Final = ("_us", "_ms", "_at", "offset")


class CardMask:
    """Masks by the digits of a number, by names that mean one anywhere, and by the names that an operator declares."""

    def __init__(self, columns: Iterable[str] = ()) -> None:
        """Declare columns beside those that are known by their name; upper and lower case are alike."""
        self._declared = frozenset(column.strip().lower() for column in columns if column.strip())
        last = {name.rpartition(".")[2] for name in self._declared}
        self._needles = (*_NAMED, *(orjson.dumps(name)[1:].lower() for name in last))
        self._keeps_figures = False

    def keeping_figures(self) -> CardMask:
        """The same, but for numbers outside of payments: for documents whose numbers are sums and counts of our own."""
        mask = CardMask(self._declared)
        mask._keeps_figures = True
        return mask

    def names(self, name: str, within: str = "") -> bool:
        """Whether a member is declared, by its own name or by its dotted path, or is named as card numbers are."""
        lower, path = name.lower(), f"{within}.{name}".lower() if within else ""
        return lower in self._declared or path in self._declared or is_card_column(path or name) or is_card_column(name)

    def json(self, body: bytes) -> bytes:
        """JSON with its cards masked: the same bytes where there are none, which costs microseconds."""
        if _SUSPECT.search(body) is None and not self._has_needle(body.lower()):
            return body
        return orjson.dumps(self.shown(orjson.loads(body)))

    def document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A record as it is shown: ids, places and times as they are, the payment in it masked, and numbers in texts.

        What is named as a card's number is masked in a payment, a payload and a reason; elsewhere a column's name may
        stand for its type or its share.
        """
        shown = {masked_text(str(name)): self._member(str(name), value) for name, value in document.items()}
        feature = document.get("feature")
        if isinstance(feature, str) and self.names(feature):
            shown |= self._reason(document)
        return shown

    def shown(self, value: Any) -> Any:
        """Any value as it is shown; objects are taken as `document` takes them."""
        if isinstance(value, Mapping):
            return self.document(value)
        if isinstance(value, list | tuple):
            return [self.shown(each) for each in value]
        return value if self._keeps_figures and not isinstance(value, str) else _scalar(value)

    def text(self, text: str) -> str:
        """A payload or a line of a log: numbers in it, and what stands behind a member of JSON that is named so."""
        if '"' in text and self._has_needle(text.lower().encode(errors="replace")):
            text = _FIELD.sub(self._field, text)
        return masked_text(text)

    def payload(self, payload: bytes) -> bytes:
        """Bytes that were a record's; as many as came."""
        try:
            return self.text(payload.decode()).encode()
        except UnicodeDecodeError:
            return self.text(payload.decode("latin-1")).encode("latin-1")

    def payment(self, value: Any, within: str = "") -> Any:
        """A payment, or the part of one that is under the dotted name `within`: nothing in it is an id of ours."""
        if isinstance(value, Mapping):
            # A log may tell of partitions by their numbers.
            named = ((str(name), each) for name, each in value.items())
            return {
                masked_text(name): _hidden(each)
                if self.names(name, within)
                else self.payment(each, f"{within}.{name}" if within else name)
                for name, each in named
            }
        if isinstance(value, list | tuple):
            return [self.payment(each, within) for each in value]
        return _scalar(value)

    def _member(self, name: str, value: Any) -> Any:
        if name in _PAYLOADS and isinstance(value, str):
            return self._encoded(value) if name == DeadLetterField.PAYLOAD else self.text(value)
        if name == AlertField.TRANSACTION:
            return self.payment(value)
        kept = name in KEPT or (isinstance(value, int) and name.endswith(_NUMBERS_ONLY))
        return value if kept and not isinstance(value, Mapping | list | tuple) else self.shown(value)

    def _reason(self, reason: Mapping[str, Any]) -> dict[str, Any]:
        """The members of a reason that tell the value of a column of cards."""
        told = {name: _hidden(reason[name]) for name in ("value", "typical") if name in reason}
        if isinstance(text := reason.get("text"), str):
            told["text"] = re.sub("[0-9*][0-9.*]{3,}", lambda found: mask_digits(found[0]), masked_text(text))
        return told

    def _field(self, found: re.Match[str]) -> str:
        if not self.names(found[1]):
            return found[0]
        return f'"{found[1]}"{found[2]}{mask_digits(found[3])}'

    def _encoded(self, payload: str) -> str:
        try:
            return base64.b64encode(self.payload(base64.b64decode(payload, validate=True))).decode()
        except (binascii.Error, ValueError):
            return self.text(payload)

    def _has_needle(self, lower: bytes) -> bool:
        return any(needle in lower for needle in self._needles)


def log_processor(mask: CardMask) -> Callable[[Any, str, MutableMapping[str, Any]], dict[str, Any]]:
    """A processor of structlog that masks what is logged; it comes after those that put exceptions into words."""

    def told(name: str, value: Any) -> Any:
        if name in KEPT or name.startswith("_") or value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return value if name.endswith(_NUMBERS_ONLY) else mask.payment({name: value})[name]
        if isinstance(value, Mapping | list | tuple):
            return mask.payment(value, name)
        return _hidden(str(value)) if mask.names(name) else mask.text(str(value))

    def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        return {name: told(name, value) for name, value in event.items()}

    return masked


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return masked_text(value) if len(value) >= SHORTEST else value
    digits = whole_digits(value)
    return value if digits is None or not is_card_number(digits) else mask_digits(digits)


def _hidden(value: Any) -> Any:
    """What a declared column holds, of whatever kind."""
    if isinstance(value, Mapping):
        return {masked_text(str(name)): _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    return mask_digits(value if isinstance(value, str) else whole_digits(value) or str(value))
