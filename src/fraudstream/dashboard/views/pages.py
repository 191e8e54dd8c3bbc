"""Renders the pages of the dashboard: live alerts, queue, charts, schema, ledger and sign-in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.ledger_report import ledger_report, ledger_status, loss_sentence
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.schema_messages import iso, percent
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.system_state import SystemState
from fraudstream.dashboard.views.alert_page import alert_page
from fraudstream.dashboard.views.audit import AuditViews
from fraudstream.dashboard.views.charts import SPANS, charts_html, table_html
from fraudstream.dashboard.views.dead_letters import DeadLetterViews
from fraudstream.dashboard.views.model import ModelViews
from fraudstream.dashboard.views.queue import queue_page
from fraudstream.dashboard.views.triage import TriageViews
from fraudstream.dashboard.views.what_if import what_if_page
from fraudstream.dashboard.web import formats, presentation
from fraudstream.dashboard.web.actor import COOKIE as NAME_COOKIE
from fraudstream.dashboard.web.actor import Actors, remembered_name
from fraudstream.dashboard.web.formats import NOTHING
from fraudstream.dashboard.web.presentation import milliseconds, rate, short_id
from fraudstream.dashboard.web.queries import ChartQuery
from fraudstream.dashboard.web.security import COOKIE, acting_session
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.filters import AlertFilter
from fraudstream.store.sessions import SESSION_HOURS, Sessions
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import EventType, Outcome


class Tile(NamedTuple):
    """A counter: its figure, and the line under it."""

    key: str
    label: str
    figure: str
    line: str
    help: str


def tiles(stats: Mapping[str, Any]) -> list[Tile]:
    """Return the counters as tiles."""
    scored, alerts = stats["scored"], stats["alerts"]
    share = f"{alerts / scored * 100:.2f} % of payments" if scored else "none scored yet"
    to = "Payment to page" if stats["latency_to"] != "store" else "Payment to store"
    return [
        Tile(
            "payments",
            "Payments received",
            f"{stats['payments_seen']:,}",
            f"≈ {scored:,} scored",
            "Payments that Kafka has acknowledged. The number scored is estimated from samples (≈).",
        ),
        Tile("alerts", "Fraud alerts", f"{alerts:,}", share, "Payments whose score reaches the model's threshold."),
        Tile(
            "rate",
            "Payments a second",
            rate(stats["rate"]),
            f"≈ {stats['lag']:,} waiting",
            "Over the last ten seconds. Waiting: acknowledged, but not yet scored (estimated from samples, ≈).",
        ),
        Tile(
            "latency",
            to,
            milliseconds(stats["p50_ms"]),
            f"99 % within {milliseconds(stats['p99_ms'])}" if stats["p99_ms"] is not None else "no recent alert",
            "The median time from a payment's production until its alert is sent to a page (to the store while no page "
            "is open), in the last minute.",
        ),
        Tile(
            "unjudged",
            "Unscorable",
            f"{stats['unscorable']:,}",
            "1 dead letter" if stats["dead_letters"] == 1 else f"{stats['dead_letters']:,} dead letters",
            "Payments with too many missing features to be scored; they never count as legitimate. Dead letters are "
            "records that are not valid payments.",
        ),
        Tile(
            "model",
            "Active model",
            short_id(stats["model_id"] or "") or NOTHING,
            NOTHING if stats["threshold"] is None else f"threshold {stats['threshold']:.4g}",
            stats["model_id"] or "No model has scored a payment yet.",
        ),
    ]


def set_preferences() -> BaseResponse:
    """Remember the theme and the time zone that the menu of a page sent, and return to that page."""
    cookies, back = formats.preferences(request.form)
    answer = redirect(back, code=303)
    for cookie, value in cookies.items():
        answer.set_cookie(
            cookie, quote(value, safe=""), max_age=formats.COOKIE_SECONDS, samesite="Lax", secure=request.is_secure
        )
    return answer


LIVE_ROWS: Final = 50
"""On the live pages: each row slows down the browser at every arrival; the queue has all of them."""
OWN_PAGE: Final = "dashboard.html"
"""Rendered instead of `alerts.html` if the user's folder has it; it usually extends that one."""

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

    def blueprint(self) -> Blueprint:
        """Route the addresses to the pages."""
        pages = Blueprint("pages", __name__)
        alert = partial(alert_page, self.store, self.reasons, self.explainers, self.actors)
        for path, endpoint, view in (
            ("/", "alerts", partial(self._table, Outcome.ALERT)),
            ("/unscorable", "unscorable", partial(self._table, Outcome.UNSCORABLE)),
            ("/alerts/<path:alert_id>", "alert", alert),
            ("/alerts/<path:alert_id>/history", "history", self.triage.history),
            ("/reason-codes", "reason_codes", self.triage.edit_reason_codes),
            ("/what-if", "what_if", partial(what_if_page, self.model)),
            ("/queue", "queue", partial(queue_page, self.store, self.statistics, self.reasons, self.actors)),
            ("/activity", "activity", self.activity),
            ("/charts", "charts", self.charts_page),
            ("/charts/fragment", "charts_fragment", self.charts_fragment),
            ("/dead-letters", "dead_letters", self.dead_letters.render),
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
        """Render the latest events, dead letters and rejected posts."""
        return render_template(
            "activity.html",
            stats=self.statistics.current(),
            events=self.store.events(limit=ACTIVITY_ROWS),
            dead_letters=self.store.dead_letters(limit=ACTIVITY_ROWS),
            rejected=self.store.rejected(limit=ACTIVITY_ROWS),
            preview=presentation.payload_preview,
        )

    def charts_page(self) -> str:
        """Render the charts of payments, alerts, scores, amounts, latency and precision, by minute."""
        minutes = ChartQuery.read(request.args).minutes
        charts = charts_html(self.charts, minutes).decode()
        return render_template("charts.html", spans=SPANS, minutes=minutes, charts=charts)

    def charts_fragment(self) -> Response:
        """Render only the charts, or the table of one (`table`), for the page to update itself."""
        minutes, table = ChartQuery.read(request.args).minutes, request.args.get("table")
        return Response(charts_html(self.charts, minutes) if table is None else table_html(self.charts, minutes, table))

    def schema(self) -> str:
        """Render the stream's schemas compared with the model's contract, and their changes."""
        # Read first, so that the page's stream starts no later than its content.
        latest = self.store.latest_seq()
        report = self.model.schema_report()
        events = [event for kind in TIMELINE for event in self.store.events(kind=kind, limit=TIMELINE_ROWS)]
        return render_template(
            "schema.html",
            latest=latest,
            report=report,
            columns=sorted(report.current.columns, key=lambda column: not column.differs),
            unscorable=percent(report.current.unscorable_share),
            timeline=sorted(events, key=lambda event: -event.seq)[:TIMELINE_ROWS],
        )

    def ledger(self) -> str:
        """Render the outcomes of all records, and the records that the store refused or suppressed."""
        report = ledger_report(self.store, limit=LEDGER_ROWS)
        is_good, headline = ledger_status(report)
        return render_template(
            "ledger.html",
            stats=self.store.totals(),
            report=report,
            is_good=is_good,
            headline=headline,
            losses=[loss_sentence(loss) for loss in report.losses],
            unacknowledged=self.system.unacknowledged_losses(),
            name=self.actors.current().name,
            conflicts=self.store.ledger.conflicts(limit=LEDGER_ROWS),
            rejected=self.store.rejected(limit=LEDGER_ROWS),
            iso=iso,
        )

    def sign_in_with_token(self) -> BaseResponse:
        """Start a session for a valid read token."""
        if not g.attempt or not g.attempt.name:
            return Response(render_template("login.html", notice=None, failed=True), 401)
        answer = redirect(url_for("pages.alerts"), code=303)
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

    def _table(self, outcome: Outcome) -> str:
        # The rows up to a `seq`, and the stream from there on: nothing is duplicated or left out.
        latest = self.store.latest_seq()
        newest = self.store.alerts(AlertFilter(outcome=outcome), before=latest + 1, limit=LIVE_ROWS)
        rows = self.reasons.with_reasons(newest)
        stats = self.statistics.current()
        return render_template(
            [OWN_PAGE, "alerts.html"],
            outcome=outcome.value,
            latest=latest,
            stats=stats,
            tiles=tiles(stats),
            rows=[presentation.row(alert.document(), stats) for alert in rows],
            most_rows=LIVE_ROWS,
            blank=presentation.BLANK_ROW,
        )
