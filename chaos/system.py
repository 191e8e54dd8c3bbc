"""The five processes of a round, started by their public commands and kept running; `faults.py` does things to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
from benchmarks.system.resources import family
from benchmarks.system.schema_registry import is_avro

from chaos.data import FRAUDSTREAM, Payments
from chaos.proxy import Proxies, Proxy, running
from fraudstream.demo.child import Child, log_tail
from fraudstream.runtime.processes import LOOPBACK, free_port

BROKER: Final = "broker"
DASHBOARD: Final = "dashboard"
DETECTOR: Final = "detector"
RELAY: Final = "relay"
PRODUCER: Final = "producer"
PROCESSES: Final = (BROKER, DASHBOARD, DETECTOR, RELAY, PRODUCER)

KAFKA_CLIENTS: Final = (PRODUCER, DETECTOR, RELAY)
LINES: Final = (*((client, BROKER) for client in KAFKA_CLIENTS), (RELAY, DASHBOARD))
"""Between which two processes there is a proxy."""

VOLUMES: Final = (BROKER, DETECTOR, DASHBOARD, PRODUCER)
"""Who writes to a disk: records, the checkpoint, alerts.db, the producer's progress."""

LOOK_SECONDS: Final = 0.05
READY_SECONDS: Final = 240.0


@dataclass(frozen=True)
class Layout:
    """What a round's processes are started with.

    Attributes:
        folder: All that they write; each has a folder of its own in it, which may be a volume of its own.
        payments: What is streamed, and the model.
        rate: Rows a second.
        trigger: As `fraudstream detect` takes it.
        environment: That they inherit.
        on_server: The URL of a database for the alerts; empty for a SQLite file.
    """

    folder: Path
    payments: Payments
    rate: float
    trigger: str
    environment: Mapping[str, str]
    on_server: str = ""

    def volume(self, name: str) -> Path:
        """The folder of a process's data."""
        return self.folder / "volumes" / name

    @property
    def checkpoint(self) -> Path:
        """The detector's."""
        return self.volume(DETECTOR) / "checkpoint"

    @property
    def database(self) -> str:
        """The URL of the alert store."""
        return self.on_server or f"sqlite:///{self.volume(DASHBOARD) / 'alerts.db'}"

    @property
    def progress(self) -> Path:
        """The producer's."""
        return self.volume(PRODUCER) / "produced.json"

    def log(self, name: str) -> Path:
        """What a process said."""
        return self.folder / "logs" / f"{name}.log"


@dataclass
class System:
    """The running processes; all of it belongs to one thread, with whose end the kernel ends them.

    Attributes:
        layout: What they are started with.
        proxies: Where the lines run.
        bootstrap: The broker, without a proxy between.
        port: The dashboard's, without a proxy between.
        children: By name.
        lines: The proxy between two processes.
        held: Processes that are down on purpose.
    """

    layout: Layout
    proxies: Proxies
    bootstrap: str = field(init=False)
    port: int = field(init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)
    lines: dict[tuple[str, str], Proxy] = field(default_factory=dict, init=False)
    held: set[str] = field(default_factory=set, init=False)

    def start(self) -> None:
        """Start all but the producer and return once they are ready.

        Raises:
            SystemExit: One did not become ready.
        """
        broker_port, self.port = free_port(), free_port()
        self.bootstrap = f"{LOOPBACK}:{broker_port}"
        listening = {client: free_port() for client in KAFKA_CLIENTS}
        for client, port in listening.items():
            self.lines[client, BROKER] = self.proxies.add(port)
        self.lines[RELAY, DASHBOARD] = self.proxies.add(self.port)
        listeners = [f"--listener={port}:{self.lines[client, BROKER].port}" for client, port in listening.items()]
        layout = self.layout
        self._begin(BROKER, "--port", broker_port, "--data-dir", layout.volume(BROKER) / "kafka", *listeners)
        self._begin(
            DASHBOARD,
            "--port",
            self.port,
            "--database",
            layout.database,
            "--model",
            layout.payments.model,
        )
        self.await_ready(BROKER)
        self._begin(
            DETECTOR, "--model", layout.payments.model, "--trigger", layout.trigger, "--checkpoint", layout.checkpoint,
            "--bootstrap-servers", self._through(DETECTOR), command="detect",
        )  # fmt: skip
        api = f"http://{LOOPBACK}:{self.lines[RELAY, DASHBOARD].port}"
        self._begin(RELAY, "--api", api, "--bootstrap-servers", self._through(RELAY))
        self.await_ready(DASHBOARD, RELAY, DETECTOR)

    def produce(self) -> None:
        """Start the producer: the file over and over, at the round's rate, going on where it was when it is killed."""
        layout = self.layout
        self._begin(
            PRODUCER, "--data", layout.payments.source.path, "--bootstrap-servers", self._through(PRODUCER),
            "--progress-file", layout.progress, "--rate", layout.rate, "--loop", "--resume",
            *(["--avro"] if is_avro(layout.environment) else []), command="produce",
        )  # fmt: skip
        self.await_ready(PRODUCER)

    def look(self) -> None:
        """See to every process once.

        Raises:
            ProcessFailed: One was never ready, however often it was started.
        """
        for name, child in self.children.items():
            if name not in self.held:
                child.poll()

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False, every: float = 0.0) -> bool:
        """See to the processes for so long, or until a condition holds, asked every so many seconds; whether it did."""
        deadline, next_question = time.monotonic() + seconds, 0.0
        while True:
            self.look()
            now = time.monotonic()
            if now >= next_question:
                if until():
                    return True
                next_question = now + every
            if now >= deadline:
                return False
            time.sleep(LOOK_SECONDS)

    def await_ready(self, *names: str) -> None:
        """Return once the processes are ready.

        Raises:
            SystemExit: They are not, after four minutes.
        """
        if not self.wait(READY_SECONDS, lambda: all(self.children[name].is_ready for name in names)):
            late = [name for name in names if not self.children[name].is_ready]
            raise SystemExit(f"never ready: {', '.join(f'{n}: {log_tail(self.layout.log(n))}' for n in late)}")

    def family(self, name: str) -> list[int]:
        """The pids of a process and of all that it started."""
        pid = self.children[name].pid
        return [] if pid is None else [pid, *descendants(pid)]

    def hold_down(self, name: str) -> None:
        """Stop a process and leave it stopped."""
        self.held.add(name)
        self.children[name].stop()

    def let_up(self, name: str) -> None:
        """Start it again."""
        self.held.discard(name)
        self.children[name].start()

    def stop(self) -> None:
        """Stop every process, the source first and the broker last."""
        for name in (PRODUCER, DETECTOR, RELAY, DASHBOARD, BROKER):
            if name in self.children:
                self._wake(name)
                self.children[name].stop()

    def _wake(self, name: str) -> None:
        # A process that a fault left paused does not hear SIGTERM.
        for pid in self.family(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _through(self, client: str) -> str:
        return f"{LOOPBACK}:{self.lines[client, BROKER].port}"

    def _begin(self, name: str, *arguments: object, command: str | None = None) -> None:
        line = [*FRAUDSTREAM, command or name, *map(str, arguments)]
        self.layout.volume(name).mkdir(parents=True, exist_ok=True)
        ready = self.layout.folder / "ready"
        ready.mkdir(exist_ok=True)
        child = Child(
            name=name,
            command=line,
            log=self.layout.log(name),
            ready_file=ready / name,
            environment=self.layout.environment,
            grace=30.0,
        )
        self.children[name] = child
        child.start()


@contextmanager
def running_system(layout: Layout) -> Iterator[System]:
    """The processes for the length of a `with` block, without the producer."""
    with running() as proxies:
        system = System(layout, proxies)
        try:
            system.start()
            yield system
        finally:
            system.stop()


def descendants(pid: int) -> list[int]:
    """A process's children, their children, and so on."""
    return family(pid)[1:]


def still_there(pids: Sequence[int]) -> list[int]:
    """Those of the processes that have not ended."""
    return [pid for pid in pids if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
