"""Runs the bundled Kafka broker: a single KRaft node on loopback."""

import base64
import contextlib
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from fraudstream.config import Settings
from fraudstream.errors import BrokerFailed
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.secured import OPEN, SecureFolder, admit_users
from fraudstream.kafka.topics import ensure_topics, open_admin
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.engines import jars_for, java_for
from fraudstream.runtime.files import sole_use, tighten
from fraudstream.runtime.jars import Report
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import (
    LOOPBACK,
    check_port_free,
    die_with_parent,
    free_port,
    port_owner,
    spawn,
    stop,
    stop_signals,
    wait_until,
    write_ready,
)
from fraudstream.transactions.wire import Topic

PROPERTIES: Final = "server.properties"
STORAGE: Final = "log"


class Listener(NamedTuple):
    """A listener on a loopback port, with its advertised port.

    The two differ behind a proxy or tunnel: a Kafka client reconnects to the advertised listener.
    """

    port: int
    advertised: int


BROKER_CLASS: Final = "kafka.Kafka"
LOCK: Final = "broker.lock"
"""In the data directory; held while a broker runs on it."""

START_SECONDS: Final = 120.0

_STARTED: Final = "Kafka Server started"
_CAUSE: Final = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): (?P<why>.+)$", re.MULTILINE)
_ERROR: Final = re.compile(r"(?: ERROR | FATAL |^Error: )(?P<why>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class BrokerPlan:
    """The configuration of a broker.

    Attributes:
        port: The loopback port for clients.
        data_dir: Its records, settings and log; persistent.
        partitions: Partitions of the input topic when it is created.
        heap: The maximum heap of the JVM, in Java's notation.
        secure: Clients connect by SASL_SSL, with the users of this folder; None for an open broker.
        secure_port: The port of a secured broker's listener for itself.
    """

    port: int
    data_dir: Path
    java: Java
    jars: tuple[Path, ...]
    partitions: int
    max_record_bytes: int
    heap: str = "512m"
    listeners: tuple[Listener, ...] = ()
    secure: SecureFolder | None = None
    secure_port: int = field(default_factory=free_port)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)

    @classmethod
    def of(cls, settings: Settings, port: int, data_dir: Path, **options: Any) -> Self:
        """Plan a broker by the settings, with the Java and the jars of this machine; `options` are other attributes."""
        java, jars = java_for(settings), jars_for(settings).broker
        partitions, most_bytes = settings.partitions, settings.max_record_bytes
        return cls(port, data_dir, java, jars, partitions, most_bytes, kafka=settings.kafka, **options)

    @property
    def bootstrap_servers(self) -> str:
        """The bootstrap address for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def broker_port(self) -> int:
        """The port at which the broker itself connects."""
        return self.port if self.secure is None else self.secure_port

    @property
    def cluster(self) -> Cluster:
        """The broker as a cluster of one, with all rights."""
        security = OPEN if self.secure is None else self.secure.security()
        return Cluster(f"{LOOPBACK}:{self.broker_port}", self.kafka.model_copy(update=security))

    @property
    def log(self) -> Path:
        """Kafka's own log."""
        return self.data_dir.absolute() / "broker.log"


def write_settings(plan: BrokerPlan) -> None:
    """Write the settings of the broker; BROKER, its listener for itself, is also that of clients unless it is secured.

    An existing log is renamed: readiness is read from the log, and must not come from an earlier run.
    """
    data_dir = plan.data_dir.absolute()
    named = {"BROKER": Listener(plan.broker_port, plan.broker_port)}
    if plan.secure is not None:
        named["CLIENTS"] = Listener(plan.port, plan.port)
    named |= {f"MORE{number}": listener for number, listener in enumerate(plan.listeners, 1)}
    clients = [name for name in named if name != "BROKER"]
    protocols = dict.fromkeys([*named, "CONTROLLER"], "PLAINTEXT")
    if plan.secure is not None:
        protocols = dict.fromkeys(("BROKER", "CONTROLLER"), "SSL") | dict.fromkeys(clients, "SASL_SSL")
    template = Path(__file__).with_name("broker.properties").read_text()
    settings = template.format(
        host=LOOPBACK,
        listeners=",".join(f"{name}://{LOOPBACK}:{each.port}" for name, each in named.items()),
        advertised=",".join(f"{name}://{LOOPBACK}:{each.advertised}" for name, each in named.items()),
        protocols=",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        # The node is its own quorum, so this port may change at each start.
        controller_port=free_port(),
        storage=data_dir / STORAGE,
        max_record_bytes=plan.max_record_bytes,
    )
    if plan.secure is not None:
        settings += plan.secure.server_properties(clients)
    (data_dir / PROPERTIES).write_text(settings)
    if plan.log.exists():
        plan.log.replace(plan.log.with_suffix(".log.old"))


@dataclass(frozen=True)
class RunningBroker:
    """A broker that is ready, with its topics and their partitions."""

    bootstrap_servers: str
    process: subprocess.Popen[bytes]
    topics: Mapping[Topic, int]


def run_broker(plan: BrokerPlan, report: Report, ready_file: Path | None = None) -> None:
    """Run a broker in the foreground until SIGINT or SIGTERM; for the main thread. Raises as `start_broker`."""
    with stop_signals() as stopped, start_broker(plan, report, stopped) as broker:
        if broker is None:
            return
        write_ready(ready_file, port=plan.port)
        report(f"ready on {plan.bootstrap_servers}; log in {plan.log}")
        while not stopped.wait(0.2):
            if broker.process.poll() is not None:
                raise _failed("the broker exited", plan, broker.process)
        report("stopping")
    report("stopped")


@contextmanager
def start_broker(
    plan: BrokerPlan, report: Report, stopped: threading.Event | None = None
) -> Iterator[RunningBroker | None]:
    """Run a broker for the duration of a `with` block; yields None if `stopped` was set before it was ready.

    The kernel kills the broker if the thread that entered the block dies. Raises PortInUse, or BrokerFailed if the data
    directory is in use or the broker exited.
    """
    stopped = stopped or threading.Event()
    data = plan.data_dir.absolute()
    remedy = "stop it, or use another --data-dir"
    in_use = BrokerFailed("another broker uses this data directory", where=str(data), remedy=remedy)
    with sole_use(data / LOCK, in_use):
        tighten(data)
        if (data / STORAGE).exists():
            # A JVM whose parent was killed with -9 a moment ago needs another moment to die.
            wait_until(lambda: port_owner(plan.port) is None, timeout=2.0)
        for port in (plan.port, *(listener.port for listener in plan.listeners)):
            check_port_free(LOOPBACK, port)
        if plan.secure is not None:
            plan.secure.prepare(plan.bootstrap_servers)
        write_settings(plan)
        _format_storage(plan, report)
        report("starting Kafka")
        process = spawn(_java(plan, BROKER_CLASS, str(data / PROPERTIES)), log=data / "broker.out")
        try:
            if not _await_ready(plan, process, stopped):
                yield None
                return
            topics = ensure_topics(plan.cluster, plan.partitions, plan.max_record_bytes)
            if plan.secure is not None:
                admit_users(open_admin(plan.cluster), plan.secure, plan.cluster)
            yield RunningBroker(plan.bootstrap_servers, process, topics)
        finally:
            stop(process, grace=15.0)


def _format_storage(plan: BrokerPlan, report: Report) -> None:
    data = plan.data_dir.absolute()
    if (data / STORAGE / "meta.properties").exists():
        return
    report(f"formatting the storage in {data}")
    # Kafka's ids are 16 bytes in URL-safe base64; one that starts with a dash would be parsed as an option.
    identity = "f" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    # An interrupted format leaves no meta.properties, and is repeated.
    arguments = ("format", "--ignore-formatted", "-t", identity, "-c", str(data / PROPERTIES))
    command = _java(plan, "kafka.tools.StorageTool", *arguments)
    result = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=die_with_parent)  # noqa: S603
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().rpartition("\n")[2]
        raise BrokerFailed(f"cannot format Kafka's storage: {reason}", where=str(data), remedy="use another --data-dir")


def _java(plan: BrokerPlan, program: str, *arguments: str) -> list[str]:
    return [
        str(plan.java.executable),
        f"-Xmx{plan.heap}",
        f"@{Path(__file__).with_name('broker.jvm')}",
        f"-Dlog4j2.configurationFile={Path(__file__).with_name('broker_log4j2.properties')}",
        f"-Dfraudstream.log={plan.log}",
        "-cp",
        ":".join(map(str, plan.jars)),
        program,
        *arguments,
    ]


def _await_ready(plan: BrokerPlan, process: subprocess.Popen[bytes], stopped: threading.Event) -> bool:
    def settled() -> bool:
        return stopped.is_set() or process.poll() is not None or _STARTED in _text(plan.log)

    in_time = wait_until(settled, START_SECONDS, every=0.05)
    if stopped.is_set():
        return False
    if process.poll() is not None:
        raise _failed("the broker exited before it was ready", plan, process)
    if not in_time:
        raise _failed(f"the broker was not ready within {START_SECONDS:.0f} s", plan, process)
    return True


def _failed(what: str, plan: BrokerPlan, process: subprocess.Popen[bytes]) -> BrokerFailed:
    text = _text(plan.log) + _text(plan.log.with_suffix(".out"))
    # The first exception in the log: errors during the shutdown come later.
    cause = _CAUSE.search(text) or _ERROR.search(text)
    reason = cause["why"].strip() if cause else f"exit code {process.returncode}"
    return BrokerFailed(f"{what}: {reason}", where=str(plan.log), remedy="check that log, and run `fraudstream doctor`")


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
