"""The routes of alert triage; what may be done is `store/triage.py`'s, who does it `actor.py`'s."""

from typing import Any

import orjson
from flask import Response

from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.web.actor import actor
from fraudstream.dashboard.web.queries import NextAlert
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Alert, Text, Triage, Triaged, answer
from fraudstream.messages.base import Object
from fraudstream.messages.requests import AddNote, Claim, Decide, Release, Undo
from fraudstream.store.triage_state import AlertStatus
from fraudstream.store.triage_writing import TriageResult

api = Api("work")


@api.operation("POST", "/api/work/claim", Triaged, same=(409,))
def claim(body: Claim) -> Response:
    """Claim alerts."""
    versions = body.versions or {}
    return _answer(parts().work.claim(actor(body.who), body.alert_ids, take_over=body.take_over, versions=versions))


@api.operation("POST", "/api/work/release", Triaged, same=(409,))
def release(body: Release) -> Response:
    """Leave one's own alerts to others."""
    return _answer(parts().work.release(actor(body.who), body.alert_ids, versions=body.versions or {}))


@api.operation("POST", "/api/work/verdict", Triaged, same=(409,))
def verdict(body: Decide) -> Response:
    """Decide alerts."""
    return _answer(
        parts().work.verdict(
            actor(body.who),
            body.alert_ids,
            AlertStatus(body.status),
            note=body.note or "",
            take_over=body.take_over,
            versions=body.versions or {},
        )
    )


@api.operation("POST", "/api/work/note", Triaged, same=(409,))
def note(body: AddNote) -> Response:
    """Write a note on one alert."""
    return _answer(parts().work.note(actor(body.who), body.alert_ids[0], body.text))


@api.operation("POST", "/api/work/undo", Triaged, 404, same=(409,))
def undo(body: Undo) -> Response:
    """Take one's own change back; another's only with `take_over`."""
    return _answer(parts().work.undo(actor(body.who), body.change_id, take_over=body.take_over))


@api.operation("POST", "/api/work/next", answer("ClaimedAlert", alert=Alert | None, change_id=Text))
def next_alert(body: NextAlert) -> Response:
    """Claim the first new alert in an order, of those that match."""
    using = parts()
    result = using.work.next(actor(body.who), body.filter(), body.order, body.skip)
    found = using.store.alert(result.done[0].alert_id) if result.done else None
    alert = b"null" if found is None else using.reasons.attached([found])[0].body
    return json_response(b'{"alert":%s,"change_id":%s}' % (alert, orjson.dumps(result.change_id)))


@api.operation("GET", "/api/work/<path:alert_id>", Triage, 404)
def triage(alert_id: str) -> object:
    """An alert's triage state, and its changes."""
    found = parts().work.state(alert_id)
    if found is None:
        raise RequestError("there is no alert with this id", status=404)
    work, history = found
    return {"work": work.document(), "history": history}


def publish_triage(hub: Hub, result: TriageResult) -> None:
    """Send every viewer a change, and have the alerts that a stream resumes with be as it left them."""
    changes = orjson.dumps({"changes": [_changed(*each) for each in result.changed], "actor": result.actor.name})
    hub.publish_triage(b"event: work\ndata: %s\n\n" % changes, {seq: work for _, seq, work in result.changed})


def _answer(result: TriageResult) -> Response:
    body: Object = {
        "change_id": result.change_id,
        "done": [_changed(*each) for each in result.done],
        "refused": [
            {"alert_id": alert_id, "reason": reason, "work": None if work is None else work.document()}
            for alert_id, reason, work in result.refused
        ],
    }
    status = 409 if result.refused and not result.done else 200
    if status == 409:
        body |= {"error": result.refused[0].reason, "status": status}
    return json_response(body, status)


def _changed(alert_id: str, seq: int, work: Any) -> Object:
    state = {"status": work.status, "assignee": work.assignee, "version": work.version}
    return {"alert_id": alert_id, "seq": seq, **state}
