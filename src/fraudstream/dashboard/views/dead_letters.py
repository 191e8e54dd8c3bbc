"""Defines the page and the API routes of dead letters, unscorable transactions and replays."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from flask import Response, render_template, request
from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.views.dead_letter_formats import as_json, csv_rows, dead_letter_row, jsonl
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.export import Exports
from fraudstream.dashboard.web.queries import DeadLetterListQuery, DeadLetterQuery, ReplayList
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import ClaimedReplays, Replay, ReplayRequested, WaitingReplays, answer, page
from fraudstream.messages.base import Object
from fraudstream.messages.requests import ReplayClaim, ReplayRequest, ReplayResults
from fraudstream.store.database import Database
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader, StoredDeadLetter
from fraudstream.store.replays import ReplayLog
from fraudstream.transactions.wire import ReplayState

ROWS: Final = 50
REPLAYS: Final = 50
REPLAYS_PER_PAGE: Final = 1000
"""The most replays shown on a page: of a record replayed hundreds of times the newest."""

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
        return self._file(query, csv_rows, "dead_letters.csv")

    @api.operation("GET", "/api/dead-letters.jsonl", str, media_type="application/x-ndjson")
    def dead_letters_jsonl(self, query: DeadLetterQuery) -> Response:
        """All matches as JSON Lines."""
        return self._file(query, jsonl, "dead_letters.jsonl")

    def _replays_of(self, dead_letters: Iterable[StoredDeadLetter]) -> dict[str, list[Replay]]:
        """Return the replays of each dead letter, newest first, by its origin."""
        origins = [str(each.record_id) for each in dead_letters if each.record_id is not None]
        by_origin: dict[str, list[Replay]] = defaultdict(list)
        for replay in ReplayLog(self.database).replays(origins=origins, limit=REPLAYS_PER_PAGE):
            by_origin[replay.origin].append(replay)
        return by_origin

    def render(self) -> str:
        """Render a page of the dead letters that match the query, and the newest replays."""
        reader, log = DeadLetterReader(self.database), ReplayLog(self.database)
        filters = {name: request.args[name] for name in DeadLetterFilter.model_fields if request.args.get(name)}
        query, after = DeadLetterFilter.read(request.args), DeadLetterListQuery.read(request.args).cursor
        dead_letters, following = reader.page(query, after=after, limit=ROWS)
        replays = self._replays_of(dead_letters)
        return render_template(
            "dead_letters.html",
            dead_letters=[
                dead_letter_row(number, each, replays[str(each.record_id)]) for number, each in enumerate(dead_letters)
            ],
            matching=reader.count(query),
            filters=filters,
            query=urlencode(filters),
            download=urlencode({"kind": "all"} | filters),
            older=None if following is None else urlencode(filters | {"cursor": str(following)}),
            is_first=after is None,
            replays=log.replays(limit=REPLAYS),
            counts=log.counts(),
            name=self.actors.current().name,
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

    def _file(
        self, query: DeadLetterQuery, write: Callable[[Iterable[StoredDeadLetter]], Iterator[Any]], name: str
    ) -> Response:
        reader = DeadLetterReader(self.database)
        return self.exports.response(name, write(reader.every(query)), lambda: reader.count(query))
