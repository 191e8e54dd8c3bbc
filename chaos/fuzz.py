"""Records that no well-behaved producer sends, from a seed, each with what must become of it; `mixer.py` sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from chaos import hostile
from chaos.data import Verdict
from fraudstream.messages.ledger import Apart
from fraudstream.transactions.envelope import wrapped
from fraudstream.transactions.wire import Header, Outcome

Headers = list[tuple[str, str | bytes | None]]

NEAR_THE_LIMIT: Final = 900_000

DEAD_LETTER: Final = Verdict(Outcome.DEAD_LETTER, None)
UNSCORABLE: Final = Verdict(Outcome.UNSCORABLE, None)


WITHOUT_TRANSACTION: Final = Verdict(Apart.WITHOUT_TRANSACTION, None)


@dataclass(frozen=True)
class Oddity:
    """A record as it is sent.

    Attributes:
        kind: What is odd about it, in words.
        value: Its value; None for a tombstone.
        verdict: What must become of it; None where any outcome will do, as long as there is one.
        key: Its key.
        headers: Its headers.
    """

    kind: str
    value: bytes | None
    verdict: Verdict | None
    key: bytes | None = None
    headers: Headers = field(default_factory=list)


def oddities(count: int, texts: Sequence[bytes], verdicts: Sequence[Verdict], chance: Random) -> list[Oddity]:
    """So many odd records, all kinds by turns, in random order; made of rows that raise an alert."""
    frauds = [row for row, verdict in enumerate(verdicts) if verdict.outcome is Outcome.ALERT]
    kinds = list(_KINDS.items())
    result = []
    for number in range(count):
        kind, make = kinds[number % len(kinds)]
        row = chance.choice(frauds)
        value, verdict, key, headers = make(texts[row], verdicts[row], chance)
        result.append(Oddity(kind, value, verdict, key, headers))
    chance.shuffle(result)
    return result


def in_envelope(odd: Oddity, envelope: str) -> Oddity:
    """The oddity in an envelope, of which one without a value is a delete."""
    if odd.value in (None, b"null"):
        odd = replace(odd, verdict=WITHOUT_TRANSACTION)
    return odd if odd.value is None else replace(odd, value=wrapped(odd.value, envelope))


_Made = tuple[bytes | None, Verdict | None, bytes | None, Headers]
_Maker = Callable[[bytes, Verdict, Random], _Made]


def _dead(value: Callable[[bytes, Random], bytes | None]) -> _Maker:
    return lambda row, verdict, chance: (value(row, chance), DEAD_LETTER, None, [])


def _object(value: Callable[[bytes, Random], bytes], *, as_the_row: bool = False) -> _Maker:
    return lambda row, verdict, chance: (value(row, chance), verdict if as_the_row else None, None, [])


def _beside(key: bytes | None, headers: Headers) -> _Maker:
    return lambda row, verdict, chance: (row, verdict, key, headers)


def _hostile(make: hostile.Maker) -> _Maker:
    def change(row: bytes, verdict: Verdict, chance: Random) -> _Made:
        value, is_alert = make(row, chance)
        return value, verdict if is_alert else None, None, []

    return change


def _more(row: bytes, text: bytes) -> bytes:
    return row[:-1] + b"," + text + b"}"


_KINDS: Final[Mapping[str, _Maker]] = {
    "random bytes": _dead(lambda row, chance: b"\xfe" + chance.randbytes(chance.randint(16, 2_000))),
    "JSON cut short": _dead(lambda row, chance: row[: chance.randint(1, len(row) - 1)]),
    "empty": _dead(lambda row, chance: b""),
    "tombstone": _dead(lambda row, chance: None),
    "white space": _dead(lambda row, chance: b" \n\t"),
    "null": _dead(lambda row, chance: b"null"),
    "an array": _dead(lambda row, chance: b"[" + row + b"]"),
    "a number": _dead(lambda row, chance: b"149.62"),
    "a text": _dead(lambda row, chance: b'"payment"'),
    "two objects": _dead(lambda row, chance: row + row),
    "text after the object": _dead(lambda row, chance: row + b" and more"),
    "single quotes": _dead(lambda row, chance: row.replace(b'"', b"'")),
    "not UTF-8": _dead(lambda row, chance: _more(row, b'"note":"\xff\xfe"')),
    "UTF-16": _dead(lambda row, chance: row.decode().encode("utf-16")),
    "a byte changed": _object(lambda row, chance: _with_byte(row, chance)),
    "no columns": lambda row, verdict, chance: (b"{}", UNSCORABLE, None, []),
    "columns that nobody knows": lambda row, verdict, chance: (b'{"a":1,"b":"two"}', UNSCORABLE, None, []),
    "equal names": _object(lambda row, chance: _more(row, b'"V1":0,"V1":[1],"V1":{"V1":2}')),
    "infinite and more": _object(lambda row, chance: _more(row, b'"V1":1e999,"V2":NaN,"V3":-Infinity')),
    "objects for numbers": lambda row, verdict, chance: (b'{"V1":{"V2":[{}]}}', UNSCORABLE, None, []),
    "lone surrogate": _object(lambda row, chance: _more(row, b'"note":"\\ud800 and \\udfff"'), as_the_row=True),
    "NUL and control characters": _object(lambda row, chance: _more(row, b'"note":"\\u0000\\u001f"'), as_the_row=True),
    "large and full of quotes": _object(
        lambda row, chance: _more(row, b'"note":"' + b'\\"' * (NEAR_THE_LIMIT // 2) + b'"'), as_the_row=True
    ),
    "1,000 columns": _object(
        lambda row, chance: _more(row, b",".join(b'"c%d":%d' % (i, i) for i in range(1_000))), as_the_row=True
    ),
    "event_id is empty": _beside(None, [(Header.EVENT_ID.value, b"")]),
    "event_id is no text": _beside(None, [(Header.EVENT_ID.value, b"\xff\xfe\xfd")]),
    "event_id is null": _beside(None, [(Header.EVENT_ID.value, None)]),
    "event_id is long": _beside(None, [(Header.EVENT_ID.value, b"x" * 5_000)]),
    "source_row is no number": _beside(None, [(Header.SOURCE_ROW.value, b"ten")]),
    "many headers": _beside(None, [(f"h{i}", b"\x00" * 16) for i in range(200)]),
    "a header without a name": _beside(None, [("", b"\x00")]),
    "a large key": _beside(b"\xff" * 100_000, []),
    **{f"hostile: {kind}": _hostile(make) for kind, make in hostile.KINDS.items()},
}


def _with_byte(row: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(row))
    return row[:at] + bytes([chance.randrange(256)]) + row[at + 1 :]
