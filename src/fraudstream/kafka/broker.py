"""Our own Kafka: one KRaft node on loopback, started from the fetched jars; `topics` creates what it holds."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fraudstream.errors import BrokerFailed
from fraudstream.kafka.topics import TopicReport, ensure_topics
from fraudstream.runtime.files import exclusive_lock
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

Report = Callable[[str], None]

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 15.0
VACATE_SECONDS: Final = 2.0

_PROPERTIES: Final = "server.properties"
_LOGGING: Final = "log4j2.properties"
_LOG: Final = "broker.log"
_STORAGE: Final = "log"
_STARTED: Final = "Kafka Server started"

_SERVER = """\
# Written by fraudstream at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={storage}
auto.create.topics.enable=false
# One node has one copy of everything.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
# A relay that comes back takes over at once.
group.initial.rebalance.delay.ms=0
# Nothing is ever deleted: the audit works a record's outcome out again from the record. A year for offsets.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=525600
message.max.bytes={max_record_bytes}
# After a kill -9 the controller takes its broker for alive until the session ends (Kafka's default: 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# The default takes 128 of the heap's 512 MB for compacting topics, of which there is only the one with offsets.
log.cleaner.dedupe.buffer.size=16777216
"""

_LOG4J = """\
# Written by fraudstream at every start.
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d{{ISO8601}}] %p %m (%c{{1}})%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""


@dataclass(frozen=True)
class BrokerPlan:
    """What a broker is made of.

    Attributes:
        port: The loopback port that clients talk to.
        data_dir: Its records, settings and log; kept from one start to the next.
        java: What it runs on.
        jars: Its class path (`Jars.broker`).
        partitions: Of the input topic, when it is created.
        max_record_bytes: The largest transaction.
        heap: The JVM's heap, as Java writes it.
    """

    port: int
    data_dir: Path
    java: Java
    jars: tuple[Path, ...]
    partitions: int
    max_record_bytes: int
    heap: str = "512m"

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients are told."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """Kafka's own log."""
        return self.data_dir.absolute() / _LOG


@dataclass(frozen=True)
class RunningBroker:
    """A broker that is ready, with its topics."""

    bootstrap_servers: str
    process: subprocess.Popen[bytes]
    topics: TopicReport


def run_broker(plan: BrokerPlan, report: Report, ready_file: Path | None = None) -> None:
    """Run a broker in the foreground until SIGINT or SIGTERM; for the main thread.

    Args:
        plan: What to start.
        report: Told in one line each what happens.
        ready_file: Written once clients are served.

    Raises:
        PortInUse: Somebody listens on the port.
        BrokerFailed: The data directory is in use, or the broker ended of itself.
    """
    with stop_signals() as stopped, start_broker(plan, report, stopped) as broker:
        if broker is None:
            return
        write_ready(ready_file, port=plan.port)
        report(f"ready on {plan.bootstrap_servers}; log in {plan.log}")
        while not stopped.wait(0.2):
            if broker.process.poll() is not None:
                raise _failed("the broker ended", plan, broker.process)
        report("stopping")
    report("stopped")


@contextmanager
def start_broker(
    plan: BrokerPlan, report: Report, stopped: threading.Event | None = None
) -> Iterator[RunningBroker | None]:
    """A broker for the length of a `with` block; stopped at its end. Yields None when `stopped` came first.

    The kernel ends the broker with the thread that entered the block, should that never come to leave it.
    """
    stopped = stopped or threading.Event()
    data = plan.data_dir.absolute()
    with exclusive_lock(data / "broker.lock", wait=False) as ours:
        if not ours:
            raise BrokerFailed(
                "another broker uses this data directory", where=str(data), remedy="stop it, or give another --data-dir"
            )
        if (data / _STORAGE).exists():
            # A JVM whose Python was killed -9 a moment ago dies with it, yet not in the same instant.
            wait_until(lambda: port_owner(plan.port) is None, VACATE_SECONDS)
        check_port_free(LOOPBACK, plan.port)
        _write_settings(plan)
        _format_storage(plan, report)
        report("starting Kafka")
        process = spawn(_java(plan, "kafka.Kafka", str(data / _PROPERTIES)), log=data / "broker.out")
        try:
            if not _await_ready(plan, process, stopped):
                yield None
                return
            topics = ensure_topics(plan.bootstrap_servers, plan.partitions, plan.max_record_bytes)
            yield RunningBroker(plan.bootstrap_servers, process, topics)
        finally:
            stop(process, STOP_SECONDS)


def _write_settings(plan: BrokerPlan) -> None:
    data = plan.data_dir.absolute()
    settings = _SERVER.format(
        host=LOOPBACK,
        port=plan.port,
        # The one node's quorum is itself: its port may be another at each start.
        controller_port=free_port(),
        storage=data / _STORAGE,
        max_record_bytes=plan.max_record_bytes,
    )
    (data / _PROPERTIES).write_text(settings)
    (data / _LOGGING).write_text(_LOG4J.format(log=plan.log))
    # Readiness is read from the log: what a former run wrote there must not count.
    if plan.log.exists():
        plan.log.replace(plan.log.with_suffix(".log.old"))


def _format_storage(plan: BrokerPlan, report: Report) -> None:
    data = plan.data_dir.absolute()
    if (data / _STORAGE / "meta.properties").exists():
        return
    report(f"formatting the storage in {data}")
    # Kafka's ids are 16 bytes in URL-safe base64; one that starts with a dash would read as an option.
    identity = "f" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    # A format that was cut short has no meta.properties and is done again over what it left.
    command = _java(plan, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", identity)
    done = subprocess.run(  # noqa: S603 - the command is the package's own
        [*command, "-c", str(data / _PROPERTIES)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise BrokerFailed(
            f"Kafka's storage could not be formatted: {reason}", where=str(data), remedy="give another --data-dir"
        )


def _java(plan: BrokerPlan, program: str, *arguments: str) -> list[str]:
    return [
        str(plan.java.executable),
        f"-Xmx{plan.heap}",
        "-XX:+UseSerialGC",
        # The quick compiler alone: 4.6 s of processor time until ready in place of 8.8 (with two cores, 5 s for 12).
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={plan.data_dir.absolute() / _LOGGING}",
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
        raise _failed("the broker ended before it was ready", plan, process)
    if not in_time:
        raise _failed(f"the broker was not ready within {START_SECONDS:.0f} s", plan, process)
    return True


def _failed(what: str, plan: BrokerPlan, process: subprocess.Popen[bytes]) -> BrokerFailed:
    lines = [*_text(plan.log).splitlines(), *_text(plan.log.with_suffix(".out")).splitlines()]
    errors = [line for line in lines if any(mark in line for mark in (" ERROR ", " FATAL ", "Exception", "Error"))]
    reason = errors[0].partition("] ")[2] or errors[0] if errors else f"exit code {process.returncode}"
    return BrokerFailed(f"{what}: {reason}", where=str(plan.log), remedy="read that log, and run `fraudstream doctor`")


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
