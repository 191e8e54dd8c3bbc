"""Runs the dashboard's app under gunicorn, in one worker process that stops at once on a signal."""

import logging
import os
import signal
import socket
import sys
import threading
import time
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
from fraudstream.dashboard.web.client_connection import LIMITS, Limits
from fraudstream.dashboard.web.connections import RequestWorker
from fraudstream.dashboard.web.security import validate_binding
from fraudstream.runtime.processes import check_port_free, die_with_parent, write_ready
from fraudstream.store.store import AlertStore

POLL_SECONDS: Final = 0.02
GRACE_SECONDS: Final = 1
"""Between the stop signal and the kill."""

END_SECONDS: Final = 0.7
"""Of that, the time to write the current minute and to stop the background threads."""

DEAD_PEER_MS: Final = 30_000
"""A viewer that has read nothing for this long is disconnected, so that it does not hold a thread for ever."""

SWITCH_SECONDS: Final = 0.0005
"""Python's thread switch interval (default 5 ms): reasons are computed while alerts are received."""

log = structlog.get_logger(__name__)


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
    _ends_by: float | None = None
    _is_closed: bool = False

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
            "worker_int": lambda _worker: self._end_soon(),
            "worker_exit": lambda _arbiter, _worker: self._wait_for_end(),
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

    def _end(self) -> None:
        """Stop the background threads, once, however many signals come."""
        if self._ends_by is None:
            self._ends_by = time.monotonic() + END_SECONDS
            # In a thread: the signal may have come while this one held the hub's lock.
            threading.Thread(target=self._close, name="end", daemon=True).start()

    def _end_soon(self) -> None:
        """Stop them and wait, for a signal after which gunicorn exits at once."""
        self._end()
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        """Wait for the threads to stop before the process exits; without open connections gunicorn does not wait."""
        # Not a lock: Ctrl+C arrives here twice, from the terminal and, nested in that, from the master.
        while self._ends_by is not None and not self._is_closed and time.monotonic() < self._ends_by:
            time.sleep(POLL_SECONDS)

    def _close(self) -> None:
        # The streams first, for waiting viewers; then the current minute, which is lost if time runs out.
        closing = self.dashboard
        for close in (closing.hub.close, closing.charts.close, closing.deployments.close, closing.instances.close):
            try:
                close()
            except Exception as e:  # whatever it was, the next one is closed too
                log.warning("the dashboard did not stop cleanly", reason=str(e), exc_info=True)
        self._is_closed = True
        # The next process finishes its batch; it may take a while to stop.
        self.dashboard.reason_worker.close()

    def _worker_is_ready(self, worker: Any) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self.dashboard.instances.start()
        self.dashboard.charts.start()
        if self.settings.explain_alerts:
            self.dashboard.reason_worker.start()
        self.dashboard.deployments.start()
        stop = worker.handle_exit

        def end_streams_and_stop(signum: int, frame: Any) -> None:
            self._end()
            stop(signum, frame)

        signal.signal(signal.SIGTERM, end_streams_and_stop)
        write_ready(self.settings.ready_file, port=self.settings.port)
        log.info("dashboard is ready", address=f"http://{self.settings.host}:{self.settings.port}")


def _propagate_gunicorn_log() -> None:
    logging.getLogger("gunicorn.error").propagate = True


def _set_peer_timeout(arbiter: Any) -> None:
    if sys.platform == "linux":
        for listener in arbiter.LISTENERS:
            # Accepted sockets inherit it: tcp(7), TCP_USER_TIMEOUT.
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
