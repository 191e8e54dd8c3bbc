"""The pages a person opens: live alerts, what was not judged, activity, sign-in; `static/` keeps them moving."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from fraudstream.dashboard.services.ledger_report import ledger_report, loss_sentence, verdict
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
    """One counter: its figure, and the line under it."""

    key: str
    label: str
    figure: str
    line: str
    help: str


def tiles(stats: Mapping[str, Any]) -> list[Tile]:
    """The counters."""
    scored, alerts = stats["scored"], stats["alerts"]
    share = f"{alerts / scored * 100:.2f} % of payments" if scored else "none scored yet"
    to = "Payment to page" if stats["latency_to"] != "store" else "Payment to store"
    return [
        Tile(
            "payments",
            "Payments seen",
            f"{stats['payments_seen']:,}",
            f"≈ {scored:,} scored",
            "Payments that Kafka has acknowledged. How many of them are scored is known from samples (≈).",
        ),
        Tile("alerts", "Fraud alerts", f"{alerts:,}", share, "Payments whose score reaches the model's threshold."),
        Tile(
            "rate",
            "Payments a second",
            rate(stats["rate"]),
            f"≈ {stats['lag']:,} waiting",
            "Over the last ten seconds. Waiting: acknowledged, and not yet known to be scored (from samples, ≈).",
        ),
        Tile(
            "latency",
            to,
            milliseconds(stats["p50_ms"]),
            f"99 % within {milliseconds(stats['p99_ms'])}" if stats["p99_ms"] is not None else "none measured yet",
            "The median from a payment's production until its alert is written to a page (to the store while no page "
            "is open), over the last 1,000 alerts.",
        ),
        Tile(
            "unjudged",
            "Not judged",
            f"{stats['unscorable']:,}",
            "1 dead letter" if stats["dead_letters"] == 1 else f"{stats['dead_letters']:,} dead letters",
            "Payments with too much missing to be scored; they are never called legitimate. Dead letters are records "
            "that were no payments at all.",
        ),
        Tile(
            "model",
            "Model in force",
            short_id(stats["model_id"] or "") or NOTHING,
            NOTHING if stats["threshold"] is None else f"threshold {stats['threshold']:.4g}",
            stats["model_id"] or "No model has judged a payment yet.",
        ),
    ]


LIVE_ROWS: Final = 50
"""On the live pages: each row costs the browser at every arrival; the queue has all of them."""
ACTIVITY_ROWS: Final = 50
TIMELINE_ROWS: Final = 50
LEDGER_ROWS: Final = 25
TIMELINE: Final = (EventType.SCHEMA.value, EventType.MODEL.value)
"""The events of the page Schema: those of the columns, and those of what is in force."""

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def alerts() -> str:
    """The live table of frauds."""
    return _table(Outcome.ALERT)


@blueprint.get("/unscorable")
def unscorable() -> str:
    """The payments that no model may judge."""
    return _table(Outcome.UNSCORABLE)


@blueprint.get("/alerts/<path:alert_id>")
def alert(alert_id: str) -> str:
    """One alert: why, its values, where it came from, what was done with it."""
    return alert_page(alert_id)


@blueprint.get("/what-if")
def what_if() -> str:
    """What another threshold would do, and putting it in force."""
    return what_if_page()


@blueprint.get("/queue")
def queue() -> str | BaseResponse:
    """The alerts that people work on: found, claimed, decided."""
    return queue_page()


@blueprint.get("/activity")
def activity() -> str:
    """What happened around the payments: events, dead letters, rejected posts."""
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
    """Payments, alerts, scores, amounts, latency and precision, by minute."""
    minutes = ChartQuery.read(request.args).minutes
    charts = charts_html(minutes).decode()
    return render_template("charts.html", notice=parts().notice, spans=SPANS, minutes=minutes, charts=charts)


@blueprint.get("/charts/fragment")
def charts_fragment() -> Response:
    """The charts alone, or the table of one of them (`table`): what the page fetches as time goes on."""
    minutes, table = ChartQuery.read(request.args).minutes, request.args.get("table")
    return Response(charts_html(minutes) if table is None else table_html(minutes, table))


@blueprint.get("/dead-letters")
def dead_letters() -> str:
    """The records that were no payments, and the payments that no model may judge, to be looked at and replayed."""
    return dead_letters_page()


@blueprint.get("/schema")
def schema() -> str:
    """The stream's columns against the model's contract, and what changed."""
    using = parts()
    # Before the rest, so that the page's stream begins no later than what the page shows.
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
    """What every record came to, and what the store refused or suppressed."""
    using = parts()
    report = ledger_report(using.store, limit=LEDGER_ROWS)
    return render_template(
        "ledger.html",
        notice=using.notice,
        stats=using.store.totals(),
        report=report,
        verdict=verdict(report),
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
    """Every change that people made, with who, when, before and after."""
    return audit_page()


@blueprint.get("/login")
def login() -> str:
    """The form that asks for the read token."""
    return render_template("login.html", notice=None, failed=False)


@blueprint.post("/login")
def sign_in_with_token() -> BaseResponse:
    """Start a session for whoever knows the read token."""
    using = parts()
    if not g.attempt or not g.attempt.right:
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
    """End this browser's session, and forget its name: another person may sit there next."""
    session = acting_session()
    if session is not None:
        parts().sessions.end(session)
    answer = redirect(url_for("pages.login"), code=303)
    for cookie in (COOKIE, NAME_COOKIE):
        answer.delete_cookie(cookie, samesite="Strict", secure=request.is_secure)
    return answer


def _table(outcome: Outcome) -> str:
    using = parts()
    # The rows up to a `seq`, and the stream from there on: nothing is shown twice, nothing is left out.
    latest = using.store.latest_seq()
    newest = using.store.alerts(AlertFilter(outcome=outcome), before=latest + 1, limit=LIVE_ROWS)
    found = using.reasons.attached(newest)
    stats = using.statistics.current()
    return render_template(
        [OWN_PAGE, PAGE],
        notice=using.notice,
        outcome=outcome.value,
        latest=latest,
        stats=stats,
        tiles=tiles(stats),
        rows=[presentation.row(alert.document(), stats) for alert in found],
        most_rows=LIVE_ROWS,
        blank=presentation.BLANK_ROW,
    )
