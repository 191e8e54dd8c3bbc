"""Renders the pages of the dashboard: live alerts, queue, charts, schema, ledger and sign-in."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.dashboard.services.ledger_report import ledger_report, ledger_status, loss_sentence
from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.services.schema_messages import iso, percent
from fraudstream.dashboard.views.alert_page import alert_page
from fraudstream.dashboard.views.audit import audit_page
from fraudstream.dashboard.views.charts import SPANS, charts_html, table_html
from fraudstream.dashboard.views.dead_letters import dead_letters_page
from fraudstream.dashboard.views.model import schema_report
from fraudstream.dashboard.views.queue import queue_page
from fraudstream.dashboard.views.what_if import what_if_page
from fraudstream.dashboard.web import presentation
from fraudstream.dashboard.web.actor import COOKIE as NAME_COOKIE
from fraudstream.dashboard.web.actor import actor_or_nobody, remembered_name
from fraudstream.dashboard.web.presentation import NOTHING, milliseconds, rate, short_id
from fraudstream.dashboard.web.queries import ChartQuery
from fraudstream.dashboard.web.security import COOKIE, acting_session
from fraudstream.dashboard.web.templating import OWN_PAGE, PAGE
from fraudstream.store.filters import AlertFilter
from fraudstream.store.sessions import SESSION_HOURS
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


LIVE_ROWS: Final = 50
"""On the live pages: each row slows down the browser at every arrival; the queue has all of them."""
ACTIVITY_ROWS: Final = 50
TIMELINE_ROWS: Final = 50
LEDGER_ROWS: Final = 25
TIMELINE: Final = (EventType.SCHEMA.value, EventType.MODEL.value)
"""The events of the Schema page: new schemas and deployments."""

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def alerts() -> str:
    """Render the live table of alerts."""
    return _table(Outcome.ALERT)


@blueprint.get("/unscorable")
def unscorable() -> str:
    """Render the live table of unscorable payments."""
    return _table(Outcome.UNSCORABLE)


@blueprint.get("/alerts/<path:alert_id>")
def alert(alert_id: str) -> str:
    """Render an alert: its reasons, values, origin and triage history."""
    return alert_page(alert_id)


@blueprint.get("/what-if")
def what_if() -> str:
    """Render the effect of another threshold, with a form to deploy it."""
    return what_if_page()


@blueprint.get("/queue")
def queue() -> str | BaseResponse:
    """Render the queue of alerts for triage."""
    return queue_page()


@blueprint.get("/activity")
def activity() -> str:
    """Render the latest events, dead letters and rejected posts."""
    using = parts()
    return render_template(
        "activity.html",
        notice=using.notice,
        stats=using.statistics.current(),
        events=using.store.events(limit=ACTIVITY_ROWS),
        dead_letters=using.store.dead_letters(limit=ACTIVITY_ROWS),
        rejected=using.store.rejected(limit=ACTIVITY_ROWS),
        preview=presentation.payload_preview,
    )


@blueprint.get("/charts")
def charts() -> str:
    """Render the charts of payments, alerts, scores, amounts, latency and precision, by minute."""
    minutes = ChartQuery.read(request.args).minutes
    charts = charts_html(minutes).decode()
    return render_template("charts.html", notice=parts().notice, spans=SPANS, minutes=minutes, charts=charts)


@blueprint.get("/charts/fragment")
def charts_fragment() -> Response:
    """Render only the charts, or the table of one (`table`), for the page to update itself."""
    minutes, table = ChartQuery.read(request.args).minutes, request.args.get("table")
    return Response(charts_html(minutes) if table is None else table_html(minutes, table))


@blueprint.get("/dead-letters")
def dead_letters() -> str:
    """Render dead letters and unscorable payments, to inspect and replay."""
    return dead_letters_page()


@blueprint.get("/schema")
def schema() -> str:
    """Render the stream's schemas compared with the model's contract, and their changes."""
    using = parts()
    # Read first, so that the page's stream starts no later than its content.
    latest = using.store.latest_seq()
    report = schema_report(using)
    events = [event for kind in TIMELINE for event in using.store.events(kind=kind, limit=TIMELINE_ROWS)]
    return render_template(
        "schema.html",
        notice=using.notice,
        latest=latest,
        report=report,
        columns=sorted(report.current.columns, key=lambda column: not column.differs),
        unscorable=percent(report.current.unscorable_share),
        timeline=sorted(events, key=lambda event: -event.seq)[:TIMELINE_ROWS],
        short_id=presentation.short_id,
        needs_token=using.settings.ingest_token is not None,
    )


@blueprint.get("/ledger")
def ledger() -> str:
    """Render the outcomes of all records, and the records that the store refused or suppressed."""
    using = parts()
    report = ledger_report(using.store, limit=LEDGER_ROWS)
    is_good, headline = ledger_status(report)
    return render_template(
        "ledger.html",
        notice=using.notice,
        stats=using.store.totals(),
        report=report,
        is_good=is_good,
        headline=headline,
        losses=[loss_sentence(loss) for loss in report.losses],
        unacknowledged=using.system.unacknowledged_losses(),
        name=actor_or_nobody().name,
        conflicts=using.store.ledger.conflicts(limit=LEDGER_ROWS),
        rejected=using.store.rejected(limit=LEDGER_ROWS),
        short_id=presentation.short_id,
        iso=iso,
    )


@blueprint.get("/audit")
def audit() -> str:
    """Render the change log: actor, time, before and after."""
    return audit_page()


@blueprint.get("/login")
def login() -> str:
    """Render the sign-in form."""
    return render_template("login.html", notice=None, failed=False)


@blueprint.post("/login")
def sign_in_with_token() -> BaseResponse:
    """Start a session for a valid read token."""
    using = parts()
    if not g.attempt or not g.attempt.name:
        return Response(render_template("login.html", notice=None, failed=True), 401)
    answer = redirect(url_for("pages.alerts"), code=303)
    answer.set_cookie(
        COOKIE,
        using.sessions.open(remembered_name()),
        max_age=SESSION_HOURS * 3600,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )
    return answer


@blueprint.post("/logout")
def sign_out() -> BaseResponse:
    """End this browser's session, and remove its name: another person may use it next."""
    session = acting_session()
    if session is not None:
        parts().sessions.end(session)
    answer = redirect(url_for("pages.login"), code=303)
    for cookie in (COOKIE, NAME_COOKIE):
        answer.delete_cookie(cookie, samesite="Strict", secure=request.is_secure)
    return answer


def _table(outcome: Outcome) -> str:
    using = parts()
    # The rows up to a `seq`, and the stream from there on: nothing is duplicated or left out.
    latest = using.store.latest_seq()
    newest = using.store.alerts(AlertFilter(outcome=outcome), before=latest + 1, limit=LIVE_ROWS)
    rows = using.reasons.with_reasons(newest)
    stats = using.statistics.current()
    return render_template(
        [OWN_PAGE, PAGE],
        notice=using.notice,
        outcome=outcome.value,
        latest=latest,
        stats=stats,
        tiles=tiles(stats),
        rows=[presentation.row(alert.document(), stats) for alert in rows],
        most_rows=LIVE_ROWS,
        blank=presentation.BLANK_ROW,
    )
