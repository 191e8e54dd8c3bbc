"""The HTTP interface under `/api`, for the relay, for scripts and for the page's JavaScript; pages are `pages.py`'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fraudstream.alerts.store import Added, StoredAlert
from fraudstream.dashboard.asked import whole
from fraudstream.dashboard.asked_filter import outcome_asked
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.ledger_report import ledger_report
from fraudstream.dashboard.parts import Parts, parts
from fraudstream.dashboard.security import while_signed_in
from fraudstream.dashboard.stream import frames
from fraudstream.errors import RequestError, StoreError
from fraudstream.transactions.presentable import read_json

log = structlog.get_logger(__name__)

MAX_RECORDS: Final = 10_000
"""Records in one post; the size of the body is limited by `app.MAX_BODY_BYTES`."""

PAGE: Final = 100
LARGEST_PAGE: Final = 1000

blueprint = Blueprint("api", __name__)


@blueprint.post("/api/alerts")
def post_alerts() -> Response:
    """Store alerts; the answer comes after the commit, so that the relay may then commit its Kafka offset."""
    using = parts()

    def publish(alerts: list[StoredAlert]) -> None:
        using.statistics.committed(alerts)
        using.hub.publish(alerts)
        using.reasons.offer(alerts)

    return _receive(
        using,
        "alert",
        lambda posted: using.store.add_alerts(posted, on_commit=publish, describe=using.statistics.describe),
    )


@blueprint.post("/api/events")
def post_events() -> Response:
    """Store events, and take the counters from samples, progress and positions."""
    using = parts()

    def add(posted: list[object]) -> Added:
        added = using.store.add_events(posted, describe=using.statistics.describe)
        using.statistics.observe_events(posted, added.samples)
        return added

    return _receive(using, "event", add)


@blueprint.post("/api/dead-letters")
def post_dead_letters() -> Response:
    """Store the records that were no payments."""
    using = parts()
    return _receive(using, "dead letter", using.store.add_dead_letters)


@blueprint.get("/api/alerts/<path:alert_id>")
def one_alert(alert_id: str) -> Response:
    """One alert by its id."""
    found = parts().store.alert(alert_id)
    if found is None:
        raise RequestError("there is no alert with this id", status=404)
    return json_response(parts().reasons.attached([found])[0].body)


@blueprint.get("/api/stream")
def stream() -> Response:
    """Alerts and counters as they come, as server-sent events."""
    using = parts()
    resume = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if resume is not None and not (resume.isascii() and resume.isdecimal() and len(resume) <= 18):
        raise RequestError("Last-Event-ID must be the id of an event of this stream")
    pieces = frames(
        using.hub,
        using.store,
        after=None if resume is None else int(resume),
        outcome=outcome_asked(request.args),
        stats=using.statistics.current_json,
        on_written=using.statistics.written,
    )
    pieces = while_signed_in(pieces, using.sessions)
    return Response(pieces, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


@blueprint.get("/api/stats")
def stats() -> Response:
    """The counters."""
    return json_response(parts().statistics.current())


@blueprint.get("/api/events")
def list_events() -> Response:
    """The newest events first."""
    limit = _limit()
    found = parts().store.events(kind=request.args.get("type"), before=_cursor(), limit=limit)
    return _rows("events", found, limit)


@blueprint.post("/api/ledger")
def post_ledger() -> Response:
    """Store what became of the batches that the detector has committed."""
    using = parts()
    return _receive(using, "ledger entry", using.store.add_ledger)


@blueprint.get("/api/ledger")
def ledger() -> Response:
    """What every record came to, by partition, and the newest entries."""
    return json_response(ledger_report(parts().store, before=_cursor(), limit=_limit()))


@blueprint.get("/health")
def health() -> Response:
    """200 while the process lives and its database answers and takes writes; 503 with what is wrong."""
    checks = parts().health.checks()
    well = all(state == "ok" for state in checks.values())
    return json_response({"status": "ok" if well else "failing", "checks": checks}, 200 if well else 503)


@blueprint.get("/ready")
def ready() -> Response:
    """200 while this process can serve; 503 with the reasons while it cannot. The whole system is `system_api.py`'s."""
    reasons = parts().health.reasons()
    return json_response({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


@blueprint.get("/metrics")
def metrics() -> Response:
    """The counters for Prometheus."""
    return Response(generate_latest(parts().statistics.registry), content_type=CONTENT_TYPE_LATEST)


def _receive(using: Parts, kind: str, add: Callable[[list[object]], Added]) -> Response:
    if request.mimetype != "application/json":
        raise RequestError("post JSON, with Content-Type: application/json", status=415)
    posted = _parse(request.get_data(cache=False))
    if not isinstance(posted, list):
        raise RequestError("post a list of objects")
    if len(posted) > MAX_RECORDS:
        raise RequestError(f"post at most {MAX_RECORDS} records at once", status=413)
    # Once, and before the writer's lock is taken; what the relay has masked stays as it is.
    posted = [using.mask.record(each) for each in posted]
    try:
        using.health.check_file()
        added = _add(using, kind, posted, add)
    except StoreError as e:
        using.health.write_failed(e)
        raise
    using.health.written()
    using.system.posted(posted)
    answer = {
        "accepted": added.accepted,
        "duplicates": added.duplicates,
        "conflicts": added.conflicts,
        "rejected": [{"index": rejection.index, "reason": rejection.reason} for rejection in added.rejected],
    }
    return json_response(answer)


def _add(using: Parts, kind: str, posted: list[object], add: Callable[[list[object]], Added]) -> Added:
    """Store records; where one of them brings on an error that nobody foresaw, each by itself, and that one is kept.

    The relay would send it again for ever, and nothing behind it.
    """
    try:
        return add(posted)
    except StoreError:
        raise
    except Exception as e:
        log.exception("posted records could not be stored", kind=kind, records=len(posted))
        if len(posted) == 1:
            return using.store.reject(kind, posted[0], f"{type(e).__name__}: {e}")
    added = Added()
    for index, record in enumerate(posted):
        added.merge(_add(using, kind, [record], add), index)
    return added


def _parse(body: bytes) -> Any:
    # One NaN, half a surrogate pair or a subtree without end must not cost the rest of the list.
    try:
        return read_json(body)
    except ValueError as e:
        raise RequestError("the body is not JSON") from e


def _rows(name: str, found: list[Any], limit: int) -> Response:
    cursor = str(found[-1].seq) if len(found) == limit else None
    return json_response({name: [{"seq": row.seq} | row.document for row in found], "next_cursor": cursor})


def _cursor() -> int | None:
    return None if request.args.get("cursor") is None else whole("cursor", "", 10**18)


def _limit() -> int:
    return whole("limit", str(PAGE), LARGEST_PAGE)
