"""The routes of replays: requested by a person, claimed by a sender; the dead letters are `dead_letters_api.py`'s."""

from urllib.parse import parse_qsl

from flask import Response
from werkzeug.datastructures import MultiDict

from fraudstream.alerts.letters import LetterQuery
from fraudstream.alerts.replay_log import ReplayLog
from fraudstream.dashboard.actor import actor
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import ReplayList
from fraudstream.dashboard.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import ClaimedReplays, Replay, ReplayRequested, WaitingReplays, answer, page
from fraudstream.messages.requests import ReplayClaim, ReplayRequest, ReplayResults
from fraudstream.transactions.wire import ReplayState

api = Api("replays")


@api.operation("POST", "/api/replays", ReplayRequested, 404, 422, same=(409,))
def request_replays(body: ReplayRequest) -> Response:
    """Have records sent again, those at `places` or those that a `filter` matches."""
    if body.places is None:
        which = LetterQuery.read(MultiDict(parse_qsl((body.filter or "").removeprefix("?"))))
    else:
        which = LetterQuery(place=list(dict.fromkeys(body.places)))
    using = parts()
    requested = ReplayLog(using.store).request(body, which, actor(body.who).name, using.clock())
    missing = max(0, len(set(body.places or ())) - requested["letters"])
    if missing and not body.dry_run:
        raise RequestError(
            f"{missing:,} of the records named are no dead letter or unscorable row that is kept; none is sent",
            status=404,
        )
    answered = requested | {"missing": missing}
    replayed, letters = requested["replayed"], requested["letters"]
    if requested["batch"] is None and replayed and not body.dry_run:
        again = f"{replayed:,} of {letters:,} were replayed before; to send them again, say so (again)"
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
        "next_cursor": query.following([each["seq"] for each in found]),
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
