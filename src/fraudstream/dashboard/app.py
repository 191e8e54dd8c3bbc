"""Builds the dashboard's Flask app from its services and blueprints."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from flask import Flask, Response, render_template, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from fraudstream.config import Settings
from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.health import Health
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.parts import EXTENSION, Parts
from fraudstream.dashboard.services.reasons import ReasonStore, ReasonWorker
from fraudstream.dashboard.services.revisions import RevisionWatch
from fraudstream.dashboard.services.statistics import DeployedModel, Statistics
from fraudstream.dashboard.services.system_state import SystemGauges, SystemState
from fraudstream.dashboard.views import alerts as alerts_api
from fraudstream.dashboard.views import audit as audit_api
from fraudstream.dashboard.views import dead_letters as dead_letters_api
from fraudstream.dashboard.views import model as model_api
from fraudstream.dashboard.views import pages
from fraudstream.dashboard.views import records as records_api
from fraudstream.dashboard.views import system as system_api
from fraudstream.dashboard.views import triage as triage_api
from fraudstream.dashboard.web import actor, openapi
from fraudstream.dashboard.web.routing import json_response
from fraudstream.dashboard.web.security import acting_session, behind_proxies, guard, validate_binding
from fraudstream.dashboard.web.templating import use_templates
from fraudstream.errors import FraudstreamError, StoreError
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.changes import ChangeLog
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.masking import DataMask

APIS: Final = tuple(
    module.api
    for module in (
        records_api, alerts_api, triage_api, actor, audit_api, dead_letters_api, model_api,
        system_api, openapi,
    )
)  # fmt: skip
"""The blueprints of the OpenAPI document, in its order."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""The largest request body accepted; the largest alert has 4 MiB."""

log = structlog.get_logger(__name__)


def create_app(
    settings: Settings,
    store: AlertStore,
    *,
    hub: Hub | None = None,
    deployment: Callable[[], DeployedModel | None] = lambda: None,
    notice: str | None = None,
    templates: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Build the WSGI app of the dashboard.

    `hub` defaults to a new one; `deployment` is called about once a second; `notice` is a sentence for the top of every
    page, such as that the data are simulated; `templates` is a folder with a `dashboard.html` that replaces the page of
    alerts.

    Raises:
        SettingsError: The settings would expose payments to a network without a token, or a template is invalid.
    """
    validate_binding(settings)
    app = Flask("fraudstream.dashboard")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    if templates is not None:
        use_templates(app, templates)
    # An alert id may contain slashes, even two in a row.
    app.url_map.merge_slashes = False
    hub = hub or Hub(store.latest_seq())
    health = Health(store, clock)
    system = SystemState(store, health.reasons, clock)
    statistics = Statistics(
        store, hub, deployment=deployment, problems=system.messages, waiting_for=system.waiting_for, clock=clock
    )
    statistics.registry.register(SystemGauges(system.document))
    explainers = ExplainerLibrary(settings.model)
    reasons = ReasonWorker(ReasonStore(store.database), hub, explainers, clock=clock)
    charts = Charts(store, statistics.minutes, label=statistics.label, threshold=statistics.threshold, clock=clock)
    triage = TriageService(store, on_commit=lambda result: triage_api.publish_triage(hub, result))
    changes = ChangeLog(store.database)
    read_token = settings.read_token.get_secret_value() if settings.read_token else ""
    sessions = Sessions(store.database, read_token, clock)
    app.extensions[EXTENSION] = Parts(
        settings=settings,
        store=store,
        mask=DataMask(settings.card_columns),
        hub=hub,
        statistics=statistics,
        health=health,
        system=system,
        reasons=reasons,
        explainers=explainers,
        charts=charts,
        triage=triage,
        changes=changes,
        sessions=sessions,
        revisions=RevisionWatch(changes, deployment),
        clock=clock,
        notice=notice,
    )
    guard(app, settings, sessions)
    app.wsgi_app = behind_proxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    app.context_processor(lambda: {"signed_in": acting_session() is not None})
    for blueprint in (*APIS, pages.blueprint):
        app.register_blueprint(blueprint)
    app.jinja_env.globals["problems"] = system.messages
    _handle_errors(app)
    return app


def _handle_errors(app: Flask) -> None:
    @app.errorhandler(Exception)
    def respond(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _error(error.code or 500, error.description or error.name)
        if isinstance(error, SQLAlchemyError):
            error = StoreError("the alert store does not respond", where=str(error))
        if not isinstance(error, FraudstreamError):
            log.error("request failed", path=request.path, exc_info=error)
            return _error(500, "internal error; see the dashboard's log")
        if error.http_status < 500:
            return _error(error.http_status, error.line)
        # `where` goes to the log only: it may be a local path, or a statement with values.
        log.error("request failed", path=request.path, reason=error.what, where=error.where)
        return _error(error.http_status, error.what)


def _error(status: int, message: str) -> Response:
    # A message may quote the request.
    message = masked_text(message)
    if request.endpoint == "static" or (request.endpoint or "").startswith("pages."):
        return Response(render_template("error.html", status=status, message=message), status)
    return json_response({"error": message, "status": status}, status)
