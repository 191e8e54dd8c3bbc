"""Creates the Spark session for training, batch scoring and streaming.

Under `spark-submit`, which started this Python from a JVM, the session uses that JVM.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, cast

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from fraudstream.errors import SetupError, SparkFailed
from fraudstream.runtime.jvm import Jvm, SparkPlan, is_local_master, start_jvm, with_enough_slots
from fraudstream.runtime.spark_settings import AFFECTS_RESULTS, AVRO_LIMITS, CORES, DEFAULTS, LOOPBACK_DRIVER, cores_for

MASTER_SECONDS: Final = 5.0

OWN_CORES: Final = "spark.fraudstream.ownCores"
"""Set where `spark.cores.max` is our default, and may change."""

# Through these, `spark-submit` passes its JVM to pyspark.
_GATEWAY_PORT: Final = "PYSPARK_GATEWAY_PORT"
_GATEWAY_SECRET: Final = "PYSPARK_GATEWAY_SECRET"  # noqa: S105 - the name of a variable


@contextmanager
def spark_session(plan: SparkPlan, jvm: Jvm | None = None) -> Iterator[SparkSession]:
    """Open a session for the length of a `with` block; a JVM that was started for it is stopped at the end.

    The JVM of `spark-submit`, or one that this Python already has, as in a notebook, is reused and keeps running.
    `jvm` is one that was already started for the session; None starts one if needed.

    Raises:
        SetupError: The JVM exited or did not answer in time; names its log.
        SparkFailed: Spark failed, at the start or in the block.
    """
    active = SparkContext._active_spark_context  # noqa: SLF001  pyspark has no public way to check without creating one
    if active is not None:
        with converted_errors(plan.log):
            yield _session_beside(active)
        return
    if is_submitted():
        # Spark's log is on the terminal of `spark-submit`.
        with converted_errors(None), _submitted_session(plan) as session:
            yield session
        return
    require_master(plan.master)
    jvm = jvm or start_jvm(plan)
    with ExitStack() as started:
        started.callback(jvm.stop)
        with converted_errors(plan.log):
            session = _connect(plan, jvm)
        started.callback(_disconnect, session)
        with converted_errors(plan.log):
            yield session


def require_master(master: str) -> None:
    """Verify that a standalone master answers: Spark itself gives up only after a minute, and its JVM exits.

    Raises SetupError; other masters are not checked.
    """
    if not master.startswith("spark://"):
        return
    reason = "it names no host and port"
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), MASTER_SECONDS).close()
            return
        except (OSError, ValueError, OverflowError) as e:
            reason = str(getattr(e, "strerror", None) or e)
    raise SetupError(
        f"no Spark master answers: {reason}",
        where=master,
        remedy="start it, or set --spark-master or FRAUDSTREAM_SPARK_MASTER; without one, Spark runs locally",
    )


@contextmanager
def converted_errors(log: Path | None) -> Iterator[None]:
    """Convert Spark's errors into ours while the JVM, which holds the error's text, is still running."""
    try:
        yield
    except (Py4JError, PySparkException) as e:
        raise SparkFailed(
            f"Spark failed: {first_line(e)}",
            where=f"log: {log}" if log else "see Spark's log above",
            remedy="check the cause: a folder's permissions, a full disk, a Spark master that is not running",
        ) from e


def first_line(error: Exception) -> str:
    """Summarize an error of Spark's in one line, with its root cause if known."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # it asks the JVM, which may have ended
        return "its JVM ended before the reason could be read"
    causes = [line.strip() for line in lines if line.startswith(("Caused by: ", ": "))]
    return (causes[-1].removeprefix("Caused by: ").removeprefix(": ") if causes else lines[0]) if lines else ""


def _session_beside(context: SparkContext) -> SparkSession:
    """Open a session with its own settings on an existing context; the user's session is unchanged."""
    session = SparkSession(context).newSession()
    for key, value in AFFECTS_RESULTS.items():
        session.conf.set(key, value)
    return session


def _connect(plan: SparkPlan, jvm: Jvm) -> SparkSession:
    port, secret = jvm.connection()
    os.environ |= {_GATEWAY_PORT: str(port), _GATEWAY_SECRET: secret}
    try:
        gateway = launch_gateway()
    finally:
        # A child that inherited them would take itself for one of `spark-submit`.
        del os.environ[_GATEWAY_PORT], os.environ[_GATEWAY_SECRET]
    return _session(plan, gateway)


def configure(conf: SparkConf, plan: SparkPlan) -> SparkConf:
    """Complete the user's configuration, which has a master: see `spark_settings` for what takes precedence."""
    is_local = is_local_master(conf.get("spark.master") or "")
    # Spark's script for a shell, which starts our JVM, sets it to true.
    conf.set("spark.ui.showConsoleProgress", "false").setAll(list(plan.conf.items()))
    if not conf.contains(CORES):
        conf.set(CORES, cores_for(plan.slots, dict(conf.getAll()))).set(OWN_CORES, "true")
    for key, value in {**DEFAULTS, **(LOOPBACK_DRIVER if is_local else {})}.items():
        conf.setIfMissing(key, value)
    if plan.jars and not is_local:
        # Executors fetch these from the driver, which has them on its class path.
        conf.set("spark.jars", ",".join(filter(None, (conf.get("spark.jars", ""), *map(str, plan.jars)))))
    return conf.setAppName(plan.app).setAll(list(AFFECTS_RESULTS.items()))


def reopen(session: SparkSession, plan: SparkPlan) -> SparkSession:
    """Stop a session and open another by another plan, on the same warm JVM."""
    # pyspark has no other way to create a context on an existing JVM.
    gateway = cast(JavaGateway, session.sparkContext._gateway)  # noqa: SLF001
    session.stop()
    return _session(plan, gateway)


def _disconnect(session: SparkSession) -> None:
    with suppress(Exception):  # the JVM may have ended already
        session.stop()
    active = SparkContext._active_spark_context  # noqa: SLF001  another one, from `reopen`
    if active is not None:
        with suppress(Exception):
            active.stop()
    gateway = SparkContext._gateway  # noqa: SLF001  pyspark caches it for the process; a new session needs a new one
    if gateway is not None:
        with suppress(Exception):
            gateway.shutdown()
    SparkContext._gateway = None  # noqa: SLF001
    SparkContext._jvm = None  # noqa: SLF001


def is_submitted() -> bool:
    """Check whether `spark-submit` started this process, from a JVM that waits for it."""
    return _GATEWAY_PORT in os.environ


@contextmanager
def _submitted_session(plan: SparkPlan) -> Iterator[SparkSession]:
    """Open a session on the JVM of `spark-submit`, which keeps running; it has at least the plan's task slots."""
    # With a gateway in the environment this starts nothing and only connects.
    gateway = launch_gateway()
    _leave_interrupts_to_python(gateway)
    session = _session(plan, gateway)
    parent = os.getppid()
    try:
        yield session
    finally:
        # If the JVM has ended, so has the session, and pyspark would log long errors.
        if os.getppid() == parent:
            with suppress(Exception):
                session.stop()


def _leave_interrupts_to_python(gateway: JavaGateway) -> None:
    """Have the JVM ignore SIGINT, as pyspark's own does: Ctrl-C reaches this process too, which then stops both."""
    signals = gateway.jvm.sun.misc
    with suppress(Py4JError):  # a Java without the module jdk.unsupported
        signals.Signal.handle(signals.Signal("INT"), signals.SignalHandler.SIG_IGN)


def _session(plan: SparkPlan, gateway: JavaGateway) -> SparkSession:
    """Open a session on a new context and restore the SIGINT handler, which pyspark replaces with each context."""
    # Spark's scripts have given the JVM what the user's files say, and `SparkConf` begins with that.
    conf = SparkConf(_jvm=gateway.jvm).setIfMissing("spark.driver.memory", plan.memory)
    conf.setMaster(with_enough_slots(conf.get("spark.master", None) or plan.master, plan.master, os.cpu_count() or 1))
    for name, most in AVRO_LIMITS.items():
        gateway.jvm.System.setProperty(name, most)
    before = signal.getsignal(signal.SIGINT)
    try:
        context = SparkContext(conf=configure(conf, plan), gateway=gateway)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
    context.setLogLevel("WARN")
    return SparkSession(context)
