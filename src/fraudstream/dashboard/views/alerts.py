"""Defines the API routes of alerts: lists, polling, files, the live stream, one alert and its new score."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from flask import Response, request, stream_with_context

from fraudstream.dashboard.services.live_stream import Hub, Published, frames, json_frames
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.rescoring import rescore_alert
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.web.export import Exports, export_csv, export_json
from fraudstream.dashboard.web.queries import AlertFileQuery, AlertList, AlertQuery, AlertScan, StreamQuery, is_event
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.dashboard.web.security import while_signed_in
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Alert, AlertPage, FollowingAlerts, Rescored, many
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.filters import AlertFilter, SearchPosition, Sort, write_cursor
from fraudstream.store.reading import StoredAlert
from fraudstream.store.search import SearchPage
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore
from fraudstream.times import iso_time

SCANNED_AT_ONCE: Final = 1_000
PROGRESS_SECONDS: Final = 0.5
FILE_NAME: Final = "fraudulent_transactions"

api = Api("api")


@dataclass(frozen=True)
class AlertViews:
    """Lists, exports, streams and rescores alerts."""

    store: AlertStore
    reasons: ReasonStore
    explainers: ExplainerLibrary
    model: Path
    hub: Hub
    statistics: Statistics
    sessions: Sessions
    exports: Exports
    row_frames: Callable[[Sequence[Published]], bytes]
    """Makes events with the rows of the review page."""

    @api.operation("GET", "/api/alerts", AlertPage | FollowingAlerts)
    def list_alerts(self, query: AlertList) -> Response:
        """The alerts that match, in an order; with a `since` of digits, those after that event."""
        if query.event is not None:
            following = alerts_after(self.store, query.event, query.filter(), query.limit)
            return _page(self.reasons.with_reasons(following.alerts), following._asdict())
        page = self.store.search.page(query.filter(), sort=query.sort, after=query.position(), limit=query.limit)
        alerts = self.store.entities.with_entities(self.reasons.with_reasons(page.alerts))
        cursor = None if page.following is None else write_cursor(query.sort, page.following)
        back = {"complete": page.complete, "back_to": iso_time(page.reached_us)}
        rest = {"next_cursor": cursor, **back, **self._searched(page, query.sort)}
        return _page(alerts, rest)

    @api.operation("GET", "/api/alerts/scan", str, media_type="application/x-ndjson")
    def scan_alerts(self, query: AlertScan) -> Response:
        """The alerts that match as they are found, a JSON object per line, with lines of progress."""
        lines = self._scanned(query.filter(), query.sort, query.position(), query.limit)
        return Response(lines, mimetype="application/x-ndjson", headers={"X-Accel-Buffering": "no"})

    @api.operation("GET", "/api/alerts.csv", str, media_type="text/csv")
    def alerts_csv(self, query: AlertFileQuery) -> Response:
        """The alerts that match as a CSV file."""
        filter_ = query.filter()
        return self._file("csv", export_csv(self.store, filter_, with_triage=query.work == 1), filter_)

    @api.operation("GET", "/api/alerts.json", many(Alert))
    def alerts_json(self, query: AlertQuery) -> Response:
        """The alerts that match as one array, an alert per line."""
        filter_ = query.filter()
        return self._file("json", export_json(self.store, self.reasons, filter_), filter_)

    @api.operation("GET", "/api/alerts/<path:alert_id>", Alert, 404)
    def one_alert(self, alert_id: str) -> Response:
        """One alert."""
        alert = self.store.alert(alert_id)
        if alert is None:
            raise RequestError("there is no alert with this id", status=404)
        return json_response(self.store.entities.with_entities(self.reasons.with_reasons([alert]))[0].body)

    @api.operation("GET", "/api/alerts/<path:alert_id>/rescore", Rescored, 404, 409)
    def rescore(self, alert_id: str) -> Response:
        """An alert rescored with the active model, and the difference from the stored score."""
        alert = self.store.alert(alert_id)
        if alert is None:  # an id may contain slashes, and end in /rescore
            return self.one_alert(f"{alert_id}/rescore")
        return json_response(rescore_alert(self.explainers, self.model, alert.document()))

    @api.operation("GET", "/api/stream", str, media_type="text/event-stream")
    def stream(self, query: StreamQuery) -> Response:
        """Alerts, reasons, triage and counters as server-sent events; resumes after the header `Last-Event-ID`."""
        resume = request.headers.get("Last-Event-ID")
        if resume is not None and not is_event(resume):
            raise RequestError("Last-Event-ID must be the id of an event of this stream")
        pieces = frames(
            self.hub,
            self.store,
            after=query.last_event_id if resume is None else int(resume),
            outcome=query.only,
            stats=self.statistics.current_json,
            on_written=self.statistics.written,
            encode=self.row_frames if query.rows else json_frames,
        )
        pieces = while_signed_in(pieces, self.sessions)
        # The rows depend on the viewer's cookies.
        return Response(stream_with_context(pieces), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def _file(self, kind: str, pieces: Iterator[str] | Iterator[bytes], filter_: AlertFilter) -> Response:
        rows = partial(self.store.count, filter_)
        return self.exports.response(f"{FILE_NAME}.{kind}", pieces, rows, at_most=filter_.looks_inside)

    def _scanned(self, filter_: AlertFilter, sort: Sort, after: SearchPosition | None, most: int) -> Iterator[bytes]:
        matches = 0
        # In an order by value the first match may be the last one found.
        seconds = PROGRESS_SECONDS if sort.column is None else math.inf
        while True:
            page = self.store.search.page(
                filter_, sort=sort, after=after, limit=min(SCANNED_AT_ONCE, most - matches), seconds=seconds
            )
            alerts, after = self.reasons.with_reasons(page.alerts), page.following
            matches += len(alerts)
            yield from (alert.body + b"\n" for alert in alerts)
            is_done = after is None or matches == most
            progress = self._searched(page, sort) | {"matches": matches, "done": is_done}
            yield orjson.dumps(progress, option=orjson.OPT_APPEND_NEWLINE)
            if is_done:
                return

    def _searched(self, page: SearchPage, sort: Sort) -> dict[str, int]:
        """Return how many of the alerts, in the order of commit, were searched for a page."""
        of = self.store.latest_seq()
        if page.reached is None:
            return {"scanned": of, "of": of}
        return {"scanned": page.reached if sort is Sort.OLDEST else max(of - page.reached + 1, 0), "of": of}


class Following(NamedTuple):
    """The alerts after an event, the oldest first; `latest` is the event to go on from."""

    alerts: list[StoredAlert]
    latest: int
    more: bool = False
    reset: bool = False
    complete: bool = True


def alerts_after(store: AlertStore, event: int, query: AlertFilter, limit: int) -> Following:
    """Return the first alerts that match after an event; `reset` if the store does not reach that far."""
    latest = store.latest_seq()
    page = store.search.page(query, sort=Sort.OLDEST, after=SearchPosition(seq=min(event, latest)), limit=limit)
    # Alerts committed since `latest` was read come with the next poll.
    alerts = [alert for alert in page.alerts if alert.seq <= latest]
    reached = latest if page.following is None else min(latest, page.following.seq or 0)
    return Following(alerts, reached, page.following is not None, event > latest, page.complete)


def _page(alerts: Sequence[StoredAlert], rest: Mapping[str, object]) -> Response:
    others = {name: value for name, value in rest.items() if name != "alerts"}
    return json_response(b'{"alerts":[%s],%s' % (b",".join(alert.body for alert in alerts), orjson.dumps(others)[1:]))
