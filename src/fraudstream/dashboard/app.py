"""Builds the dashboard's Flask app from its services and blueprints."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from flask import Blueprint, Flask, Response, render_template, request
from jinja2 import Environment, TemplateError, TemplateSyntaxError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from fraudstream.config import Settings
from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.entity_past import EntityPast
from fraudstream.dashboard.services.instances import Instances
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.reasons import ReasonStore, ReasonWorker
from fraudstream.dashboard.services.revisions import Deployments
from fraudstream.dashboard.services.saved_views import SavedViews
from fraudstream.dashboard.services.statistics import DeployedModel, Statistics
from fraudstream.dashboard.services.system_state import Health, SystemState
from fraudstream.dashboard.services.what_if import WhatIfService
from fraudstream.dashboard.views import alerts, audit, dead_letters, entities, model, queue, records, system, triage
from fraudstream.dashboard.views.pages import PageViews
from fraudstream.dashboard.web import actor, counters, formats, openapi, presentation
from fraudstream.dashboard.web.export import Exports
from fraudstream.dashboard.web.routing import json_response
from fraudstream.dashboard.web.security import acting_session, behind_proxies, guard, validate_binding
from fraudstream.errors import FraudstreamError, SettingsError, StoreError
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.change_reading import ChangeReader
from fraudstream.store.changes import ChangeLog
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import Topic

VIEWS: Final = (records, alerts, entities, triage, queue, actor, audit, dead_letters, model, system, openapi)
APIS: Final = tuple(each.api for each in VIEWS)
"""The operations of the OpenAPI document, in its order."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""The largest request body accepted; the largest alert has 4 MiB."""

log = structlog.get_logger(__name__)


class Dashboard:
    """Composes the services of a dashboard, and makes its WSGI app."""

    def __init__(
        self,
        settings: Settings,
        store: AlertStore,
        deployment: Callable[[], DeployedModel | None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Compose the services; `deployment` is called about once a second. Raises as `validate_binding`."""
        validate_binding(settings)
        database = store.database
        read_token = settings.read_token.get_secret_value() if settings.read_token else ""
        self.settings, self.store, self.clock = settings, store, clock
        self.hub = Hub(store.latest_seq())
        self.instances = Instances(store, self.hub)
        self.health = Health(store, clock)
        self.system = SystemState(store, self.health.problem, clock)
        self.statistics = statistics = Statistics(
            store, self.hub, self.system, deployment=deployment, clock=clock, texts=counters.texts
        )
        self.explainers = ExplainerLibrary(settings.model)
        self.reasons = ReasonStore(database)
        self.reason_worker = ReasonWorker(
            self.reasons, self.hub, self.explainers, clock=clock, share=partial(self.instances.send, "reasons")
        )
        self.charts = Charts(
            store,
            statistics.minutes,
            label=statistics.label,
            threshold=statistics.threshold,
            leads=self.instances.leads,
            clock=clock,
        )
        self.what_if = WhatIfService(settings.model, self.explainers, store, statistics.scores)
        self.triage = TriageService(store, on_commit=partial(triage.publish_triage, self.hub, self.instances))
        self.instances.handlers["triage"] = partial(triage.receive_triage, self.hub)
        self.instances.handlers["reasons"] = self.reason_worker.broadcast
        self.changes = ChangeLog(database)
        self.deployments = Deployments(settings.model, self.changes, publish=statistics.publish, clock=clock)
        self.sessions = Sessions(database, read_token, clock)

    def app(self, notice: str | None = None, templates: Path | None = None) -> Flask:
        """Make the app; raises SettingsError if a template is invalid.

        `notice` is a sentence for the top of every page, such as that the data are simulated; `templates` is a folder
        with a `dashboard.html` that replaces the page of alerts.
        """
        app = Flask("fraudstream.dashboard")
        app.config |= {"MAX_CONTENT_LENGTH": MAX_BODY_BYTES, "CURRENCY": self.settings.currency}
        app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
        if templates is not None:
            validate_templates(templates)
            # The app's come first: `{% extends "alerts.html" %}` means the package's page, whatever the folder holds.
            app.register_blueprint(Blueprint("own", __name__, template_folder=templates.resolve()))
            app.jinja_env.auto_reload = True
        # An alert id may contain slashes, even two in a row.
        app.url_map.merge_slashes = False
        guard(app, self.settings, self.sessions)
        app.wsgi_app = behind_proxies(app.wsgi_app, self.settings.trusted_proxies)  # type: ignore[method-assign]
        actors = actor.Actors(self.sessions)
        app.context_processor(partial(_viewer, actors))
        for blueprint in self._blueprints():
            app.register_blueprint(blueprint)
        app.jinja_env.globals |= {
            "problems": self.system.messages,
            "notice": notice,
            "needs_token": self.settings.ingest_token is not None,
            "counters": self.statistics.recent,
            "short_id": presentation.short_id,
            "entity_page": presentation.entity_page,
            "currency": self.settings.currency,
            "reason_codes": self.changes.reason_codes,
            "people": ChangeReader(self.store.database).people,
            "verdict_topic": self.settings.kafka.topic_name(Topic.VERDICTS),
        }
        app.jinja_env.filters |= {
            each.__name__: each for each in (formats.money, formats.percent, formats.when, formats.form_time)
        }
        app.jinja_env.filters |= {"value_text": presentation.value_text, "alerts_text": presentation.alerts_text}
        _handle_errors(app)
        return app

    def _blueprints(self) -> Iterator[Blueprint]:
        """Hand each class of views the services that it uses."""
        settings, store, statistics, reasons = self.settings, self.store, self.statistics, self.reasons
        explainers, state, sessions, clock = self.explainers, self.system, self.sessions, self.clock
        mask = DataMask(settings.card_columns)
        actors = actor.Actors(sessions)
        exports = Exports(settings, self.changes, actors)
        worker, entity_columns = self.reason_worker, explainers.entity_columns
        posted = records.RecordViews(
            store, mask, self.instances, statistics, self.health, state, worker, entity_columns, actors, exports
        )
        self.instances.handlers["events"] = posted.receive_events
        review = queue.QueueViews(store, statistics, reasons, actors, SavedViews(store.database))
        views = (
            posted,
            alerts.AlertViews(
                store, reasons, explainers, settings.model, self.hub, statistics, sessions, exports, review.frames
            ),
            of_entities := entities.EntityViews(
                store, statistics, reasons, EntityPast(settings.archive, settings.profiles, settings.model)
            ),
            triaged := triage.TriageViews(store, self.triage, reasons, actors, self.changes),
            review,
            actors,
            changes := audit.AuditViews(store.database, exports),
            replays := dead_letters.DeadLetterViews(store.database, clock, exports, actors),
            active := model.ModelViews(settings.model, store, statistics, self.deployments, self.what_if, actors),
            system.SystemViews(store, statistics, state, self.charts, self.health, self.changes, actors),
            openapi.OpenApiViews(APIS),
        )
        yield from (api.blueprint(each) for api, each in zip(APIS, views, strict=True))
        shared = (store, statistics, reasons, explainers, self.charts, state, sessions, actors)
        pages = PageViews(*shared, replays, changes, active, triaged, review).blueprint()
        pages.add_url_rule("/entities/<column>/<path:value>", "entity", of_entities.render)
        yield pages


def validate_templates(folder: Path) -> None:
    """Compile a folder's templates, so that an error shows before the server starts.

    Raises SettingsError, with file and line, if one is not UTF-8 or not valid Jinja, or the folder does not exist.
    """
    if not folder.is_dir():
        raise SettingsError(
            "the templates folder does not exist", where=str(folder), remedy="name a folder with a dashboard.html"
        )
    environment = Environment(autoescape=True)
    for path in sorted(folder.glob("*.html")):
        try:
            environment.compile(path.read_text(encoding="utf-8"), path.name, str(path))
        except (TemplateError, OSError, UnicodeDecodeError) as e:
            where = f"{path}:{e.lineno}" if isinstance(e, TemplateSyntaxError) else str(path)
            remedy = "fix it, or remove it to use the package's page"
            raise SettingsError(f"invalid template: {getattr(e, 'message', e)}", where=where, remedy=remedy) from e


def _viewer(actors: actor.Actors) -> dict[str, object]:
    """Return what every page knows of its viewer: name, theme and time zone."""
    return {
        "signed_in": acting_session() is not None,
        "name": actors.current().name,
        "theme": request.cookies.get(formats.THEME_COOKIE, ""),
        "zone": str(formats.zone()),
        "zone_setting": formats.zone_setting(),
    }


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
        return Response(render_template("error.html", status=status, message=message, notice=None), status)
    return json_response({"error": message, "status": status}, status)
