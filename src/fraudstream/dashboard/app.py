"""Makes the dashboard's Flask app of its parts; `server.py` runs it, `…_api.py` and `pages.py` hold its routes."""

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
from fraudstream.dashboard.services.reasons import ReasonStore, ReasonWork
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
from fraudstream.dashboard.views import triage as work_api
from fraudstream.dashboard.web import actor, openapi
from fraudstream.dashboard.web.routing import json_response
from fraudstream.dashboard.web.security import acting_session, behind_proxies, guard, validate_binding
from fraudstream.dashboard.web.templating import use_templates
from fraudstream.errors import FraudstreamError, StoreError
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.changes import ChangeLog
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import Triage
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.masking import DataMask

APIS: Final = tuple(
    module.api
    for module in (
        records_api, alerts_api, work_api, actor, audit_api, dead_letters_api, model_api,
        system_api, openapi,
    )
)  # fmt: skip
"""What the OpenAPI document describes, in its order."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""The largest body that is read: room for the largest alert (4 MiB) and then some, and no more."""

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
    """The WSGI app of the dashboard.

    `hub` is a new one where none is passed; `in_force` is asked about once a second; `notice` is a sentence for the top
    of every page, such as that the data are simulated; `templates` is a folder with a `dashboard.html` of the user's
    own, which stands in for the page of alerts.

    Raises:
        SettingsError: The settings would show payments to a network without a token, or the templates cannot be used.
    """
    validate_binding(settings)
    app = Flask("fraudstream.dashboard")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    if templates is not None:
        use_templates(app, templates)
    # An alert's id may hold slashes, two in a row as well.
    app.url_map.merge_slashes = False
    hub = hub or Hub(store.latest_seq())
    health = Health(store, clock)
    system = SystemState(store, health.reasons, clock)
    statistics = Statistics(store, hub, deployment=deployment, problems=system.messages, clock=clock)
    statistics.registry.register(SystemGauges(system.document))
    explainers = ExplainerLibrary(settings.model)
    reasons = ReasonWork(ReasonStore(store), hub, explainers, clock=clock)
    charts = Charts(store, statistics.minutes, label=statistics.label, threshold=statistics.threshold, clock=clock)
    work = Triage(store, on_commit=lambda result: work_api.publish_triage(hub, result))
    changes = ChangeLog(store)
    read_token = settings.read_token.get_secret_value() if settings.read_token else ""
    sessions = Sessions(store, read_token, clock)
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
        work=work,
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
    _answer_errors(app)
    return app


def _answer_errors(app: Flask) -> None:
    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _error(error.code or 500, error.description or error.name)
        if isinstance(error, SQLAlchemyError):
            error = StoreError("the alert store does not answer", where=str(error))
        if not isinstance(error, FraudstreamError):
            log.error("a request failed", path=request.path, exc_info=error)
            return _error(500, "the dashboard failed on this request; its log says why")
        if error.http_status < 500:
            return _error(error.http_status, error.line)
        # Where it failed is for the log: a file of this machine, or a statement with values.
        log.error("a request failed", path=request.path, reason=error.what, where=error.where)
        return _error(error.http_status, error.what)


def _error(status: int, message: str) -> Response:
    # A message may repeat what was in the request.
    message = masked_text(message)
    if request.endpoint == "static" or (request.endpoint or "").startswith("pages."):
        return Response(render_template("error.html", status=status, message=message), status)
    return json_response({"error": message, "status": status}, status)
