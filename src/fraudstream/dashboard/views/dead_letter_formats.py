"""A dead letter or an unscorable row as it leaves the dashboard: as JSON, as a line of a download, and on the page."""

import base64
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Final, NamedTuple

import orjson

from fraudstream.dashboard.web.export import cell, taken
from fraudstream.messages.answers import Replay
from fraudstream.messages.base import Object
from fraudstream.store.dead_letters import PAGE_SIZE, StoredDeadLetter
from fraudstream.transactions.wire import AlertField, DeadLetterField, Outcome, ReplayState


@dataclass(frozen=True)
class Line:
    """A letter as a download has it; `complete` says whether the payload is all of the record's value."""

    kind: str
    topic: str | None
    partition: int | None
    offset: int | None
    event_id: str | None
    reason: str | None
    produced_at: str | None
    detected_at: str | None
    bytes: int
    complete: bool
    key: str | None
    headers: Object | None
    payload_text: str | None
    payload_base64: str | None


_AS_STORED: Final = ("topic", "partition", "offset", "reason", "produced_at", "detected_at")
COLUMNS: Final = tuple(column.name for column in fields(Line))

SHOWN_BYTES: Final = 4_096
"""So much of a payload stands on the page; a download holds all that is kept."""

_HEX_PIECE: Final = 2
_HEX_LINE: Final = 16


class DeadLetterRow(NamedTuple):
    """A letter on the page."""

    number: int
    line: Line
    origin: str
    place: str
    detected_at: str
    size: int
    payload: str
    is_hex: bool
    cut: str
    replays: list[Replay]
    replayed: bool


def as_json(letter: StoredDeadLetter, replays: list[Replay]) -> Object:
    """The letter as the API gives it: what was stored, its kind, its size and its replays."""
    own = {"seq": letter.seq, "kind": letter.kind.value, "bytes": letter.size}
    return own | letter.document | {"replays": replays}


def jsonl(letters: Iterable[StoredDeadLetter]) -> Iterator[bytes]:
    """JSON Lines, some hundred letters at a time."""
    for some in _pieces(letters):
        yield b"".join(orjson.dumps(_line(letter), option=orjson.OPT_APPEND_NEWLINE) for letter in some)


def csv_rows(letters: Iterable[StoredDeadLetter]) -> Iterator[str]:
    """CSV, some hundred letters at a time; no cell of it is run by a spreadsheet."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield taken(buffer)
    for some in _pieces(letters):
        for letter in some:
            writer.writerow([cell(value) for value in vars(_line(letter)).values()])
        yield taken(buffer)


def shown(number: int, letter: StoredDeadLetter, replays: list[Replay]) -> DeadLetterRow:
    """The letter as the page shows it."""
    line = _line(letter)
    payload = letter.payload
    text, is_hex = _readable((payload or b"")[:SHOWN_BYTES])
    return DeadLetterRow(
        number=number,
        line=line,
        origin="" if letter.record_id is None else str(letter.record_id),
        place=f"{line.topic}[{line.partition}] {line.offset}",
        detected_at=str(line.detected_at or letter.document.get("received_at") or ""),
        size=letter.size,
        payload="" if payload is None else text,
        is_hex=is_hex,
        cut=_cut(letter, payload),
        replays=replays,
        replayed=any(replay.state != ReplayState.FAILED for replay in replays),
    )


def _pieces(letters: Iterable[StoredDeadLetter]) -> Iterator[list[StoredDeadLetter]]:
    left = iter(letters)
    while some := list(islice(left, PAGE_SIZE)):
        yield some


def _line(letter: StoredDeadLetter) -> Line:
    document, payload = letter.document, letter.payload
    is_dead = letter.kind == Outcome.DEAD_LETTER
    headers = document.get(DeadLetterField.HEADERS)
    return Line(
        kind=letter.kind.value,
        **{name: document.get(name) for name in _AS_STORED},
        event_id=document.get(DeadLetterField.EVENT_ID if is_dead else AlertField.ALERT_ID),
        bytes=letter.size,
        complete=len(payload or b"") >= letter.size,
        key=document.get(DeadLetterField.KEY) if is_dead else None,
        headers=headers if isinstance(headers, dict) else None,
        payload_text=None if payload is None else _text(payload),
        payload_base64=None if payload is None else base64.b64encode(payload).decode(),
    )


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _readable(payload: bytes) -> tuple[str, bool]:
    """Printable UTF-8 as text, anything else in hexadecimal digits; and whether it is the latter."""
    # A character may have been cut at the end.
    for end in range(len(payload), max(len(payload) - 4, -1), -1):
        text = _text(payload[:end])
        if text is not None and (end == len(payload) or len(payload) == SHOWN_BYTES):
            if all(char.isprintable() or char in "\t\r\n" for char in text):
                return text, False
            break
    lines = (payload[at : at + _HEX_LINE].hex(" ", _HEX_PIECE) for at in range(0, len(payload), _HEX_LINE))
    return "\n".join(lines), True


def _cut(letter: StoredDeadLetter, payload: bytes | None) -> str:
    if payload is None:
        return "The record has no value (a tombstone)." if letter.kind == Outcome.DEAD_LETTER else ""
    if not payload:
        return "The value is empty."
    if len(payload) < letter.size:
        return f"The first {min(len(payload), SHOWN_BYTES):,} of {letter.size:,} bytes; Kafka has the rest."
    return f"The first {SHOWN_BYTES:,} of {letter.size:,} bytes." if len(payload) > SHOWN_BYTES else ""
