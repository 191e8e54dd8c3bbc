"""Runs a dashboard in a process forked from one that has imported everything: a tenth of the time of a fresh Python."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SERVE: Final = """
from pathlib import Path
from fraudstream import logs
from fraudstream.config import Settings
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.dashboard.server import serve
from fraudstream.dashboard.services.statistics import DeployedModel

logs.set_up()
if model is None:
    model = Path("models/current")
    deployment = lambda: DeployedModel("m-1", 0.5, 1000)
else:
    deployment = deployed_model(model)
settings = Settings(database=database, port=port, ready_file=ready, model=model)
serve(settings, deployment=deployment, notice="Simulated data")
"""

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["fraudstream.dashboard.server", "fraudstream.dashboard.services.revisions", "alembic.command"]
)


class ServingProcess:
    """A forked process with the methods of `subprocess.Popen` that the tests and `stop` use.

    Args:
        first: Statements that it executes before it serves.
        names: What the statements of `SERVE` need: database, port, ready and model.
        log: Both its outputs are appended there.
    """

    def __init__(self, first: str, names: Mapping[str, object], log: Path) -> None:
        # A daemon, so that one that a failed test left behind is ended and not awaited.
        self._process = _CONTEXT.Process(target=_serve, args=(first, dict(names), log, dict(os.environ)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Negative after a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The return code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Await its end; raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("dashboard", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _serve(first: str, names: dict[str, object], log: Path, environment: dict[str, str]) -> None:
    from fraudstream.runtime.processes import die_with_parent

    os.setsid()
    # A copy of the pipe by which the fork server sees that the tests have ended would keep it, and so this, for ever.
    os.closerange(3, 1024)
    die_with_parent()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dashboard"]
    exec(first + SERVE, names)
