"""Reads an entity's value from a transaction, derives its id, and reads the key that stands for card numbers."""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fraudstream.errors import SettingsError
from fraudstream.transactions.cards import SEPARATORS, passes_luhn
from fraudstream.transactions.envelope import unwrapped
from fraudstream.transactions.wire import KEYED

KEY_BYTES: Final = 32
_DIGITS: Final = 32
_SEPARATORS: Final = re.compile(f"[{SEPARATORS}./_,]")
"""Those with which a card number is masked in a text."""
_FRACTION: Final = re.compile(r"\.0+\Z")
"""Of a number that a floating-point column has made of an identifier."""
_CARD: Final = re.compile("[0-9]{12,19}")

LONGEST_VALUE: Final = 1_024
"""No entity's value is longer; such a text must not make a record too large for a topic by becoming its key."""


def entity_value(record: bytes | Mapping[str, Any], column: str, envelope: str = "") -> str | None:
    """Return the text of a column's value in a record, a number as it is written there; None if it has none.

    None too for a text that is empty or too long, an object, a list, a record that is no JSON, and one whose envelope
    holds transactions of several values. A dotted name is also looked up in nested objects.
    """
    try:
        values = [member(each, column) for each in unwrapped(_parsed(record), envelope)]
    except (ValueError, RecursionError):
        return None
    texts = set(map(_text, values))
    return texts.pop() if len(texts) == 1 else None


def _parsed(record: bytes | Mapping[str, Any]) -> Any:
    """Parse a record with numbers as they are written, and with NaN, which the detector accepts."""
    if not isinstance(record, bytes):
        return record
    return json.loads(record.decode(), parse_int=str, parse_float=str, parse_constant=lambda name: None)


def member(transaction: Any, column: str) -> Any:
    """Return a member, in nested objects too: `card.id` is named so, or is `id` of the object `card`."""
    if not isinstance(transaction, Mapping):
        return None
    if column in transaction:
        return transaction[column]
    parts = column.split(".")
    for end in range(1, len(parts)):
        if isinstance(inner := transaction.get(".".join(parts[:end])), Mapping):
            return member(inner, ".".join(parts[end:]))
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # an Avro double, which may be an identifier
        value = int(value)
    text = "" if value is None or isinstance(value, Mapping | list | bytes) else str(value)
    return text if 1 <= len(text) <= LONGEST_VALUE else None


def entity_id(value: str, secret: bytes) -> str:
    """Return the id of an entity in state, archive, alerts and pages: its value, unless that is a card number.

    A card number is 12 to 19 digits that pass the Luhn check, whatever spaces, dashes and punctuation are between them,
    also with a fraction of zeros. Its id is `hmac:` and the first 32 hexadecimal digits of HMAC-SHA256 over the digits:
    with a plain hash, who has the id could try all card numbers. A customer number that passes by chance is hashed too,
    which does no harm.
    """
    for text in (_FRACTION.sub("", value), value):
        digits = _SEPARATORS.sub("", text)
        if _CARD.fullmatch(digits) is not None and passes_luhn(digits):
            return KEYED + hmac.new(secret, digits.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
    return value


def key_fingerprint(key: bytes) -> str:
    """Return 16 hexadecimal digits by which a key is recognised, and which do not reveal it."""
    return hmac.new(key, b"fraudstream entity key", hashlib.sha256).hexdigest()[:16]


def entity_key(path: Path) -> bytes:
    """Read the key file, 64 hexadecimal digits; writes it first if there is none, once for all processes.

    Raises SettingsError if it cannot be read or written, or is no such file: with another key the ids would change.
    """
    try:
        if not path.exists():
            _create(path)
        key = bytes.fromhex(path.read_bytes().decode("ascii"))
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not hexadecimal"
        raise _unusable(path, f"cannot be read or written: {reason}") from e
    if len(key) != KEY_BYTES:
        raise _unusable(path, f"has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _create(path: Path) -> None:
    """Write a new key and link it to its path, which fails if another process was first; readers see all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            # What was written under an id cannot be found again without the key.
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def _unusable(path: Path, what: str) -> SettingsError:
    return SettingsError(
        f"the key file of card numbers {what}",
        where=str(path),
        remedy="restore it from a backup, or correct FRAUDSTREAM_ENTITY_KEY; a new key makes every card a new entity",
    )
