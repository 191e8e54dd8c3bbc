"""Makes the dashboard's app for tests that send requests to it without a server."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask

from fraudstream.config import Settings
from fraudstream.dashboard.app import Dashboard
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.store.store import AlertStore


def create_app(
    settings: Settings,
    store: AlertStore,
    *,
    deployment: Callable[[], DeployedModel | None] = lambda: None,
    notice: str | None = None,
    templates: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Make the app, without the background threads of a dashboard."""
    return Dashboard(settings, store, deployment, clock).app(notice, templates)
