"""The routes by which people work alerts; what may be done is `alerts/work.py`'s, who does it `actor.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from flask import Blueprint, Response
from werkzeug.datastructures import MultiDict

from fraudstream.alerts.changes import Actor
from fraudstream.alerts.status import VERDICTS, AlertStatus
from fraudstream.alerts.work import Order
from fraudstream.alerts.work_writing import Done
from fraudstream.dashboard.actor import actor
from fraudstream.dashboard.asked import posted_object, posted_text
from fraudstream.dashboard.asked_filter import filter_asked
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.stream import Hub
from fraudstream.errors import RequestError

MOST_ALERTS: Final = 1_000
"""Alerts that one request may change: each viewer is told of all of them."""

LONGEST_ID: Final = 240
LONGEST_NOTE: Final = 4_000
OWN_MEMBERS: Final = frozenset({"order", "skip", "who"})
"""What `next` is asked beside the filters of the list."""

blueprint = Blueprint("work", __name__)


@blueprint.post("/api/work/claim")
def claim() -> Response:
    """Have alerts for oneself."""
    who, posted = _actor_and_body()
    ids, take_over = _ids(posted), _flag(posted, "take_over")
    return _answer(parts().work.claim(who, ids, take_over=take_over, versions=_versions(posted)))


@blueprint.post("/api/work/release")
def release() -> Response:
    """Leave alerts to others."""
    who, posted = _actor_and_body()
    return _answer(parts().work.release(who, _ids(posted), versions=_versions(posted)))


@blueprint.post("/api/work/verdict")
def verdict() -> Response:
    """Decide alerts."""
    who, posted = _actor_and_body()
    status = posted.get("status")
    if status not in list(VERDICTS):
        raise RequestError(f"status must be {', '.join(VERDICTS[:-1])} or {VERDICTS[-1]}")
    note = posted.get("note") or ""
    return _answer(
        parts().work.verdict(
            who,
            _ids(posted),
            AlertStatus(status),
            note=(posted_text(posted, "note", LONGEST_NOTE) or "") if note else "",
            take_over=_flag(posted, "take_over"),
            versions=_versions(posted),
        )
    )


@blueprint.post("/api/work/note")
def note() -> Response:
    """Write a note on an alert."""
    who, posted = _actor_and_body()
    ids = _ids(posted)
    if len(ids) != 1:
        raise RequestError("a note is on one alert: name one in alert_ids")
    return _answer(parts().work.note(who, ids[0], posted_text(posted, "text", LONGEST_NOTE) or ""))


@blueprint.post("/api/work/undo")
def undo() -> Response:
    """Take one's own change back; another's only where that is said (`take_over`)."""
    who, posted = _actor_and_body()
    change_id = posted_text(posted, "change_id", LONGEST_ID) or ""
    return _answer(parts().work.undo(who, change_id, take_over=_flag(posted, "take_over")))


@blueprint.post("/api/work/next")
def next_alert() -> Response:
    """Claim the next alert and give it."""
    who, posted = _actor_and_body()
    using = parts()
    order = posted.get("order", Order.LOSS)
    if order not in list(Order):
        raise RequestError(f"order must be one of {', '.join(Order)}")
    skip = _ids(posted, "skip") if posted.get("skip") else []
    done = using.work.next(who, filter_asked(_query(posted)), Order(order), skip)
    found = using.store.alert(done.done[0].alert_id) if done.done else None
    body = b"null" if found is None else using.reasons.attached([found])[0].body
    return json_response(b'{"alert":%s,"change_id":%s}' % (body, orjson.dumps(done.change_id)))


@blueprint.get("/api/work/<path:alert_id>")
def standing(alert_id: str) -> Response:
    """How an alert stands, and what was done to it."""
    found = parts().work.standing(alert_id)
    if found is None:
        raise RequestError("there is no alert with this id", status=404)
    work, history = found
    return json_response({"work": work.document(), "history": history})


def tell_work(hub: Hub, done: Done) -> None:
    """Tell every viewer of a change, and have the alerts that a stream resumes with say the same."""
    told = orjson.dumps({"changes": [_stands(*each) for each in done.changed], "actor": done.actor.name})
    hub.tell_work(b"event: work\ndata: %s\n\n" % told, {seq: work for _, seq, work in done.changed})


def _actor_and_body() -> tuple[Actor, dict[str, Any]]:
    posted = posted_object()
    return actor(posted), posted


def _answer(done: Done) -> Response:
    body: dict[str, Any] = {
        "change_id": done.change_id,
        "done": [_stands(*each) for each in done.done],
        "refused": [
            {"alert_id": alert_id, "reason": reason, "work": None if work is None else work.document()}
            for alert_id, reason, work in done.refused
        ],
    }
    status = 409 if done.refused and not done.done else 200
    if status == 409:
        body |= {"error": done.refused[0].reason, "status": status}
    return json_response(body, status)


def _stands(alert_id: str, seq: int, work: Any) -> dict[str, Any]:
    stands = {"status": work.status, "assignee": work.assignee, "version": work.version}
    return {"alert_id": alert_id, "seq": seq, **stands}


def _ids(posted: Mapping[str, Any], name: str = "alert_ids") -> list[str]:
    """The ids that a member lists, each once."""
    given = posted.get(name)
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_ALERTS or not all(map(_is_id, given)):
        raise RequestError(f"{name} must be a list of 1 to {MOST_ALERTS:,} ids of alerts")
    return list(dict.fromkeys(given))


def _is_id(given: object) -> bool:
    return isinstance(given, str) and 0 < len(given) <= LONGEST_ID


def _flag(posted: Mapping[str, Any], name: str) -> bool:
    given = posted.get(name, False)
    if not isinstance(given, bool):
        raise RequestError(f"{name} must be true or false")
    return given


def _versions(posted: Mapping[str, Any]) -> dict[str, int]:
    given = posted.get("versions") or {}
    if not isinstance(given, dict) or not all(type(version) is int for version in given.values()):
        raise RequestError("versions must be an object of the alerts' ids and their versions")
    return given


def _query(posted: Mapping[str, Any]) -> MultiDict[str, str]:
    """The filters of a posted object as the query of the list would have them."""
    query: MultiDict[str, str] = MultiDict()
    for name, value in posted.items():
        if name in OWN_MEMBERS or value is None:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, bool) or not isinstance(each, str | int | float):
                raise RequestError(f"{name} must be text or a number, or a list of them")
            query.add(name, str(each))
    return query
