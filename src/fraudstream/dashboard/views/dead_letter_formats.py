"""Formats dead letters and unscorable transactions as JSON, CSV and rows of the page."""

import base64
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Final, NamedTuple

import orjson

from fraudstream.dashboard.web.export import cell, drain
from fraudstream.messages.answers import Replay
from fraudstream.messages.base import Object
from fraudstream.store.dead_letters import PAGE_SIZE, StoredDeadLetter
from fraudstream.transactions.wire import AlertField, DeadLetterField, Outcome, ReplayState


@dataclass(frozen=True)
class DeadLetterLine:
    """A dead letter in a download; `complete` is whether the payload is the whole value of the record."""

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
COLUMNS: Final = tuple(column.name for column in fields(DeadLetterLine))

PREVIEW_BYTES: Final = 4_096
"""The part of a payload shown on the page; a download has all that is stored."""

_HEX_PIECE: Final = 2
_HEX_LINE: Final = 16


class DeadLetterRow(NamedTuple):
    """A dead letter on the page."""

    number: int
    line: DeadLetterLine
    origin: str
    record: str
    detected_at: str
    size: int
    payload: str
    is_hex: bool
    cut: str
    replays: list[Replay]
    replayed: bool


def as_json(dead_letter: StoredDeadLetter, replays: list[Replay]) -> Object:
    """Return the JSON object of the API: the stored document, its kind, its size and its replays."""
    own = {"seq": dead_letter.seq, "kind": dead_letter.kind.value, "bytes": dead_letter.size}
    return own | dead_letter.document | {"replays": replays}


def jsonl(dead_letters: Iterable[StoredDeadLetter]) -> Iterator[bytes]:
    """Yield JSON Lines, some hundred dead letters at a time."""
    for chunk in _chunks(dead_letters):
        yield b"".join(orjson.dumps(_line(dead_letter), option=orjson.OPT_APPEND_NEWLINE) for dead_letter in chunk)


def csv_rows(dead_letters: Iterable[StoredDeadLetter]) -> Iterator[str]:
    """Yield CSV, some hundred dead letters at a time; no cell is a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield drain(buffer)
    for chunk in _chunks(dead_letters):
        for dead_letter in chunk:
            writer.writerow([cell(value) for value in vars(_line(dead_letter)).values()])
        yield drain(buffer)


def dead_letter_row(number: int, dead_letter: StoredDeadLetter, replays: list[Replay]) -> DeadLetterRow:
    """Return the row of a dead letter on the page."""
    line = _line(dead_letter)
    payload = dead_letter.payload
    text, is_hex = _readable((payload or b"")[:PREVIEW_BYTES])
    return DeadLetterRow(
        number=number,
        line=line,
        origin="" if dead_letter.record_id is None else str(dead_letter.record_id),
        record=f"{line.topic}[{line.partition}] {line.offset}",
        detected_at=str(line.detected_at or dead_letter.document.get("received_at") or ""),
        size=dead_letter.size,
        payload="" if payload is None else text,
        is_hex=is_hex,
        cut=_cut(dead_letter, payload),
        replays=replays,
        replayed=any(replay.state != ReplayState.FAILED for replay in replays),
    )


def _chunks(dead_letters: Iterable[StoredDeadLetter]) -> Iterator[list[StoredDeadLetter]]:
    remaining = iter(dead_letters)
    while chunk := list(islice(remaining, PAGE_SIZE)):
        yield chunk


def _line(dead_letter: StoredDeadLetter) -> DeadLetterLine:
    document, payload = dead_letter.document, dead_letter.payload
    is_dead = dead_letter.kind == Outcome.DEAD_LETTER
    headers = document.get(DeadLetterField.HEADERS)
    return DeadLetterLine(
        kind=dead_letter.kind.value,
        **{name: document.get(name) for name in _AS_STORED},
        event_id=document.get(DeadLetterField.EVENT_ID if is_dead else AlertField.ALERT_ID),
        bytes=dead_letter.size,
        complete=len(payload or b"") >= dead_letter.size,
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
    """Return printable UTF-8 as text, anything else in hexadecimal, and whether it is hexadecimal."""
    # The last character may be cut off.
    for end in range(len(payload), max(len(payload) - 4, -1), -1):
        text = _text(payload[:end])
        if text is not None and (end == len(payload) or len(payload) == PREVIEW_BYTES):
            if all(char.isprintable() or char in "\t\r\n" for char in text):
                return text, False
            break
    lines = (payload[at : at + _HEX_LINE].hex(" ", _HEX_PIECE) for at in range(0, len(payload), _HEX_LINE))
    return "\n".join(lines), True


def _cut(dead_letter: StoredDeadLetter, payload: bytes | None) -> str:
    if payload is None:
        return "The record has no value (a tombstone)." if dead_letter.kind == Outcome.DEAD_LETTER else ""
    if not payload:
        return "The value is empty."
    if len(payload) < dead_letter.size:
        return f"The first {min(len(payload), PREVIEW_BYTES):,} of {dead_letter.size:,} bytes; Kafka has the rest."
    return f"The first {PREVIEW_BYTES:,} of {dead_letter.size:,} bytes." if len(payload) > PREVIEW_BYTES else ""
