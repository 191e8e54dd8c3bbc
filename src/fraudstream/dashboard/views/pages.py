"""Renders the pages of the dashboard: the queue, charts, schema, ledger and sign-in."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.ledger_report import ledger_report
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.schema_messages import iso, percent
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.system_state import SystemState
from fraudstream.dashboard.views.alert_page import alert_page
from fraudstream.dashboard.views.audit import AuditViews
from fraudstream.dashboard.views.charts import SPANS, charts_html, table_html
from fraudstream.dashboard.views.dead_letters import DeadLetterViews
from fraudstream.dashboard.views.model import ModelViews
from fraudstream.dashboard.views.queue import QueueViews
from fraudstream.dashboard.views.triage import TriageViews
from fraudstream.dashboard.views.what_if import what_if_page
from fraudstream.dashboard.web import formats
from fraudstream.dashboard.web.actor import COOKIE as NAME_COOKIE
from fraudstream.dashboard.web.actor import Actors, remembered_name
from fraudstream.dashboard.web.queries import ChartQuery
from fraudstream.dashboard.web.security import COOKIE, acting_session
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.sessions import SESSION_HOURS, Sessions
from fraudstream.store.store import AlertStore
from fraudstream.transactions.drift import describe_columns
from fraudstream.transactions.wire import EventType


def _subject(columns: list[str]) -> str:
    """Return columns as the subject of a sentence, with its verb."""
    names = describe_columns(columns)
    return f"{names[0].upper()}{names[1:]} {'was' if len(columns) == 1 else 'were'}"


def _moved(**filters: str) -> BaseResponse:
    """Redirect the address of a page that is now a tab of the rejected records, with its filters."""
    query = urlencode([*request.args.items(multi=True), *filters.items()])
    return redirect(f"{url_for('pages.rejected')}?{query}".removesuffix("?"), code=308)


def set_preferences() -> BaseResponse:
    """Remember the theme and the time zone that the menu of a page sent, and return to that page."""
    cookies, back = formats.preferences(request.form)
    answer = redirect(back, code=303)
    for cookie, value in cookies.items():
        answer.set_cookie(
            cookie, quote(value, safe=""), max_age=formats.COOKIE_SECONDS, samesite="Lax", secure=request.is_secure
        )
    return answer


ACTIVITY_ROWS: Final = 50
TIMELINE_ROWS: Final = 50
LEDGER_ROWS: Final = 25
TIMELINE: Final = (EventType.SCHEMA.value, EventType.MODEL.value)
"""The events of the Schema page: new schemas and deployments."""


@dataclass(frozen=True)
class PageViews:
    """Renders the pages."""

    store: AlertStore
    statistics: Statistics
    reasons: ReasonStore
    explainers: ExplainerLibrary
    charts: Charts
    system: SystemState
    sessions: Sessions
    actors: Actors
    dead_letters: DeadLetterViews
    audit: AuditViews
    model: ModelViews
    triage: TriageViews
    queue: QueueViews

    def blueprint(self) -> Blueprint:
        """Route the addresses to the pages."""
        pages = Blueprint("pages", __name__)
        alert = partial(alert_page, self.store, self.reasons, self.explainers)
        for path, endpoint, view in (
            ("/", "queue", self.queue.page),
            ("/rows", "rows", self.queue.rows),
            ("/suggestions", "suggestions", self.queue.suggest),
            (
                "/queue",
                "former_queue",
                lambda: redirect(f"/?{request.query_string.decode()}", code=308),
            ),
            ("/rejected", "rejected", partial(self.dead_letters.render, self.statistics)),
            ("/unscorable", "unscorable", partial(_moved, kind="unscorable")),
            ("/alerts/<path:alert_id>", "alert", partial(alert, "alert.html")),
            ("/alerts/<path:alert_id>/history", "history", self.triage.history),
            ("/panels/<path:alert_id>", "alert_panel", partial(alert, "alert_panel.html")),
            ("/reason-codes", "reason_codes", self.triage.edit_reason_codes),
            ("/what-if", "what_if", partial(what_if_page, self.model)),
            ("/activity", "activity", self.activity),
            ("/charts", "charts", self.charts_page),
            ("/charts/fragment", "charts_fragment", self.charts_fragment),
            ("/dead-letters", "dead_letters", _moved),
            ("/schema", "schema", self.schema),
            ("/ledger", "ledger", self.ledger),
            ("/audit", "audit", self.audit.render),
            ("/login", "login", partial(render_template, "login.html", notice=None, failed=False)),
        ):
            pages.add_url_rule(path, endpoint, view)
        pages.add_url_rule("/login", "sign_in_with_token", self.sign_in_with_token, methods=["POST"])
        pages.add_url_rule("/reason-codes", "save_reason_codes", self.triage.edit_reason_codes, methods=["POST"])
        pages.add_url_rule("/preferences", "preferences", set_preferences, methods=["POST"])
        pages.add_url_rule("/logout", "sign_out", self.sign_out, methods=["POST"])
        return pages

    def activity(self) -> str:
        """Render the latest events."""
        return render_template("activity.html", events=self.store.events(limit=ACTIVITY_ROWS))

    def charts_page(self) -> str:
        """Render the charts of payments, alerts, scores, amounts, latency and precision, by minute."""
        query = ChartQuery.read(request.args)
        charts = charts_html(self.charts, query).decode()
        return render_template("charts.html", spans=SPANS, query=query, charts=charts)

    def charts_fragment(self) -> Response:
        """Render only the charts, or the table of one (`table`), for the page to update itself."""
        query, table = ChartQuery.read(request.args), request.args.get("table")
        return Response(charts_html(self.charts, query) if table is None else table_html(self.charts, query, table))

    def schema(self) -> str:
        """Render the stream's schemas compared with the model's contract, and their changes."""
        # Read first, so that the page's stream starts no later than its content.
        latest = self.store.latest_seq()
        report = self.model.schema_report()
        added = [column.name for column in report.current.columns if column.is_added]
        events = [event for kind in TIMELINE for event in self.store.events(kind=kind, limit=TIMELINE_ROWS)]
        return render_template(
            "schema.html",
            latest=latest,
            report=report,
            columns=sorted(report.current.columns, key=lambda column: not column.differs),
            added=_subject(added) if added else "",
            unscorable=percent(report.current.unscorable_share),
            timeline=sorted(events, key=lambda event: -event.seq)[:TIMELINE_ROWS],
        )

    def ledger(self) -> str:
        """Render the outcomes of all records, and the records that the store refused or suppressed."""
        return render_template(
            "ledger.html",
            stats=self.store.totals(),
            report=ledger_report(self.store, limit=LEDGER_ROWS),
            is_running=self.system.is_detecting(),
            unacknowledged=self.system.unacknowledged_losses(),
            conflicts=self.store.ledger.conflicts(limit=LEDGER_ROWS),
            iso=iso,
        )

    def sign_in_with_token(self) -> BaseResponse:
        """Start a session for a valid read token."""
        if not g.attempt or not g.attempt.name:
            return Response(render_template("login.html", notice=None, failed=True), 401)
        answer = redirect(url_for("pages.queue"), code=303)
        answer.set_cookie(
            COOKIE,
            self.sessions.open(remembered_name()),
            max_age=SESSION_HOURS * 3600,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return answer

    def sign_out(self) -> BaseResponse:
        """End this browser's session, and remove its name: another person may use it next."""
        session = acting_session()
        if session is not None:
            self.sessions.end(session)
        answer = redirect(url_for("pages.login"), code=303)
        for cookie in (COOKIE, NAME_COOKIE):
            answer.delete_cookie(cookie, samesite="Strict", secure=request.is_secure)
        return answer
