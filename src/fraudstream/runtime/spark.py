"""The Spark session, made in one place for training, batch and stream; its JVM dies with the Python process.

Under `spark-submit`, which started this Python from a JVM, the session is on that JVM; see `submitted.py`.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.serializers import UTF8Deserializer, read_int
from pyspark.sql import SparkSession

from fraudstream.errors import SetupError
from fraudstream.runtime.processes import die_with_parent
from fraudstream.runtime.submitted import interrupt_handler_kept, is_submitted, submitted_session

START_TIMEOUT_SECONDS = 90.0

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
    "spark.cleaner.referenceTracking.cleanCheckpoints": "false",
}


@dataclass(frozen=True)
class SparkPlan:
    """What a session is made of.

    Args:
        app: Name shown in Spark's logs.
        java_home: A Java 17+.
        master: Spark master; `local[N]` on one machine.
        memory: Heap of the driver's JVM, as Spark writes it ("2g").
        jars: Jars put on the class path (the Kafka connector).
        log: File for the JVM's own output; none discards it.
        conf: Further Spark settings.
        java_options: Further JVM flags.
    """

    app: str
    java_home: Path
    master: str = "local[2]"
    memory: str = "2g"
    jars: Sequence[Path] = ()
    log: Path | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    java_options: Sequence[str] = ()


@contextmanager
def spark_session(plan: SparkPlan) -> Iterator[SparkSession]:
    """A session for the length of a `with` block; the JVM is stopped at its end, if it was started for it.

    It was not where `spark-submit` brought one, or where this Python has one already, as a notebook may.
    """
    active = SparkContext._active_spark_context  # noqa: SLF001  pyspark has no public way to ask without making one
    if active is not None:
        yield _session_beside(active)
        return
    if is_submitted():
        with submitted_session(plan.app, plan.master, _FIXED) as session:
            yield session
        return
    session, jvm = build_session(plan)
    try:
        yield session
    finally:
        stop_session(session, jvm)


def _session_beside(context: SparkContext) -> SparkSession:
    """A session on a context that is there, whose settings are its own: those of the user's session stay."""
    session = SparkSession(context).newSession()
    for key, value in _FIXED.items():
        if key.startswith("spark.sql."):
            session.conf.set(key, value)
    return session


def build_session(plan: SparkPlan) -> tuple[SparkSession, subprocess.Popen[bytes]]:
    """Start a JVM that dies with this process and return a session on it, with the JVM's process.

    Raises:
        SetupError: The JVM ended or did not answer in time; names its log.
    """
    jvm, port, secret = _launch_jvm(plan)
    with _environment({"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}):
        gateway = launch_gateway()
    with interrupt_handler_kept():
        context = SparkContext(conf=SparkConf(_jvm=gateway.jvm), gateway=gateway)
    context.setLogLevel("WARN")
    return SparkSession(context), jvm


def stop_session(session: SparkSession, jvm: subprocess.Popen[bytes], grace: float = 10.0) -> None:
    """Stop the session and its JVM; what does not end within `grace` seconds is killed."""
    with suppress(Exception):  # a JVM that is already gone cannot be told to stop
        session.stop()
    _forget_gateway()
    if jvm.stdin is not None:
        jvm.stdin.close()
    try:
        jvm.wait(grace)
    except subprocess.TimeoutExpired:
        jvm.kill()
        jvm.wait()


def _forget_gateway() -> None:
    gateway = SparkContext._gateway  # noqa: SLF001  pyspark keeps it for the process; a new session needs a new one
    if gateway is not None:
        with suppress(Exception):
            gateway.shutdown()
    SparkContext._gateway = None  # noqa: SLF001
    SparkContext._jvm = None  # noqa: SLF001


def _launch_jvm(plan: SparkPlan) -> tuple[subprocess.Popen[bytes], int, str]:
    home = Path(pyspark.__file__).parent
    with tempfile.TemporaryDirectory(prefix="fraudstream-gateway-") as folder:
        info = Path(folder) / "connection"
        environment = {
            **os.environ,
            "JAVA_HOME": str(plan.java_home),
            "SPARK_HOME": str(home),
            "SPARK_CONNECT_MODE": "0",
            "_PYSPARK_DRIVER_CONN_INFO_PATH": str(info),
        }
        command = [str(home / "bin" / "spark-submit"), *_conf_flags(plan), "pyspark-shell"]
        output = plan.log.open("ab") if plan.log is not None else subprocess.DEVNULL
        try:
            # stdin stays open: the gateway in the JVM ends when it is closed. The scripts `exec` into java, so
            # the parent-death signal set here stays with the JVM.
            jvm = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
                start_new_session=True,
            )
        finally:
            if plan.log is not None:
                output.close()  # type: ignore[union-attr]
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not info.exists():
            if jvm.poll() is not None or time.monotonic() > deadline:
                jvm.kill()
                raise SetupError(
                    "Spark's JVM did not start",
                    where=f"log: {plan.log}" if plan.log else shlex.join(command[:1]),
                    remedy="run `fraudstream doctor`; it checks Java, memory and the jars",
                )
            time.sleep(0.02)
        with info.open("rb") as stream:
            port = read_int(stream)
            secret = UTF8Deserializer().loads(stream)
    return jvm, port, str(secret)


def _conf_flags(plan: SparkPlan) -> list[str]:
    conf = {
        **_FIXED,
        "spark.app.name": plan.app,
        "spark.master": plan.master,
        "spark.driver.memory": plan.memory,
        **plan.conf,
    }
    if plan.jars:
        conf["spark.driver.extraClassPath"] = os.pathsep.join(map(str, plan.jars))
    if plan.java_options:
        conf["spark.driver.extraJavaOptions"] = shlex.join(plan.java_options)
    return [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]


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
