"""Starts and stops the processes of a demo in order."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fraudstream.demo.child import Child, log_tail
from fraudstream.errors import ModelError, ProcessFailed, SettingsError
from fraudstream.model.artifact import load_artifact
from fraudstream.model.deployment.current import read_current
from fraudstream.runtime.files import replace_json, sole_use, tighten
from fraudstream.runtime.processes import LOOPBACK, check_port_free, free_port
from fraudstream.transactions.column_spans import ColumnSpans
from fraudstream.transactions.data_source import DataSource

POLL_SECONDS: Final = 0.1
USUAL_BROKER_PORT: Final = 9092

BROKER: Final = "broker"
DETECTOR: Final = "detector"
RELAY: Final = "relay"
DASHBOARD: Final = "dashboard"
PRODUCER: Final = "producer"
TRAINING: Final = "training"
ARCHIVE: Final = "archive"


@dataclass(frozen=True)
class DemoRequest:
    """The options of `fraudstream demo`."""

    data: Path | None
    rate: float
    duration: float | None
    port: int
    workdir: Path
    algorithm: str
    legitimate_share: float
    trigger: str
    fresh: bool
    archive: bool
    browser: bool
    bootstrap_servers: str | None
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://localhost:{self.port}"


@dataclass
class DemoSystem:
    """The running processes of a demo.

    Args:
        source: The CSV to stream, and to train on if there is no model of it yet.
        notice: A line for the top of every page; None for nothing.
        spans: The columns of the source that are added or dropped in the middle of the stream.
        step: Shows what is being waited for.
    """

    request: DemoRequest
    source: DataSource
    notice: str | None
    spans: ColumnSpans
    step: Callable[[str], None]
    bootstrap: str = field(default="", init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)
    _show: Callable[[], None] = field(default=lambda: None, init=False)

    def start(self, stop: threading.Event, show: Callable[[], None]) -> bool:
        """Start everything and return once all of it is ready; False if `stop` is set before that.

        Raises PortInUse for the dashboard's port, ProcessFailed if the training failed or a process never became ready.
        """
        request = self.request
        self._show = show
        check_port_free(LOOPBACK, request.port, remedy="stop that process, or choose another port with --port")
        ready = request.workdir / ".ready"
        ready.mkdir(parents=True, exist_ok=True)
        self.bootstrap = request.bootstrap_servers or f"{LOOPBACK}:{_broker_port()}"
        if request.bootstrap_servers is None:
            port = self.bootstrap.rpartition(":")[2]
            self._begin(BROKER, _fraudstream("broker", "--port", port, "--data-dir", request.workdir / "kafka"))
        self._begin(DASHBOARD, self._dashboard_command())
        training = self._begin_training()
        # Spark starts during the first training; with another model there, the detector would score with that one.
        waits = bool(training) and not (request.workdir / "models" / "current").exists()
        if not waits and not self._await(training, "training the model", stop):
            return False
        if request.bootstrap_servers is None and not self._await([BROKER], "starting Kafka", stop):
            return False
        api = f"http://{LOOPBACK}:{request.port}"
        self._begin(RELAY, _fraudstream("relay", "--api", api, "--bootstrap-servers", self.bootstrap))
        if request.archive:
            self._begin(ARCHIVE, self._archive_command())
        self._begin(DETECTOR, self._detector_command(waits), grace=20.0)
        parts = [DASHBOARD, RELAY, DETECTOR]
        if not (self._await(training, "training the model", stop) and self._await(parts, "starting Spark", stop)):
            return False
        self._begin(PRODUCER, self._producer_command(), ends=True)
        return self._await([PRODUCER], "sending the first payment", stop)

    def poll(self) -> None:
        """Check every process once; call it often, from the thread that called `start`."""
        if any([child.poll() for child in self.children.values()]):
            self._write_pids()

    def stop(self) -> None:
        """Stop every process, the producer first and the broker last, so that records in transit arrive."""
        for name in (TRAINING, PRODUCER, DETECTOR, ARCHIVE, RELAY, DASHBOARD, BROKER):
            if name in self.children:
                self.children[name].stop()

    def _begin(self, name: str, command: Sequence[str], **options: float | bool) -> None:
        child = Child(
            name=name,
            command=command,
            log=self.request.workdir / "logs" / f"{name}.log",
            ready_file=self.request.workdir / ".ready" / name,
            environment=self.request.environment,
            **options,  # type: ignore[arg-type]
        )
        self.children[name] = child
        child.start()
        self._write_pids()

    def _await(self, names: Sequence[str], step: str, stop: threading.Event) -> bool:
        if not all(self.children[name].is_ready for name in names):
            self.step(step)
        while not all(self.children[name].is_ready for name in names):
            if stop.wait(POLL_SECONDS):
                return False
            self._check_training()
            self.poll()
            self._show()
        return True

    def _write_pids(self) -> None:
        pids = {name: c.pid for name, c in self.children.items() if c.pid is not None and name != TRAINING}
        replace_json(self.request.workdir / "pids.json", pids)

    def _begin_training(self) -> list[str]:
        """Start the training, if there is no model of this data; return the names of the children to await."""
        request = self.request
        if has_model_of(request.workdir / "models", self.source, request.algorithm):
            return []
        command = _fraudstream(
            "train", "--data", self.source.path, "--models", request.workdir / "models",
            # The demo streams the file: the page says from which row on it is new to the model.
            "--algorithm", request.algorithm, "--legitimate-share", request.legitimate_share, "--no-refit",
            "--deploy", "--force",
        )  # fmt: skip
        self._begin(TRAINING, command, ends=True)
        return [TRAINING]

    def _check_training(self) -> None:
        training = self.children.get(TRAINING)
        if training is not None and training.has_failed:
            raise ProcessFailed(
                f"the training failed: {log_tail(training.log, 4)}",
                where=f"log: {training.log}",
                remedy="fix that error; `fraudstream train --data CSV` reproduces it",
            )

    def _dashboard_command(self) -> list[str]:
        request = self.request
        notice = ("--notice", self.notice) if self.notice else ()
        return _fraudstream(
            "dashboard", "--port", request.port, "--database", f"sqlite:///{request.workdir.absolute() / 'alerts.db'}",
            "--model", request.workdir / "models" / "current", *notice,
        )  # fmt: skip

    def _detector_command(self, waits: bool) -> list[str]:
        return _fraudstream(
            "detect", "--model", self.request.workdir / "models" / "current", "--trigger", self.request.trigger,
            "--checkpoint", self.request.workdir / "checkpoint", "--bootstrap-servers", self.bootstrap,
            *(("--await-model",) if waits else ()),
        )  # fmt: skip

    def _archive_command(self) -> list[str]:
        workdir = self.request.workdir
        return _fraudstream(
            "archive", "--archive", workdir / "archive", "--model", workdir / "models" / "current",
            "--interval", "15s", "--bootstrap-servers", self.bootstrap,
        )  # fmt: skip

    def _producer_command(self) -> list[str]:
        request = self.request
        rate = ("--rate", request.rate) if request.rate else ()
        comes = [part for name, row in self.spans.begins.items() for part in ("--column-from", f"{name}={row}")]
        goes = [part for name, row in self.spans.ends.items() for part in ("--column-until", f"{name}={row}")]
        return _fraudstream(
            "produce", "--data", self.source.path, "--bootstrap-servers", self.bootstrap,
            "--progress-file", request.workdir / "produced.json", "--resume", *rate, *comes, *goes,
        )  # fmt: skip


def has_model_of(models: Path, source: DataSource, algorithm: str) -> bool:
    """Check whether the active model is intact, of this data and algorithm, and the one that was evaluated."""
    try:
        manifest = load_artifact(models / read_current(models / "current").model_id).manifest
    except ModelError:
        return False
    is_of_data = manifest.training_data.fingerprint == source.fingerprint and manifest.refit is None
    return is_of_data and algorithm in (manifest.requested, manifest.algorithm)


@contextmanager
def lock_workdir(workdir: Path) -> Iterator[None]:
    """Lock a workdir for one demo; raises SettingsError if another is using it, or it cannot be written."""
    remedy = "stop it, or choose another with --workdir"
    in_use = SettingsError("another demo is running in this folder", where=str(workdir), remedy=remedy)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with sole_use(workdir / ".demo.lock", in_use):
            tighten(workdir)
            yield
    except OSError as e:
        raise SettingsError(
            f"the folder cannot be written: {e.strerror}", where=str(workdir), remedy="choose another with --workdir"
        ) from e


def _fraudstream(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fraudstream", *map(str, arguments)]


def _broker_port() -> int:
    try:
        check_port_free(LOOPBACK, USUAL_BROKER_PORT)
    except Exception:  # if the usual port is unavailable for any reason, use another
        return free_port()
    return USUAL_BROKER_PORT
