"""Dead letters and unscorable transactions: the routes of lists, files and replays, and the page."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from flask import Response, render_template, request
from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.views.dead_letter_formats import as_json, csv_rows, jsonl, shown
from fraudstream.dashboard.web.actor import actor, actor_or_nobody
from fraudstream.dashboard.web.export import file_response
from fraudstream.dashboard.web.queries import DeadLetterListQuery, DeadLetterQuery, ReplayList
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import ClaimedReplays, Replay, ReplayRequested, WaitingReplays, answer, page
from fraudstream.messages.base import Object
from fraudstream.messages.requests import ReplayClaim, ReplayRequest, ReplayResults
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader, StoredDeadLetter
from fraudstream.store.replays import ReplayLog
from fraudstream.transactions.wire import ReplayState

ROWS: Final = 50
REPLAYS: Final = 50
REPLAYS_SHOWN: Final = 1000
"""Replays of one page of letters: who replays a record hundreds of times sees the newest."""

api = Api("dead_letters")


@api.operation("GET", "/api/dead-letters", page("dead_letters", Object))
def list_dead_letters(query: DeadLetterListQuery) -> object:
    """Dead letters and unscorable transactions, the newest first, with their replays."""
    letters, following = DeadLetterReader(parts().store).page(query, after=query.cursor, limit=query.limit)
    replays = replays_of(letters)
    found = [as_json(letter, replays[str(letter.record_id)]) for letter in letters]
    return {"dead_letters": found, "next_cursor": None if following is None else str(following)}


@api.operation("GET", "/api/dead-letters.csv", str, media_type="text/csv")
def dead_letters_csv(query: DeadLetterQuery) -> Response:
    """All that match as a CSV file."""
    return _file(query, csv_rows, "dead_letters.csv")


@api.operation("GET", "/api/dead-letters.jsonl", str, media_type="application/x-ndjson")
def dead_letters_jsonl(query: DeadLetterQuery) -> Response:
    """All that match as JSON Lines."""
    return _file(query, jsonl, "dead_letters.jsonl")


def replays_of(letters: Iterable[StoredDeadLetter]) -> dict[str, list[Replay]]:
    """The replays of each letter, newest first, by its origin."""
    origins = [str(letter.record_id) for letter in letters if letter.record_id is not None]
    found: dict[str, list[Replay]] = defaultdict(list)
    for replay in ReplayLog(parts().store).replays(origins=origins, limit=REPLAYS_SHOWN):
        found[replay.origin].append(replay)
    return found


def dead_letters_page() -> str:
    """The letters that match the query, a page of them, and the newest replays."""
    using = parts()
    reader, log = DeadLetterReader(using.store), ReplayLog(using.store)
    given = {name: request.args[name] for name in DeadLetterFilter.model_fields if request.args.get(name)}
    query, after = DeadLetterFilter.read(request.args), DeadLetterListQuery.read(request.args).cursor
    letters, following = reader.page(query, after=after, limit=ROWS)
    replays = replays_of(letters)
    return render_template(
        "dead_letters.html",
        notice=using.notice,
        letters=[shown(number, each, replays[str(each.record_id)]) for number, each in enumerate(letters)],
        matching=reader.count(query),
        given=given,
        query=urlencode(given),
        download=urlencode({"kind": "all"} | given),
        older=None if following is None else urlencode(given | {"cursor": str(following)}),
        is_first=after is None,
        replays=log.replays(limit=REPLAYS),
        counts=log.counts(),
        name=actor_or_nobody().name,
        needs_token=using.settings.ingest_token is not None,
    )


@api.operation("POST", "/api/replays", ReplayRequested, 404, 422, same=(409,))
def request_replays(body: ReplayRequest) -> Response:
    """Have records sent again, those at `places` or those that a `filter` matches."""
    if body.places is None:
        which = DeadLetterFilter.read(MultiDict(parse_qsl((body.filter or "").removeprefix("?"))))
    else:
        which = DeadLetterFilter(place=list(dict.fromkeys(body.places)))
    using = parts()
    requested = ReplayLog(using.store).request(body, which, actor(body.who).name, using.clock())
    missing = max(0, len(set(body.places or ())) - requested.letters)
    if missing and not body.dry_run:
        raise RequestError(
            f"{missing:,} of the records named are no dead letter or unscorable row that is kept; none is sent",
            status=404,
        )
    answered = requested._asdict() | {"missing": missing}
    if requested.batch is None and requested.replayed and not body.dry_run:
        again = (
            f"{requested.replayed:,} of {requested.letters:,} were replayed before; to send them again, say so (again)"
        )
        return json_response(answered | {"error": again, "status": 409}, 409)
    return json_response(answered)


@api.operation("GET", "/api/replays", page("replays", Replay, counts=dict[ReplayState, int]))
def list_replays(query: ReplayList) -> object:
    """Records that are sent again, the newest first, and how many are in each state."""
    log = ReplayLog(parts().store)
    found = log.replays(
        state=query.state, batch=query.batch, origins=query.place or None, before=query.cursor, limit=query.limit
    )
    return {
        "replays": found,
        "counts": log.counts(query.batch),
        "next_cursor": query.following([each.seq for each in found]),
    }


@api.operation("POST", "/api/replays/claim", ClaimedReplays | WaitingReplays)
def claim_replays(body: ReplayClaim) -> object:
    """Give replays to a sender, again after 30 seconds without a result; with `limit` 0 only count those that wait."""
    using = parts()
    log = ReplayLog(using.store)
    if body.limit == 0:
        return {"waiting": log.waiting(using.clock(), body.batch)}
    return {"replays": log.claim(using.clock(), limit=body.limit, batch=body.batch)}


@api.operation("POST", "/api/replays/results", answer("Recorded", recorded=int))
def conclude_replays(body: ReplayResults) -> object:
    """Record what became of replays: for each its `place`, or the `reason` why it cannot be sent."""
    using = parts()
    return {"recorded": ReplayLog(using.store).conclude(body.results, using.clock())}


def _file(query: DeadLetterQuery, write: Callable[[Iterable[StoredDeadLetter]], Iterator[Any]], name: str) -> Response:
    reader = DeadLetterReader(parts().store)
    return file_response(name, write(reader.every(query)), lambda: reader.count(query))
