"""The routes that show dead letters and unscorable rows, and give them as files; replays are `replays_api.py`'s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from fraudstream.alerts.letters import KINDS, Cursor, Letter, LetterFilter, LetterReader, parse_cursor
from fraudstream.alerts.replay_log import ReplayLog
from fraudstream.dashboard.asked import instant_of, whole
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.letters import as_json, csv_rows, jsonl
from fraudstream.dashboard.parts import parts
from fraudstream.errors import RequestError
from fraudstream.transactions.wire import Outcome

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
EVERY_KIND: Final = "all"
LARGEST_PARTITION: Final = 10**9
LARGEST_OFFSET: Final = 10**18
REPLAYS_SHOWN: Final = 1000
"""Replays of one page of letters: who replays a record hundreds of times sees the newest."""

blueprint = Blueprint("dead_letters", __name__)


@blueprint.get("/api/dead-letters")
def list_dead_letters() -> Response:
    """The newest first; `next_cursor` leads to the ones before."""
    limit = whole("limit", str(PAGE), LARGEST_PAGE)
    letters, following = LetterReader(parts().store).page(_asked(), after=cursor(), limit=limit)
    replays = replays_of(letters)
    found = [as_json(letter, replays[str(letter.origin)]) for letter in letters]
    body = {"dead_letters": found, "next_cursor": None if following is None else str(following)}
    return json_response(body)


@blueprint.get("/api/dead-letters.csv")
def dead_letters_csv() -> Response:
    """All that match as a CSV file."""
    return _file(csv_rows, "text/csv", "dead_letters.csv")


@blueprint.get("/api/dead-letters.jsonl")
def dead_letters_jsonl() -> Response:
    """All that match as JSON Lines."""
    return _file(jsonl, "application/x-ndjson", "dead_letters.jsonl")


def letter_filter(asked: Mapping[str, str], *, default_kind: str = EVERY_KIND) -> LetterFilter:
    """The filter in a query; a value that is empty, as a form sends it, does not narrow."""
    given = {name: value for name, value in asked.items() if value}
    kind, replayed = given.get("kind", default_kind), given.get("replayed")
    if kind not in (*KINDS, EVERY_KIND):
        raise RequestError(f"kind must be {', '.join(KINDS)} or {EVERY_KIND}")
    if replayed not in (None, "yes", "no"):
        raise RequestError("replayed must be yes or no")
    return LetterFilter(
        kind=None if kind == EVERY_KIND else Outcome(kind),
        reason=given.get("reason"),
        since_us=instant_of("since", given),
        until_us=instant_of("until", given),
        topic=given.get("topic"),
        partition=whole("partition", "", LARGEST_PARTITION, least=0, query=given) if "partition" in given else None,
        offset=whole("offset", "", LARGEST_OFFSET, least=0, query=given) if "offset" in given else None,
        replayed=None if replayed is None else replayed == "yes",
    )


def cursor() -> Cursor | None:
    """How far the list was read, as `next_cursor` told it."""
    given = request.args.get("cursor")
    if not given:
        return None
    cursor = parse_cursor(given)
    if cursor is None:
        raise RequestError("cursor must be a next_cursor of this list")
    return cursor


def replays_of(letters: Iterable[Letter]) -> dict[str, list[dict[str, Any]]]:
    """The replays of each letter, newest first, by its origin."""
    origins = [str(letter.origin) for letter in letters if letter.origin is not None]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for replay in ReplayLog(parts().store).replays(origins=origins, limit=REPLAYS_SHOWN):
        found[replay["origin"]].append(replay)
    return found


def _asked() -> LetterFilter:
    return letter_filter(request.args, default_kind=Outcome.DEAD_LETTER.value)


def _file(write: Callable[[Iterable[Letter]], Iterator[str] | Iterator[bytes]], kind: str, name: str) -> Response:
    reader, wanted = LetterReader(parts().store), _asked()
    record_export(name, lambda: reader.count(wanted))
    return Response(
        write(reader.every(wanted)), mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
