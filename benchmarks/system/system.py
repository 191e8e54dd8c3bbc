"""The running processes that are measured, started by their public commands; what watches them is in `watchers.py`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.system.load import LoadSpec
from benchmarks.system.material import FRAUDSTREAM
from fraudstream.demo.child import Child, State, log_tail
from fraudstream.demo.system import BROKER, DASHBOARD, DETECTOR, RELAY
from fraudstream.errors import ProcessFailed
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.secured import USERS, SecureFolder
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.processes import LOOPBACK, free_port

ROOT: Final = Path(__file__).parents[2]
"""From which this package is imported, in the load generator's process too."""

LOAD: Final = "load generator"
LOOK_SECONDS: Final = 0.05
READY_SECONDS: Final = 180.0


@dataclass
class BenchSystem:
    """Processes in a folder; all of it belongs to one thread, with whose end the kernel ends them.

    Attributes:
        folder: Of all that they write.
        model: A `current` file.
        partitions: Of the topics.
        environment: That they inherit.
        checkpoint: The detector's folder; another one makes it begin anew.
        extra: Further arguments of `fraudstream detect`.
        secure: Whether the broker requires TLS and a login, and each process has the settings of its own user.
    """

    folder: Path
    model: Path
    partitions: int
    environment: Mapping[str, str]
    checkpoint: str = "checkpoint"
    extra: Sequence[str] = ()
    secure: bool = False
    port: int = field(default_factory=free_port, init=False)
    broker_port: int = field(default_factory=free_port, init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return f"{LOOPBACK}:{self.broker_port}"

    def user_settings(self, user: str) -> dict[str, str]:
        """Return the environment variables of a user of the secured broker; none for an open one or for no user."""
        if not self.secure or user not in USERS:
            return {}
        text = SecureFolder(self.folder / "secure").environment(user).read_text()
        return dict(line.split("=", 1) for line in shlex.split(text))

    def cluster(self, user: str) -> Cluster:
        """Return Kafka as a user of the secured broker connects to it, or anybody to an open one."""
        prefix = "FRAUDSTREAM_KAFKA_"
        variables = self.user_settings(user).items()
        settings = {name.removeprefix(prefix).lower(): value for name, value in variables if name.startswith(prefix)}
        return Cluster(self.bootstrap, KafkaSettings.model_validate(settings))

    @property
    def url(self) -> str:
        """The dashboard's."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def database(self) -> str:
        """The URL of the alert store: of the setting, else a SQLite file."""
        return self.environment.get("FRAUDSTREAM_DATABASE") or f"sqlite:///{self.folder.absolute() / 'alerts.db'}"

    def start_broker(self) -> None:
        """Start Kafka alone and await it."""
        self._begin(
            BROKER, "broker", "--port", self.broker_port, "--data-dir", self.folder / "kafka",
            "--partitions", self.partitions, *(("--secure", self.folder / "secure") if self.secure else ()),
        )  # fmt: skip
        self.await_ready(BROKER)

    def start_detector(self) -> None:
        """Start the detector; it is not ready yet."""
        self._begin(
            DETECTOR, "detect", "--model", self.model, "--checkpoint", self.folder / self.checkpoint,
            "--bootstrap-servers", self.bootstrap, *self.extra,
        )  # fmt: skip

    def start_all(self) -> None:
        """Start broker, dashboard, detector and relay, and await them."""
        self._begin(
            DASHBOARD, "dashboard", "--port", self.port, "--database", self.database,
            "--model", self.model,
        )  # fmt: skip
        self.start_broker()
        self.start_detector()
        self._begin(RELAY, "relay", "--api", self.url, "--bootstrap-servers", self.bootstrap)
        self.await_ready(DASHBOARD, RELAY, DETECTOR)

    def start_load(self, spec: LoadSpec) -> None:
        """Start the load generator and await that it begins."""
        spec_file = self.folder / "load.json"
        spec.write(spec_file)
        command = [sys.executable, "-m", "benchmarks.system.load", spec_file]
        # The file that it writes is the one it is looked for: one that is never ready would be ended after 3 minutes.
        path = os.pathsep.join(filter(None, (str(ROOT), self.environment.get("PYTHONPATH"))))
        arguments = [str(part) for part in command]
        self._start(LOAD, arguments, user="produce", ends=True, ready_file=Path(spec.ready), PYTHONPATH=path)
        if not self.wait(30.0, lambda: self.children[LOAD].is_ready):
            raise self._late([LOAD])

    def pids(self, *names: str) -> dict[str, int]:
        """The processes that run now, by name; all where none is named."""
        return {
            name: child.pid
            for name, child in self.children.items()
            if child.pid is not None and child.state is not State.DONE and (not names or name in names)
        }

    def look(self) -> None:
        """See to every process once.

        Raises:
            ProcessFailed: One was never ready, however often it was started, or the load generator failed.
        """
        for name, child in self.children.items():
            if name == LOAD and child.has_failed:
                raise ProcessFailed(
                    f"the load generator failed: {log_tail(child.log)}",
                    where=f"log: {child.log}",
                    remedy="mend what it says",
                )
            child.poll()

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """See to the processes for so long, or until a condition holds; whether it did."""
        deadline = time.monotonic() + seconds
        while True:
            self.look()
            if until():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)

    def await_ready(self, *names: str) -> None:
        """Return once the processes are ready.

        Raises:
            ProcessFailed: They are not, after three minutes.
        """
        if not self.wait(READY_SECONDS, lambda: all(self.children[name].is_ready for name in names)):
            raise self._late([name for name in names if not self.children[name].is_ready])

    def restarts(self) -> dict[str, int]:
        """How often a process had to be started again, by name; none is left out."""
        return {name: child.starts - 1 for name, child in self.children.items()}

    def stop(self, *names: str) -> None:
        """Stop the named processes, or all of them, the source first and the broker last."""
        for name in (LOAD, DETECTOR, RELAY, DASHBOARD, BROKER):
            if name in self.children and (not names or name in names):
                self.children[name].stop()

    def _late(self, names: Sequence[str]) -> ProcessFailed:
        details = ", ".join(f"{name} ({log_tail(self.children[name].log)})" for name in names)
        return ProcessFailed(
            f"never ready: {details}", where=f"logs: {self.folder / 'logs'}", remedy="`fraudstream doctor` may know why"
        )

    def _begin(self, name: str, command: str, *arguments: object) -> None:
        # A secured broker has a user for each command that connects to it, of the same name.
        self._start(name, [*FRAUDSTREAM, command, *map(str, arguments)], user=command)

    def _start(
        self,
        name: str,
        command: list[str],
        *,
        user: str,
        ends: bool = False,
        ready_file: Path | None = None,
        **environment: str,
    ) -> None:
        ready = self.folder / "ready"
        ready.mkdir(parents=True, exist_ok=True)
        child = Child(
            name=name,
            command=command,
            log=self.folder / "logs" / f"{name.replace(' ', '-')}.log",
            ready_file=ready_file or ready / name.replace(" ", "-"),
            environment={**self.environment, **self.user_settings(user), **environment},
            grace=20.0,
            ends=ends,
        )
        self.children[name] = child
        child.start()


@contextmanager
def stopped_at_the_end(system: BenchSystem) -> Iterator[BenchSystem]:
    """The system for a `with` block that starts what it needs; all of it is stopped in the end, however that comes."""
    try:
        yield system
    finally:
        system.stop()
