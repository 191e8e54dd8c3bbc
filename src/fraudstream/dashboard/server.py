"""Runs the dashboard's app under gunicorn, in one worker process that stops at once on a signal."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog
from flask import Flask
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config

from fraudstream.config import Settings
from fraudstream.dashboard.app import Dashboard, validate_templates
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.dashboard.web.connections import RequestWorker
from fraudstream.dashboard.web.security import validate_binding
from fraudstream.runtime.processes import check_port_free, die_with_parent, write_ready
from fraudstream.store.store import AlertStore

GRACE_SECONDS: Final = 1
"""Between the stop signal and the kill."""

DEAD_PEER_MS: Final = 30_000
"""A viewer that has read nothing for this long is disconnected, so that it does not hold a thread for ever."""

SWITCH_SECONDS: Final = 0.0005
"""Python's thread switch interval (default 5 ms): reasons are computed while alerts are received."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the resources that clients may hold, and for how long."""

    connections: int = 4096
    """Beyond these, the connection that has waited longest is closed."""

    streams: int = 256
    body_bytes: int = 128 * 1024 * 1024
    """Of all requests in memory; beyond it the oldest incomplete one is refused."""

    idle_seconds: float = 30.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0


LIMITS: Final = Limits()


def serve(
    settings: Settings,
    *,
    deployment: Callable[[], DeployedModel | None] = lambda: None,
    notice: str | None = None,
    templates: Path | None = None,
    limits: Limits = LIMITS,
) -> None:
    """Serve the dashboard until SIGTERM or SIGINT; gunicorn ends the process by SystemExit.

    Raises SettingsError if the settings would expose payments to a network without a token or a template is invalid,
    PortInUse, or StoreError if the alert store cannot be opened.
    """
    validate_binding(settings)
    if templates is not None:
        validate_templates(templates)
    check_port_free(
        settings.host, settings.port, remedy="stop that process, or choose another port: --port or FRAUDSTREAM_PORT"
    )
    # Opened and closed here, before any fork: an error is reported once, and the tables are migrated.
    AlertStore.open(settings.database, card_columns=settings.card_columns).close()
    Arbiter(_Application(settings, deployment, notice, templates, limits)).run()


@dataclass(eq=False)
class _Application:
    """The application for gunicorn's arbiter; its own base class would read the command line and files."""

    settings: Settings
    deployment: Callable[[], DeployedModel | None]
    notice: str | None
    templates: Path | None
    limits: Limits

    def __post_init__(self) -> None:
        """Make gunicorn's configuration."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        master = os.getpid()
        self.cfg = Config()
        for name, value in {
            "bind": f"{host}:{self.settings.port}",
            "proc_name": "fraudstream dashboard",
            "workers": 1,
            "worker_class": RequestWorker,
            "worker_connections": sys.maxsize,  # RequestWorker has its own limit, and never stops accepting
            "sendfile": False,
            # gunicorn would trust any client on loopback; `behind_proxies` decides.
            "forwarded_allow_ips": "",
            "graceful_timeout": GRACE_SECONDS,
            "accesslog": None,
            "errorlog": None,
            "loglevel": "warning",
            "control_socket_disable": True,
            "on_starting": lambda _arbiter: _propagate_gunicorn_log(),
            "when_ready": _set_peer_timeout,
            "post_fork": lambda _arbiter, _worker: die_with_parent(master),
            "post_worker_init": self._worker_is_ready,
        }.items():
            self.cfg.set(name, value)

    @cached_property
    def dashboard(self) -> Dashboard:
        """Composed in the worker: a database connection must not be carried over a fork."""
        return Dashboard(self.settings, AlertStore.open(self.settings.database), self.deployment)

    def wsgi(self) -> Flask:
        """Make the app, once, in the worker."""
        return self.dashboard.app(self.notice, self.templates)

    def reload(self) -> None:
        """Keep the settings: on SIGHUP the arbiter starts a new worker with them."""

    def close(self) -> None:
        """Stop the background threads; the worker calls it when it stops."""
        closing = self.dashboard
        # The streams first, for waiting viewers; then the current minute, which is lost if time runs out.
        for close in (closing.hub.close, closing.charts.close, closing.deployments.close, closing.instances.close):
            try:
                close()
            except Exception as e:  # whatever it was, the next one is closed too
                log.warning("the dashboard did not stop cleanly", reason=str(e), exc_info=True)

    def _worker_is_ready(self, _worker: Any) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self.dashboard.instances.start()
        self.dashboard.charts.start()
        if self.settings.explain_alerts:
            self.dashboard.reason_worker.start()
        self.dashboard.deployments.start()
        write_ready(self.settings.ready_file, port=self.settings.port)
        log.info("dashboard is ready", address=f"http://{self.settings.host}:{self.settings.port}")


def _propagate_gunicorn_log() -> None:
    logging.getLogger("gunicorn.error").propagate = True


def _set_peer_timeout(arbiter: Any) -> None:
    if sys.platform == "linux":
        for listener in arbiter.LISTENERS:
            # Accepted sockets inherit it: tcp(7), TCP_USER_TIMEOUT.
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
