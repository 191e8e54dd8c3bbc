"""The Spark session, made in one place for training, batch and stream; the JVM below it starts `jvm.py`.

Under `spark-submit`, which started this Python from a JVM, the session is on that JVM.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, cast

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from fraudstream.errors import SetupError, SparkFailed
from fraudstream.runtime.files import PRIVATE_UMASK
from fraudstream.runtime.jvm import Jvm, SparkPlan, start_jvm, with_enough_slots

MASTER_SECONDS: Final = 5.0

_FIXED = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
    # Without it a single broken cell of a row would lose the whole row of numbers.
    "spark.sql.json.enablePartialResults": "true",
    # A row may name a column twice.
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # Hadoop gives what it writes (checkpoint, models) rights of its own, whatever the process's umask.
    "spark.hadoop.fs.permissions.umask-mode": f"{PRIVATE_UMASK:03o}",
    "spark.cleaner.referenceTracking.cleanCheckpoints": "false",
    # Else each call of a function asks the JVM eight times, to note the line of Python that it stands in; and the JVM
    # takes a stack trace of its own: 0.5 s for a plan of some hundred expressions.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.sql.dataFrameQueryContext.enabled": "false",
}


_OF_ONE_CONTEXT = frozenset({"spark.app.id", "spark.app.startTime", "spark.app.submitTime", "spark.driver.port"})
"""Settings that a context writes into its own configuration."""

# These bear on what is computed; the rest is comfort, where the user's word counts.
_BEARS_ON_RESULTS: Final = "spark.sql."


@contextmanager
def spark_session(plan: SparkPlan, jvm: Jvm | None = None) -> Iterator[SparkSession]:
    """A session for the length of a `with` block; the JVM is stopped at its end, if it was started for it.

    It was not where `spark-submit` brought one, or where this Python has one already, as a notebook may. `jvm` is one
    that was started for it already; None starts one where there is none.

    Raises:
        SetupError: The JVM ended or did not answer in time; names its log.
        SparkFailed: Spark refused what was asked of it, there or in the block.
    """
    active = SparkContext._active_spark_context  # noqa: SLF001  pyspark has no public way to ask without making one
    if active is not None:
        yield _session_beside(active)
        return
    if is_submitted():
        with submitted_session(plan.app, plan.master, _FIXED) as session, _errors_told(plan):
            yield session
        return
    _require_master(plan.master)
    jvm = jvm or start_jvm(plan, jvm_settings(plan))
    try:
        with _errors_told(plan):
            session = _connect(plan, jvm)
            try:
                with _errors_told(plan):
                    yield session
            finally:
                _disconnect(session)
    finally:
        jvm.stop()


def _require_master(master: str) -> None:
    """See that a standalone master answers: Spark itself gives up after a minute, and its JVM with it."""
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
        remedy="start it, or name yours with --spark-master or FRAUDSTREAM_SPARK_MASTER; without one, Spark runs here",
    )


@contextmanager
def _errors_told(plan: SparkPlan) -> Iterator[None]:
    """Turn an error of Spark's into one of ours while its JVM is there, which alone knows the error's text."""
    try:
        yield
    except (Py4JError, PySparkException) as e:
        raise SparkFailed(
            f"Spark failed: {first_line(e)}",
            where=f"log: {plan.log}" if plan.log else f"Spark master {plan.master}",
            remedy="see to what it names: a folder's rights, a full disk, a Spark master that does not run",
        ) from e


def first_line(error: Exception) -> str:
    """What an error of Spark's says, in one line; the cause at its root where that is told."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # it asks the JVM, which may be gone
        return "its JVM ended, and the reason with it"
    causes = [line.strip() for line in lines if line.startswith(("Caused by: ", ": "))]
    return (causes[-1].removeprefix("Caused by: ").removeprefix(": ") if causes else lines[0]) if lines else ""


def _session_beside(context: SparkContext) -> SparkSession:
    """A session on a context that is there, whose settings are its own: those of the user's session stay."""
    session = SparkSession(context).newSession()
    for key, value in _FIXED.items():
        if key.startswith("spark.sql."):
            session.conf.set(key, value)
    return session


def _connect(plan: SparkPlan, jvm: Jvm) -> SparkSession:
    port, secret = jvm.connection()
    with _environment({"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}):
        gateway = launch_gateway()
    conf = SparkConf(_jvm=gateway.jvm).setAll(list(jvm_settings(plan).items()))
    return _session(conf, gateway)


def session_with_master(session: SparkSession, master: str) -> SparkSession:
    """Stop a session and make another with its settings and another master, on the same JVM, which is warm."""
    old = session.sparkContext
    settings = [(key, value) for key, value in old.getConf().getAll() if key not in _OF_ONE_CONTEXT]
    # pyspark has no other way to make a context on a JVM that is there.
    gateway = cast(JavaGateway, old._gateway)  # noqa: SLF001
    session.stop()
    conf = SparkConf(_jvm=gateway.jvm).setAll(settings).setMaster(master)
    return _session(conf, gateway)


def _disconnect(session: SparkSession) -> None:
    with suppress(Exception):  # a JVM that is already gone cannot be told to stop
        session.stop()
    active = SparkContext._active_spark_context  # noqa: SLF001  another one, from `session_with_master`
    if active is not None:
        with suppress(Exception):
            active.stop()
    _forget_gateway()


def _forget_gateway() -> None:
    gateway = SparkContext._gateway  # noqa: SLF001  pyspark keeps it for the process; a new session needs a new one
    if gateway is not None:
        with suppress(Exception):
            gateway.shutdown()
    SparkContext._gateway = None  # noqa: SLF001
    SparkContext._jvm = None  # noqa: SLF001


def jvm_settings(plan: SparkPlan) -> dict[str, str]:
    """Spark's settings of a plan."""
    return {
        **_FIXED,
        "spark.app.name": plan.app,
        "spark.master": plan.master,
        "spark.driver.memory": plan.memory,
        **plan.conf,
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def is_submitted() -> bool:
    """Whether `spark-submit` started this process, from a JVM that waits for it."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def submitted_session(app: str, master: str, settings: Mapping[str, str]) -> Iterator[SparkSession]:
    """A session on the JVM of `spark-submit` for the length of a `with` block; the JVM stays for whoever started it.

    `app` is its name in Spark's logs; `master` the one that would be taken without `spark-submit`, whose task slots are
    the least that is needed. `settings` that bear on no result give way to the ones given to `spark-submit`.
    """
    # With a gateway in the environment this launches nothing: it connects.
    gateway = launch_gateway()
    _leave_interrupts_to_python(gateway)
    conf = SparkConf(_jvm=gateway.jvm)
    for key, value in settings.items():
        if key.startswith(_BEARS_ON_RESULTS):
            conf.set(key, value)
        else:
            conf.setIfMissing(key, value)
    conf.setAppName(app)
    conf.setMaster(with_enough_slots(conf.get("spark.master", None) or master, master, os.cpu_count() or 1))
    session = _session(conf, gateway)
    parent = os.getppid()
    try:
        yield session
    finally:
        # A JVM that has ended took the session along, and pyspark would complain at length.
        if os.getppid() == parent:
            with suppress(Exception):
                session.stop()


def _leave_interrupts_to_python(gateway: JavaGateway) -> None:
    """Have the JVM ignore SIGINT, as pyspark's own does: Ctrl-C reaches this process too, which then ends both."""
    signals = gateway.jvm.sun.misc
    with suppress(Py4JError):  # a Java without the module jdk.unsupported
        signals.Signal.handle(signals.Signal("INT"), signals.SignalHandler.SIG_IGN)


def _session(conf: SparkConf, gateway: JavaGateway) -> SparkSession:
    """A session on a new context; the handler of SIGINT, which pyspark replaces with each context, is put back."""
    before = signal.getsignal(signal.SIGINT)
    try:
        context = SparkContext(conf=conf, gateway=gateway)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
    context.setLogLevel("WARN")
    return SparkSession(context)
