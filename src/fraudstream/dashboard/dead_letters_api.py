"""The routes that show dead letters and unscorable rows, and give them as files; replays are `replays_api.py`'s."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from flask import Response

from fraudstream.alerts.letters import Letter, LetterReader
from fraudstream.alerts.replay_log import ReplayLog
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.letters import as_json, csv_rows, jsonl
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import DeadLetterQuery, LetterList
from fraudstream.dashboard.routing import Api
from fraudstream.messages.answers import page
from fraudstream.messages.base import Object

REPLAYS_SHOWN: Final = 1000
"""Replays of one page of letters: who replays a record hundreds of times sees the newest."""

api = Api("dead_letters")


@api.operation("GET", "/api/dead-letters", page("dead_letters", Object))
def list_dead_letters(query: LetterList) -> object:
    """Dead letters and unscorable transactions, the newest first, with their replays."""
    letters, following = LetterReader(parts().store).page(query, after=query.cursor, limit=query.limit)
    replays = replays_of(letters)
    found = [as_json(letter, replays[str(letter.origin)]) for letter in letters]
    return {"dead_letters": found, "next_cursor": None if following is None else str(following)}


@api.operation("GET", "/api/dead-letters.csv", str, media_type="text/csv")
def dead_letters_csv(query: DeadLetterQuery) -> Response:
    """All that match as a CSV file."""
    return _file(query, csv_rows, "text/csv", "dead_letters.csv")


@api.operation("GET", "/api/dead-letters.jsonl", str, media_type="application/x-ndjson")
def dead_letters_jsonl(query: DeadLetterQuery) -> Response:
    """All that match as JSON Lines."""
    return _file(query, jsonl, "application/x-ndjson", "dead_letters.jsonl")


def replays_of(letters: Iterable[Letter]) -> dict[str, list[dict[str, Any]]]:
    """The replays of each letter, newest first, by its origin."""
    origins = [str(letter.origin) for letter in letters if letter.origin is not None]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for replay in ReplayLog(parts().store).replays(origins=origins, limit=REPLAYS_SHOWN):
        found[replay["origin"]].append(replay)
    return found


def _file(
    query: DeadLetterQuery, write: Callable[[Iterable[Letter]], Iterator[str] | Iterator[bytes]], kind: str, name: str
) -> Response:
    reader = LetterReader(parts().store)
    record_export(name, lambda: reader.count(query))
    return Response(
        write(reader.every(query)), mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
