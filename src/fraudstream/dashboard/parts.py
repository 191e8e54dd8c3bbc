"""What the routes work with: the dashboard's parts, kept in the Flask app that `app.py` makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from flask import current_app

from fraudstream.alerts.changes import ChangeLog
from fraudstream.alerts.sessions import Sessions
from fraudstream.alerts.store import AlertStore
from fraudstream.alerts.work import WorkDesk
from fraudstream.config import Settings
from fraudstream.dashboard.charts import Charts
from fraudstream.dashboard.health import Health
from fraudstream.dashboard.reasons import ReasonWork
from fraudstream.dashboard.revisions import RevisionWatch
from fraudstream.dashboard.stats import Statistics
from fraudstream.dashboard.stream import Hub
from fraudstream.dashboard.system_state import SystemState
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.transactions.masking import DataMask

EXTENSION: Final = "fraudstream"


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a route may use, passed in once."""

    settings: Settings
    store: AlertStore
    mask: DataMask
    hub: Hub
    statistics: Statistics
    health: Health
    system: SystemState
    reasons: ReasonWork
    explainers: ExplainerLibrary
    charts: Charts
    work: WorkDesk
    changes: ChangeLog
    sessions: Sessions
    revisions: RevisionWatch
    clock: Callable[[], datetime]
    notice: str | None


def parts() -> Parts:
    """The parts of the app that serves this request."""
    return cast(Parts, current_app.extensions[EXTENSION])
