"""The routes that find alerts and hand them on: lists, polling and the files; one alert is `api.py`'s."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import orjson
from flask import Blueprint, Response, request

from fraudstream.alerts.cursor import Position, write_cursor
from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.search import Page
from fraudstream.dashboard.asked import whole
from fraudstream.dashboard.asked_filter import cursor_asked, event_asked, filter_asked, sort_asked
from fraudstream.dashboard.export import export_csv, export_json
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import Parts, parts
from fraudstream.times import iso_time

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
MOST_SCANNED_FOR: Final = 1_000_000
PROGRESS_SECONDS: Final = 0.5
FILE_NAME: Final = "fraudulent_transactions"

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
    back = {"complete": page.complete, "back_to": iso_time(page.reached_us)}
    rest = {"next_cursor": cursor, **back, **_searched(parts(), page, sort)}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in found), orjson.dumps(rest)[1:]))


@blueprint.get("/api/alerts/scan")
def scan_alerts() -> Response:
    """The alerts that match, a JSON object a line, with lines that tell how far the search is."""
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
    reached = latest if page.following is None else min(latest, page.following.seq or 0)
    rest = {"latest": reached, "more": page.following is not None, "reset": event > latest, "complete": page.complete}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in found), orjson.dumps(rest)[1:]))


def _scanned(using: Parts, wanted: AlertFilter, sort: Sort, after: Position | None, most: int) -> Iterator[bytes]:
    matches = 0
    # In an order of values the first match may be the last that is found.
    seconds = PROGRESS_SECONDS if sort.column is None else math.inf
    while True:
        page = using.store.search.page(
            wanted, sort=sort, after=after, limit=min(LARGEST_PAGE, most - matches), seconds=seconds
        )
        found, after = using.reasons.attached(page.alerts), page.following
        matches += len(found)
        yield from (alert.body + b"\n" for alert in found)
        is_done = after is None or matches == most
        progress = _searched(using, page, sort) | {"matches": matches, "done": is_done}
        yield orjson.dumps(progress, option=orjson.OPT_APPEND_NEWLINE)
        if is_done:
            return


def _searched(using: Parts, page: Page, sort: Sort) -> dict[str, int]:
    """How many of the alerts, in the order of commit, were searched for a page."""
    of = using.store.latest_seq()
    if page.reached is None:
        return {"scanned": of, "of": of}
    return {"scanned": page.reached if sort is Sort.OLDEST else max(of - page.reached + 1, 0), "of": of}


def _file(pieces: Iterator[str] | Iterator[bytes], kind: str, ending: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}.{ending}"'}
    return Response(pieces, mimetype=kind, headers=headers)
