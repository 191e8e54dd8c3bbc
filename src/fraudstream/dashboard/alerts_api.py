"""The routes that find alerts and hand them on: lists, polling and the files; one alert is `api.py`'s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson
from flask import Blueprint, Response, request

from fraudstream.alerts.cursor import Position, write_cursor
from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.dashboard.asked import whole
from fraudstream.dashboard.asked_filter import cursor_asked, event_asked, filter_asked, sort_asked
from fraudstream.dashboard.export import export_csv, export_json
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.times import iso_time

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
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
    rest = {"next_cursor": cursor, "complete": page.complete, "back_to": iso_time(page.reached_us)}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in found), orjson.dumps(rest)[1:]))


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


def _file(pieces: Iterator[str] | Iterator[bytes], kind: str, ending: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}.{ending}"'}
    return Response(pieces, mimetype=kind, headers=headers)
