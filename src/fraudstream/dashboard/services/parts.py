"""The services of the dashboard, kept in the Flask app for its routes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from flask import current_app

from fraudstream.config import Settings
from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.health import Health
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.reasons import ReasonWorker
from fraudstream.dashboard.services.revisions import RevisionWatch
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.system_state import SystemState
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.changes import ChangeLog
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.transactions.masking import DataMask

EXTENSION: Final = "fraudstream"


@dataclass(frozen=True, slots=True)
class Parts:
    """All services that a route may use."""

    settings: Settings
    store: AlertStore
    mask: DataMask
    hub: Hub
    statistics: Statistics
    health: Health
    system: SystemState
    reasons: ReasonWorker
    explainers: ExplainerLibrary
    charts: Charts
    triage: TriageService
    changes: ChangeLog
    sessions: Sessions
    revisions: RevisionWatch
    clock: Callable[[], datetime]
    notice: str | None


def parts() -> Parts:
    """Return the services of the app that serves this request."""
    return cast(Parts, current_app.extensions[EXTENSION])
