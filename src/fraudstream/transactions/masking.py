"""Masks data before it is stored or logged: removes card secrets, masks card numbers and personal data.

`DataMask.record` is applied once to each record before it is posted (`relay/records.py`) and, for other clients, once
where the API receives it: nothing after it has to mask. It is idempotent, never raises, and takes time linear in the
size of the record, however deeply nested.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import orjson

from fraudstream.transactions.cards import MASK, CardScan, fold, hide, masked_text, replace_spans
from fraudstream.transactions.sensitive_names import LONGEST_NAME, SensitiveNames, Sensitivity
from fraudstream.transactions.times import words_of
from fraudstream.transactions.wire import AlertField, DeadLetterField, EventField

REMOVED: Final = "removed"
"""The member of a record that lists the removed members."""

FRAME_BYTES: Final = 5
"""Before an Avro record: a zero byte and the id of its schema."""
PAYLOAD_BYTES: Final = 65_535
"""This much of a payload is masked and forwarded, more than the store keeps; the topic has all of it."""

MOST_FIELDS: Final = 4_096
"""Most fields inspected in the texts of one record; the text after them is masked completely."""

_LARGEST_WHOLE: Final = 10**40
_AMOUNTS: Final = frozenset({"amount", "amt", "price"})

_BY_COLUMN: Final = frozenset({EventField.COLUMNS.value, "aliases"})
"""Members that map a column's name to its type or alias: `{"cvv": "number"}` contains no secret."""

_OWN_NUMBERS: Final = frozenset(
    {
        *(AlertField.PARTITION.value, AlertField.OFFSET.value, AlertField.SOURCE_ROW.value, AlertField.REVISION.value),
        *("seq", "batch_id", "from_offset", "until_offset", "records", "clear", "alert", "unscorable", "counted"),
        *("without_transaction", "additional"),
        *("pid", "port", "bytes", "original_bytes", "column_count", "at", "timestamp"),
    }
)
_NUMBERS_ONLY: Final = ("_us", "_ms", "_at", "offset")
"""Members outside of a transaction whose numbers are offsets, times and counts; their texts are masked as usual."""

_PERSONAL_TEXTS: Final = (
    (re.compile(r"\b(?:cvv2?|cvc2?|cvn2?|csc|security code)[\s#]{1,3}(?:is |was |no\.? )?(?P<value>\d{3,4})\b"), "c"),
    (re.compile(r"\bpin(?:[ -]?code)?[\s#]{1,3}(?:is |was |no\.? )?(?P<value>\d{4,12})\b"), "pin"),
    (re.compile(r"(?<![\w-])(?P<value>(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4})(?![\w-])"), "-"),
)
"""Secrets in prose, and social security numbers by their format; each with a substring that such a text contains."""


class DataMask:
    """Masks by value (`cards.py`), by the meaning of names (`sensitive_names.py`) and by declared names."""

    def __init__(self, columns: Iterable[str] = ()) -> None:
        """Declare additional columns with card numbers; their case does not matter."""
        self.sensitive = SensitiveNames(columns)

    def record(self, record: Any) -> Any:
        """Mask an alert, an event, a dead letter or a ledger entry for storage."""
        walk = _Walk(self)
        if not isinstance(record, Mapping):
            return walk.value(record)
        masked: dict[str, Any] = {}
        for name, value in record.items():
            if name == REMOVED and isinstance(value, list | tuple):
                continue
            if (member := walk.member(str(name), value)) is not _REMOVED:
                masked[walk.text(str(name))] = member
        former = record.get(REMOVED)
        names = [*(walk.value(former) if isinstance(former, list | tuple) else ()), *walk.removed]
        if names or isinstance(former, list | tuple):
            masked.pop(REMOVED, None)
            masked[REMOVED] = list(dict.fromkeys(name for name in names if isinstance(name, str)))
        for key in (AlertField.ALERT_ID.value, EventField.EVENT_ID.value):
            if key in masked and masked[key] != record.get(key) and DeadLetterField.PAYLOAD not in record:
                # Two numbers that are equal when masked must not become one alert.
                masked[key] = f"{masked[key]}~{_digest(masked.get(AlertField.TRANSACTION, masked))}"
        return masked

    def text(self, text: str) -> str:
        """Mask a text: numbers in it, and values after names in it, as in JSON, XML or `name=value`."""
        return _Walk(self).text(text)


_Member = tuple[str | int, Any, str, Sensitivity | None]
"""Key, value, dotted name and the name's sensitivity."""


_REMOVED: Final = object()
"""In the place of a removed member."""


class _Walk:
    """The masking of one record: the removed members, and how much was inspected."""

    def __init__(self, mask: DataMask) -> None:
        self.removed: list[str] = []
        self._names = mask.sensitive
        self._scan = CardScan()
        self._fields = 0

    def member(self, name: str, value: Any) -> Any:
        """Mask a top-level member of the record; returns `_REMOVED` if it must be removed."""
        if name == DeadLetterField.PAYLOAD and isinstance(value, str):
            return self._payload(value)
        if name in _BY_COLUMN and isinstance(value, Mapping):
            return {self.text(str(column)): self.scalar(kind) for column, kind in value.items()}
        if name == EventField.POSITIONS and isinstance(value, Mapping):
            return self.value(value, numbers=False)
        if name in (AlertField.TRANSACTION, EventField.VALUES):
            return self.value(value)
        if isinstance(value, int | float) and (name in _OWN_NUMBERS or name.endswith(_NUMBERS_ONLY)):
            return value
        kind = self._names.kind(name)
        if kind is Sensitivity.SECRET and _has_value(value):
            self.removed.append(self.text(name))
            return _REMOVED
        return self.value(value, name, kind)

    def value(self, root: Any, path: str = "", kind: Sensitivity | None = None, *, numbers: bool = True) -> Any:
        """Mask a copy of a nested value, with a stack instead of recursion, as it may be nested thousands deep.

        `path` is its dotted name, empty for a transaction; `kind` the sensitivity of all of it, if its name implies
        one; `numbers` whether numbers in it may be card numbers.
        """
        if not isinstance(root, Mapping | list | tuple):
            return self.scalar(root, kind, path, numbers=numbers)
        top: list[Any] = [root]
        pending: list[tuple[Any, Any, Any, str, Sensitivity | None]] = [(top, 0, root, path, kind)]
        while pending:
            parent, key, value, path, kind = pending.pop()
            if isinstance(value, Mapping):
                copy: Any = {}
                members = self._members(value, path, kind)
            else:
                copy = [None] * len(value)
                members = [(index, each, path, kind) for index, each in enumerate(self._mask_groups(value))]
            parent[key] = copy
            for name, each, inner, of in members:
                if isinstance(each, Mapping | list | tuple):
                    copy[name] = None
                    pending.append((copy, name, each, inner, of))
                else:
                    copy[name] = self.scalar(each, of, inner, numbers=numbers)
        return top[0]

    def scalar(self, value: Any, kind: Sensitivity | None = None, path: str = "", *, numbers: bool = True) -> Any:
        """Mask a text or a number; any other value is returned unchanged."""
        if isinstance(value, str):
            return self.text(value) if kind is None else kind.mask(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if kind is not None:
            return (
                kind.mask(str(int(value)) if _is_whole(value) else repr(float(value))) if abs(value) < 1e300 else MASK
            )
        if not numbers or not 10**12 <= abs(value) < _LARGEST_WHOLE or not _is_whole(value) or _is_amount(path):
            return value
        digits = str(int(abs(value)))
        masked = self._scan.masked(digits)
        return value if masked is digits else masked

    def text(self, text: str) -> str:
        """Mask a text."""
        if len(text) < 3:
            return text
        folded = fold(text)
        if ":" in folded or "=" in folded or ">" in folded:
            masked, inspected = self._names.mask_fields(text, folded, MOST_FIELDS - self._fields)
            self._fields += inspected
            if masked is not text:
                text, folded = masked, fold(masked)
        for pattern, substring in _PERSONAL_TEXTS:
            if substring in folded:
                spans = [match.span("value") for match in pattern.finditer(folded)]
                text, folded = (
                    replace_spans(each, [(begin, end, hide(each[begin:end])) for begin, end in spans])
                    for each in (text, folded)
                )
        return self._scan.masked(text, folded)

    def _members(self, value: Mapping[Any, Any], path: str, kind: Sensitivity | None) -> list[_Member]:
        members: list[_Member] = []
        beside_a_card: bool | None = None
        for name, each in value.items():
            name = str(name)
            inner = f"{path}.{name}"[-LONGEST_NAME:] if path else name
            if beside_a_card is None and len(name) == 3:
                beside_a_card = any(self._names.kind(str(other)) is Sensitivity.CARD for other in value)
            of = self._names.kind(inner, beside_a_card=bool(beside_a_card))
            if of is Sensitivity.SECRET and _has_value(each):
                self.removed.append(self.text(inner))
            else:
                members.append((self.text(name), each, inner, of if of is not Sensitivity.SECRET and of else kind))
        return members

    def _mask_groups(self, value: list[Any] | tuple[Any, ...]) -> Iterable[Any]:
        """Return a list, with its items masked if they are the groups of one card number."""
        if not 3 <= len(value) <= 5 or not all(
            isinstance(each, str | int) and not isinstance(each, bool) and 1 <= len(str(each)) <= 6 for each in value
        ):
            return value
        groups = list(map(str, value))
        joined = "/".join(groups)
        result = self._scan.masked(joined)
        masked = result.split("/")
        if result == joined or len(masked) != len(groups):
            return value
        return [old if str(old) == new else new for old, new in zip(value, masked, strict=True)]

    def _payload(self, encoded: str) -> str:
        """Mask a base64 payload; masking does not change the length of numbers."""
        try:
            payload = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return self.text(encoded)
        if len(payload) > FRAME_BYTES and payload[:1] == b"\0":
            # Avro has no names by which a verification code is known: of the record only the schema's id is kept.
            return base64.b64encode(payload[:FRAME_BYTES]).decode()
        text = payload[:PAYLOAD_BYTES].decode(errors="surrogateescape")
        masked = self.text(text)
        if masked is text and len(payload) <= PAYLOAD_BYTES:
            return encoded
        return base64.b64encode(masked.encode(errors="surrogateescape")).decode()


def typed(value: Any) -> Any:
    """Mask the card numbers in user input, or in a small document that contains it."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {typed(name): typed(each) for name, each in value.items()}
    return [typed(each) for each in value] if isinstance(value, list | tuple) else value


def log_processor(mask: DataMask) -> Callable[[Any, str, MutableMapping[str, Any]], dict[str, Any]]:
    """Return a structlog processor that masks log events; it must follow those that format exceptions."""

    def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        walk = _Walk(mask)
        masked = {}
        for name, value in event.items():
            plain = value is None or isinstance(value, int | float | str | Mapping | list | tuple)
            member = value if name.startswith("_") else walk.member(name, value if plain else str(value))
            masked[name] = MASK * 3 if member is _REMOVED else member
        return masked

    return mask_event


def _has_value(value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and value != ""


def _is_whole(value: int | float) -> bool:
    return abs(value) < _LARGEST_WHOLE and (isinstance(value, int) or value.is_integer())


def _is_amount(path: str) -> bool:
    """Return whether a number is an amount, which may be as long as a card number."""
    return bool(path) and not _AMOUNTS.isdisjoint(words_of(path.rpartition(".")[2]))


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
    except TypeError:  # not serializable as JSON
        return "?"
