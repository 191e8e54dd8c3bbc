"""Derives an entity's id from its value, and reads the key that stands for card numbers."""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Final

from fraudstream.errors import SettingsError

KEYED: Final = "hmac:"
"""Begins the id of an entity whose value is a card number."""

KEY_BYTES: Final = 32
_DIGITS: Final = 32
_SEPARATORS: Final = re.compile(
    "[ \t\\-\x00\u00a0\u00ad\u2000-\u200d\u2010-\u2015\u202f\u2060\u2212\u3000\ufeff\uff0d]"
)
"""Spaces, dashes, characters without a width, and NUL (digits in UTF-16): those that mask a card number in a text."""
_CARD: Final = re.compile("[0-9]{12,19}")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def entity_id(value: str, secret: bytes) -> str:
    """Return the id of an entity in state, archive, alerts and pages: its value, unless that is a card number.

    A card number is 12 to 19 digits that pass the Luhn check, whatever spaces and dashes are between them. Its id is
    `hmac:` and the first 32 hexadecimal digits of HMAC-SHA256 over the digits: with a plain hash, who has the id could
    try all card numbers. A customer number that passes by chance is hashed too, which
    does no harm.
    """
    digits = _SEPARATORS.sub("", value)
    if _CARD.fullmatch(digits) is None or not _passes_luhn(digits):
        return value
    return KEYED + hmac.new(secret, digits.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _passes_luhn(digits: str) -> bool:
    values = list(map(int, reversed(digits)))
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


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
