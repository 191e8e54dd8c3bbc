"""Defines the page, the API routes and the files of dead letters, unscorable transactions and replays."""

import base64
from codecs import getincrementaldecoder
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

import orjson
from flask import Response, render_template, request
from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.export import Exports, csv_text
from fraudstream.dashboard.web.formats import zoned
from fraudstream.dashboard.web.queries import DeadLetterListQuery, DeadLetterQuery, ReplayList
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import ClaimedReplays, Replay, ReplayRequested, WaitingReplays, answer, page
from fraudstream.messages.base import Object
from fraudstream.messages.requests import ReplayClaim, ReplayRequest, ReplayResults
from fraudstream.store.database import Database
from fraudstream.store.dead_letters import PAGE_SIZE, DeadLetterFilter, DeadLetterReader, StoredDeadLetter
from fraudstream.store.reading import AlertReader
from fraudstream.store.replays import ReplayLog
from fraudstream.transactions.wire import AlertField, DeadLetterField, Outcome, ReplayState

ROWS: Final = 50
REPLAYS: Final = 50
REPLAYS_PER_PAGE: Final = 1000
"""The most replays shown on a page: of a record replayed hundreds of times the newest."""

REFUSED: Final = "refused"
"""The kind of records that are no dead letters, but were posted to the API and are invalid."""

PREVIEW_BYTES: Final = 4_096
"""The part of a payload shown on the page; a download has all that is stored."""

_HEX_LINE: Final = 16


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


class DeadLetterRow(NamedTuple):
    """A dead letter on the page: the beginning of its payload, and `cut`, a sentence on the rest."""

    stored: StoredDeadLetter
    line: DeadLetterLine
    payload: str
    is_hex: bool
    cut: str
    replays: list[Replay]


api = Api("dead_letters")


@dataclass(frozen=True)
class DeadLetterViews:
    """Shows, lists and exports records, and requests their replay."""

    database: Database
    clock: Callable[[], datetime]
    exports: Exports
    actors: Actors

    @api.operation("GET", "/api/dead-letters", page("dead_letters", Object))
    def list_dead_letters(self, query: DeadLetterListQuery) -> object:
        """Dead letters and unscorable transactions, the newest first, with their replays."""
        dead_letters, following = DeadLetterReader(self.database).page(query, after=query.cursor, limit=query.limit)
        replays = self._replays_of(dead_letters)
        records = [as_json(each, replays[str(each.record_id)]) for each in dead_letters]
        return {"dead_letters": records, "next_cursor": None if following is None else str(following)}

    @api.operation("GET", "/api/dead-letters.csv", str, media_type="text/csv")
    def dead_letters_csv(self, query: DeadLetterQuery) -> Response:
        """All matches as a CSV file."""
        rows = ((vars(line).values() for line in lines) for lines in self._pages(query))
        return self._file("dead_letters.csv", csv_text(COLUMNS, rows), query)

    @api.operation("GET", "/api/dead-letters.jsonl", str, media_type="application/x-ndjson")
    def dead_letters_jsonl(self, query: DeadLetterQuery) -> Response:
        """All matches as JSON Lines."""
        option = orjson.OPT_APPEND_NEWLINE
        text = (b"".join(orjson.dumps(line, option=option) for line in lines) for lines in self._pages(query))
        return self._file("dead_letters.jsonl", text, query)

    def _replays_of(self, dead_letters: Iterable[StoredDeadLetter]) -> dict[str, list[Replay]]:
        """Return the replays of each dead letter, newest first, by its origin."""
        origins = [str(each.record_id) for each in dead_letters if each.record_id is not None]
        by_origin: dict[str, list[Replay]] = defaultdict(list)
        for replay in ReplayLog(self.database).replays(origins=origins, limit=REPLAYS_PER_PAGE):
            by_origin[replay.origin].append(replay)
        return by_origin

    def render(self, statistics: Statistics) -> str:
        """Render a page of the records that match the query, and the newest replays; or what the API refused."""
        stats = statistics.current()
        if request.args.get("kind") == REFUSED:
            refused = AlertReader(self.database).rejected(limit=ROWS)
            return render_template("rejected.html", stats=stats, filters={"kind": REFUSED}, refused=refused)
        reader, log = DeadLetterReader(self.database), ReplayLog(self.database)
        args = zoned(request.args, "since", "until")
        filters = {name: args[name] for name in DeadLetterFilter.model_fields if args.get(name)}
        query, after = DeadLetterFilter.read(args), DeadLetterListQuery.read(args).cursor
        dead_letters, following = reader.page(query, after=after, limit=ROWS)
        replays = self._replays_of(dead_letters)
        return render_template(
            "rejected.html",
            stats=stats,
            dead_letters=[dead_letter_row(each, replays[str(each.record_id)]) for each in dead_letters],
            matching=reader.count(query),
            filters=filters,
            query=urlencode(filters),
            download=urlencode({"kind": "all"} | filters),
            older=None if following is None else urlencode(filters | {"cursor": str(following)}),
            is_first=after is None,
            replays=log.replays(limit=REPLAYS),
            counts=log.counts(),
        )

    @api.operation("POST", "/api/replays", ReplayRequested, 404, 422, same=(409,))
    def request_replays(self, body: ReplayRequest) -> Response:
        """Request the replay of records, those at `places` or those that match a `filter`."""
        if body.places is None:
            filter_ = DeadLetterFilter.read(MultiDict(parse_qsl((body.filter or "").removeprefix("?"))))
        else:
            filter_ = DeadLetterFilter(place=list(dict.fromkeys(body.places)))
        requested = ReplayLog(self.database).request(body, filter_, self.actors.require(body.who).name, self.clock())
        missing = max(0, len(set(body.places or ())) - requested.letters)
        if missing and not body.dry_run:
            raise RequestError(
                f"{missing:,} of the records are no stored dead letters or unscorable transactions; none is sent",
                status=404,
            )
        response = requested._asdict() | {"missing": missing}
        if requested.batch is None and requested.replayed and not body.dry_run:
            error = (
                f"{requested.replayed:,} of {requested.letters:,} were replayed before; set `again` to send them again"
            )
            return json_response(response | {"error": error, "status": 409}, 409)
        return json_response(response)

    @api.operation("GET", "/api/replays", page("replays", Replay, counts=dict[ReplayState, int]))
    def list_replays(self, query: ReplayList) -> object:
        """Replays, the newest first, and their number in each state."""
        log = ReplayLog(self.database)
        replays = log.replays(
            state=query.state, batch=query.batch, origins=query.place or None, before=query.cursor, limit=query.limit
        )
        return {
            "replays": replays,
            "counts": log.counts(query.batch),
            "next_cursor": query.following([each.seq for each in replays]),
        }

    @api.operation("POST", "/api/replays/claim", ClaimedReplays | WaitingReplays)
    def claim_replays(self, body: ReplayClaim) -> object:
        """Assign replays to a sender, again after 30 seconds without a result; with `limit` 0 only count those
        waiting.
        """
        log = ReplayLog(self.database)
        if body.limit == 0:
            return {"waiting": log.waiting(self.clock(), body.batch)}
        return {"replays": log.claim(self.clock(), limit=body.limit, batch=body.batch)}

    @api.operation("POST", "/api/replays/results", answer("Recorded", recorded=int))
    def conclude_replays(self, body: ReplayResults) -> object:
        """Record the outcome of replays: for each its `place`, or the `reason` why it cannot be sent."""
        return {"recorded": ReplayLog(self.database).conclude(body.results, self.clock())}

    def _pages(self, query: DeadLetterQuery) -> Iterator[list[DeadLetterLine]]:
        lines = map(_line, DeadLetterReader(self.database).every(query))
        return iter(lambda: list(islice(lines, PAGE_SIZE)), [])

    def _file(self, name: str, pieces: Iterator[str] | Iterator[bytes], query: DeadLetterQuery) -> Response:
        return self.exports.response(name, pieces, lambda: DeadLetterReader(self.database).count(query))


def as_json(dead_letter: StoredDeadLetter, replays: list[Replay]) -> Object:
    """Return the JSON object of the API: the stored document, its kind, its size and its replays."""
    own = {"seq": dead_letter.seq, "kind": dead_letter.kind.value, "bytes": dead_letter.size}
    return own | dead_letter.document | {"replays": replays}


def dead_letter_row(dead_letter: StoredDeadLetter, replays: list[Replay]) -> DeadLetterRow:
    """Return the row of a dead letter on the page."""
    payload = dead_letter.payload
    text, is_hex = _readable(payload or b"")
    return DeadLetterRow(dead_letter, _line(dead_letter), text, is_hex, _cut(dead_letter, payload), replays)


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
    """Return the beginning of printable UTF-8 as text, of anything else in hexadecimal, and whether it is that."""
    start = payload[:PREVIEW_BYTES]
    with suppress(UnicodeDecodeError):
        # The last character may be cut off.
        text = getincrementaldecoder("utf-8")().decode(start, final=len(start) < PREVIEW_BYTES)
        if all(char.isprintable() or char in "\t\r\n" for char in text):
            return text, False
    lines = (start[at : at + _HEX_LINE].hex(" ", 2) for at in range(0, len(start), _HEX_LINE))
    return "\n".join(lines), True


def _cut(dead_letter: StoredDeadLetter, payload: bytes | None) -> str:
    if payload is None:
        return "The record has no value (a tombstone)." if dead_letter.kind == Outcome.DEAD_LETTER else ""
    if not payload:
        return "The value is empty."
    if len(payload) < dead_letter.size:
        return f"The first {min(len(payload), PREVIEW_BYTES):,} of {dead_letter.size:,} bytes; Kafka has the rest."
    return f"The first {PREVIEW_BYTES:,} of {dead_letter.size:,} bytes." if len(payload) > PREVIEW_BYTES else ""
