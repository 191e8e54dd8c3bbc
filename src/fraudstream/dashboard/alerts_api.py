"""The routes that find alerts and hand them on: lists, polling, the scan and the files; one alert is `api.py`'s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import orjson
from flask import Blueprint, Response, request

from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.finding.cursor import Position, write_cursor
from fraudstream.dashboard.asked import whole
from fraudstream.dashboard.asked_filter import cursor_asked, event_asked, filter_asked, sort_asked
from fraudstream.dashboard.export import export_csv, export_json
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import Parts, parts

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
FILE_NAME: Final = "fraudulent_transactions"
MOST_SCANNED_FOR: Final = 1_000_000
PROGRESS_SECONDS: Final = 0.25

blueprint = Blueprint("alerts", __name__)


@blueprint.get("/api/alerts")
def list_alerts() -> Response:
    """The alerts that match, in the order that is asked for; `next_cursor` leads on."""
    wanted, limit = filter_asked(request.args), whole("limit", str(PAGE), LARGEST_PAGE)
    event = event_asked(request.args)
    if event is not None:
        return _after(event, wanted, limit)
    sort = sort_asked(request.args)
    page = parts().store.search.page(wanted, sort=sort, after=cursor_asked(request.args, sort), limit=limit)
    found = parts().reasons.attached(page.alerts)
    cursor = None if page.following is None else write_cursor(sort, page.following)
    rest = {"next_cursor": cursor, "complete": page.complete, "scanned": page.scanned, "of": page.of}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in found), orjson.dumps(rest)[1:]))


@blueprint.get("/api/alerts/scan")
def scan_alerts() -> Response:
    """The alerts that match as they are found, one JSON object a line, with lines that tell how far the scan is."""
    sort = sort_asked(request.args)
    most = whole("limit", str(MOST_SCANNED_FOR), MOST_SCANNED_FOR)
    lines = _scanned(parts(), filter_asked(request.args), sort, cursor_asked(request.args, sort), most)
    return Response(lines, mimetype="application/x-ndjson", headers={"X-Accel-Buffering": "no"})


@blueprint.get("/api/alerts.csv")
def alerts_csv() -> Response:
    """The alerts that match as a CSV file."""
    store, wanted = parts().store, filter_asked(request.args)
    record_export(f"{FILE_NAME}.csv", lambda: store.count(wanted), at_most=wanted.looks_inside)
    rows = export_csv(store, wanted, with_work=request.args.get("work") == "1")
    return _file(rows, "text/csv", "csv")


@blueprint.get("/api/alerts.json")
def alerts_json() -> Response:
    """The alerts that match as one JSON array."""
    using, wanted = parts(), filter_asked(request.args)
    record_export(f"{FILE_NAME}.json", lambda: using.store.count(wanted), at_most=wanted.looks_inside)
    return _file(export_json(using.store, using.reasons, wanted), "application/json", "json")


def _after(event: int, wanted: AlertFilter, limit: int) -> Response:
    """For who polls: what followed an event of the stream, the oldest first; `latest` is what to ask for next."""
    using = parts()
    latest = using.store.latest_seq()
    page = using.store.search.page(wanted, sort=Sort.OLDEST, after=Position(None, min(event, latest)), limit=limit)
    # What was committed since `latest` was read is told the next time.
    found = using.reasons.attached([alert for alert in page.alerts if alert.seq <= latest])
    reached = latest if page.following is None else min(latest, page.following.seq)
    rest = {"latest": reached, "more": page.following is not None, "reset": event > latest, "complete": page.complete}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in found), orjson.dumps(rest)[1:]))


def _scanned(using: Parts, wanted: AlertFilter, sort: Sort, after: Position | None, most: int) -> Iterator[bytes]:
    """Matches and progress, a line each; ends with the scan, at the limit, or when the reader goes away.

    In an order of values the matches come last.
    """
    told, matches, scanned, of = 0.0, 0, 0, 0
    for some, scanned, of in using.store.search.walk(wanted, sort=sort, after=after, most=most):
        found = using.reasons.attached(some[: most - matches])
        matches += len(found)
        yield from (alert.body + b"\n" for alert in found)
        if matches >= most:
            break
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            yield _progress(scanned, of, matches)
    yield _progress(scanned, of, matches, done=True)


def _progress(scanned: int, of: int, matches: int, *, done: bool = False) -> bytes:
    state = {"scanned": scanned, "of": of, "matches": matches, "done": done}
    return orjson.dumps(state, option=orjson.OPT_APPEND_NEWLINE)


def _file(pieces: Iterator[str] | Iterator[bytes], kind: str, ending: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}.{ending}"'}
    return Response(pieces, mimetype=kind, headers=headers)
