"""Masks what is about to be stored or logged: secrets of cards are removed, card numbers and personal data masked.

`DataMask.record` is applied to each record once before it is posted (`relay/records.py`) and, for other posters, once
where the API takes it in: nothing behind it has to mask. It is idempotent, never raises, and does a number of steps
linear in the size of the record, however deep that is nested.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import orjson

from fraudstream.transactions.cards import MASK, CardScan, fold, hide, mask_digits, masked_text
from fraudstream.transactions.sensitive_names import LONGEST_NAME, MENTION, Sensitivity, sensitivity
from fraudstream.transactions.times import words_of
from fraudstream.transactions.wire import AlertField, DeadLetterField, EventField

REMOVED: Final = "removed"
"""The member of a record that names the members that were removed."""

PAYLOAD_BYTES: Final = 65_535
"""So much of a payload is masked and passed on, more than the store keeps; the topic holds the whole of it."""

MOST_FIELDS: Final = 4_096
"""Fields written out in the texts of one record that are looked at; what follows them is masked whole."""

_LARGEST_WHOLE: Final = 10**40
_AMOUNTS: Final = frozenset({"amount", "amt", "price"})

_BY_COLUMN: Final = frozenset({EventField.COLUMNS.value, "aliases"})
"""Members that tell types and aliases by a column's name: `{"cvv": "number"}` holds no secret."""

_OWN_NUMBERS: Final = frozenset(
    {
        *(AlertField.PARTITION.value, AlertField.OFFSET.value, AlertField.SOURCE_ROW.value, AlertField.REVISION.value),
        *("seq", "batch_id", "from_offset", "until_offset", "records", "clear", "alert", "unscorable", "counted"),
        *("pid", "port", "bytes", "original_bytes", "column_count", "at", "timestamp"),
    }
)
_NUMBERS_ONLY: Final = ("_us", "_ms", "_at", "offset")
"""Members outside of a transaction whose numbers are places, times and counts; their texts are masked as all are."""

_SEPARATOR: Final = re.compile(r"[\w.\- ]{0,40}+(?:\\{0,8}[\"'])?\s{0,3}[:=>]{1,2}\s{0,3}")
_NAME: Final = re.compile(r"[\w.\- ]*+")
_VALUE: Final = re.compile(
    r'"(?:[^"\\]++|\\.)*+'
    r"|'(?:[^'\\]++|\\.)*+"
    r"""|\\{1,8}["'][^"'\\]*+"""
    r"""|[^\s,;&"'\\{}()\[\]|<>]++(?:[ \-]\d++)*+""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"(\\.)|[^\W_]", re.DOTALL)
_NO_VALUE: Final = frozenset({"null", "none", "true", "false", ""})
_PERSONAL_TEXTS: Final = (
    (re.compile(r"\b(?:cvv2?|cvc2?|cvn2?|csc|security code)[\s#]{1,3}(?:is |was |no\.? )?(?P<value>\d{3,4})\b"), "c"),
    (re.compile(r"\bpin(?:[ -]?code)?[\s#]{1,3}(?:is |was |no\.? )?(?P<value>\d{4,12})\b"), "pin"),
    (re.compile(r"(?<![\w-])(?P<value>(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4})(?![\w-])"), "-"),
)
"""What people write in a sentence, and a social security number by its shape; each with what a text with it has."""


class DataMask:
    """Masks by what values are (`cards.py`), by what their names mean (`sensitive_names.py`) and by declared names."""

    def __init__(self, columns: Iterable[str] = ()) -> None:
        """Declare columns that hold card numbers beside those that are known by their name, in upper or lower case."""
        self._declared = frozenset(fold(column.strip()) for column in columns if column.strip())
        words = (re.escape(name.rpartition(".")[2]) for name in self._declared)
        self._mention = re.compile("|".join((MENTION.pattern, *words))) if self._declared else MENTION

    def record(self, record: Any) -> Any:
        """What is posted of an alert, an event, a dead letter or an entry of the ledger, as it may be stored."""
        walk = _Walk(self)
        if not isinstance(record, Mapping):
            return walk.value(record)
        shown: dict[str, Any] = {}
        for name, value in record.items():
            if name == REMOVED and isinstance(value, list | tuple):
                continue
            if (kept := walk.member(str(name), value)) is not _GONE:
                shown[walk.text(str(name))] = kept
        former = record.get(REMOVED)
        names = [*(walk.value(former) if isinstance(former, list | tuple) else ()), *walk.removed]
        if names or isinstance(former, list | tuple):
            shown.pop(REMOVED, None)
            shown[REMOVED] = list(dict.fromkeys(name for name in names if isinstance(name, str)))
        for key in (AlertField.ALERT_ID.value, EventField.EVENT_ID.value):
            if key in shown and shown[key] != record.get(key) and DeadLetterField.PAYLOAD not in record:
                # Two numbers that read alike when masked must not become one alert.
                shown[key] = f"{shown[key]}~{_digest(shown.get(AlertField.TRANSACTION, shown))}"
        return shown

    def text(self, text: str) -> str:
        """A text of any kind: numbers in it, and what stands behind names in it, as in JSON, XML or `name=value`."""
        return _Walk(self).text(text)

    def names(self, name: str) -> Sensitivity | None:
        """What a column of this name, or of this dotted path, holds."""
        return self.sensitivity(name, beside_a_card=False)

    def sensitivity(self, path: str, *, beside_a_card: bool) -> Sensitivity | None:
        """What a member holds by its path."""
        if self._declared and ((lower := fold(path)) in self._declared or lower.rpartition(".")[2] in self._declared):
            return Sensitivity.CARD
        return sensitivity(path, beside_a_card=beside_a_card)

    def fields(self, text: str, folded: str, most: int) -> tuple[str, int]:
        """A text with the values behind sensitive names in it masked, and how many fields were looked at."""
        pieces: list[str] = []
        done = looked = at = 0
        while (mention := self._mention.search(folded, at)) is not None:
            at = mention.end()
            separator = _SEPARATOR.match(folded, at)
            if separator is None:
                continue
            looked += 1
            if looked > most:
                return "".join((*pieces, text[done:at], hide(text[at:]))), looked
            value = _VALUE.match(text, separator.end())
            kind = self._kind_of_field(text, mention.start(), separator) if value is not None else None
            if value is not None and kind is not None and value.group().lower() not in _NO_VALUE:
                pieces += text[done : value.start()], _masked_value(value.group(), kind)
                at = done = value.end()
        return "".join((*pieces, text[done:])) if pieces else text, looked

    def _kind_of_field(self, text: str, mention: int, separator: re.Match[str]) -> Sensitivity | None:
        begin = mention
        while begin > max(0, mention - 40) and (text[begin - 1].isalnum() or text[begin - 1] in "_-. "):
            begin -= 1
        found = _NAME.match(text, begin, separator.end())
        words = ("" if found is None else found.group()).split(" ")
        for first in range(max(0, len(words) - 4), len(words)):
            kind = self.sensitivity(" ".join(words[first:]), beside_a_card=False)
            if kind is not None:
                return kind
        return None


_Member = tuple[str | int, Any, str, Sensitivity | None]
"""Key, value, dotted name and what the name says."""


class _Gone:
    """Stands for a member that is removed."""


_GONE: Final = _Gone()


class _Walk:
    """One record's masking: what was removed, and how much was looked at."""

    def __init__(self, mask: DataMask) -> None:
        self.removed: list[str] = []
        self._mask = mask
        self._scan = CardScan()
        self._fields = 0

    def member(self, name: str, value: Any) -> Any:
        """A member of the record itself; `_GONE` where it is to be removed."""
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
        kind = self._mask.sensitivity(name, beside_a_card=False)
        if kind is Sensitivity.SECRET and _is_there(value):
            self.removed.append(self.text(name))
            return _GONE
        return self.value(value, name, kind)

    def value(self, root: Any, path: str = "", kind: Sensitivity | None = None, *, numbers: bool = True) -> Any:
        """A value with all that is in it, copied; a stack in place of recursion, for it may be nested thousands deep.

        `path` is its dotted name, empty for a transaction; `kind` what all of it holds, where its name says so;
        `numbers` whether numbers in it may be a card's.
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
                members = [(index, each, path, kind) for index, each in enumerate(self._ungrouped(value))]
            parent[key] = copy
            for name, each, inner, of in members:
                if isinstance(each, Mapping | list | tuple):
                    copy[name] = None
                    pending.append((copy, name, each, inner, of))
                else:
                    copy[name] = self.scalar(each, of, inner, numbers=numbers)
        return top[0]

    def scalar(self, value: Any, kind: Sensitivity | None = None, path: str = "", *, numbers: bool = True) -> Any:
        """A text or a number; anything else holds nothing."""
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return self.text(value) if kind is None else _hidden(value, kind)
        if not isinstance(value, int | float):
            return value
        if kind is not None:
            return (
                _hidden(str(int(value)) if _is_whole(value) else repr(float(value)), kind)
                if abs(value) < 1e300
                else MASK
            )
        if not numbers or not 10**12 <= abs(value) < _LARGEST_WHOLE or not _is_whole(value) or _is_amount(path):
            return value
        digits = str(int(abs(value)))
        shown = self._scan.masked(digits)
        return value if shown is digits else shown

    def text(self, text: str) -> str:
        """A text of any kind."""
        if len(text) < 3:
            return text
        folded = fold(text)
        if ":" in folded or "=" in folded or ">" in folded:
            fielded, looked = self._mask.fields(text, folded, MOST_FIELDS - self._fields)
            self._fields += looked
            if fielded is not text:
                text, folded = fielded, fold(fielded)
        for pattern, needed in _PERSONAL_TEXTS:
            if needed in folded and (spans := [found.span("value") for found in pattern.finditer(folded)]):
                text = _without(text, spans)
                folded = _without(folded, spans)
        return self._scan.masked(text, folded)

    def _members(self, value: Mapping[Any, Any], path: str, kind: Sensitivity | None) -> list[_Member]:
        members: list[_Member] = []
        beside_a_card: bool | None = None
        for name, each in value.items():
            name = str(name)
            inner = f"{path}.{name}"[-LONGEST_NAME:] if path else name
            if beside_a_card is None and len(name) == 3:
                beside_a_card = any(self._mask.names(str(other)) is Sensitivity.CARD for other in value)
            of = self._mask.sensitivity(inner, beside_a_card=bool(beside_a_card))
            if of is Sensitivity.SECRET and _is_there(each):
                self.removed.append(self.text(inner))
            else:
                members.append((self.text(name), each, inner, of if of is not Sensitivity.SECRET and of else kind))
        return members

    def _ungrouped(self, value: list[Any] | tuple[Any, ...]) -> Iterable[Any]:
        """A list; where it is the groups of one card number, those masked."""
        if not 3 <= len(value) <= 5 or not all(
            isinstance(each, str | int) and not isinstance(each, bool) and 1 <= len(str(each)) <= 6 for each in value
        ):
            return value
        groups = list(map(str, value))
        joined = "/".join(groups)
        shown = self._scan.masked(joined)
        masked = shown.split("/")
        if shown == joined or len(masked) != len(groups):
            return value
        return [old if str(old) == new else new for old, new in zip(value, masked, strict=True)]

    def _payload(self, encoded: str) -> str:
        """A payload in base64; numbers of another length than they came in do not occur."""
        try:
            came = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return self.text(encoded)
        text = came[:PAYLOAD_BYTES].decode(errors="surrogateescape")
        shown = self.text(text)
        if shown is text and len(came) <= PAYLOAD_BYTES:
            return encoded
        return base64.b64encode(shown.encode(errors="surrogateescape")).decode()


def typed(value: Any) -> Any:
    """What a person typed, or a small document that repeats it: card numbers in its texts are masked."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {typed(name): typed(each) for name, each in value.items()}
    return [typed(each) for each in value] if isinstance(value, list | tuple) else value


def log_processor(mask: DataMask) -> Callable[[Any, str, MutableMapping[str, Any]], dict[str, Any]]:
    """A processor of structlog that masks what is logged; it comes after those that put exceptions into words."""

    def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        walk = _Walk(mask)
        told = {}
        for name, value in event.items():
            plain = value is None or isinstance(value, int | float | str | Mapping | list | tuple)
            shown = value if name.startswith("_") else walk.member(name, value if plain else str(value))
            told[name] = MASK * 3 if shown is _GONE else shown
        return told

    return masked


def _hidden(text: str, kind: Sensitivity) -> str:
    return mask_digits(text) if kind is Sensitivity.CARD else hide(text)


def _masked_value(value: str, kind: Sensitivity) -> str:
    if kind is Sensitivity.CARD:
        return mask_digits(value)
    # A letter behind a backslash is part of no value: \" and \n stay what they are.
    return hide(value) if "\\" not in value else _ESCAPED.sub(lambda found: found[1] or MASK, value)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for begin, end in spans:
        pieces += text[done:begin], hide(text[begin:end])
        done = end
    return "".join((*pieces, text[done:]))


def _is_there(value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and value != ""


def _is_whole(value: int | float) -> bool:
    return abs(value) < _LARGEST_WHOLE and (isinstance(value, int) or value.is_integer())


def _is_amount(path: str) -> bool:
    """Whether a number is a sum of money, which is as long as a card number now and then."""
    return bool(path) and not _AMOUNTS.isdisjoint(words_of(path.rpartition(".")[2]))


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
    except TypeError:  # what JSON cannot carry
        return "?"
