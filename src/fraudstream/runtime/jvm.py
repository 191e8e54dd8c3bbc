"""Starts Spark's JVM, which ends with this process; pyspark is not imported here, but while the JVM starts."""

import functools
import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from fraudstream.config import Settings
from fraudstream.errors import SetupError
from fraudstream.runtime.files import tighten
from fraudstream.runtime.jars import spark_home
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import die_with_parent, wait_until
from fraudstream.runtime.spark_settings import check_properties

START_TIMEOUT_SECONDS: Final = 90.0

MOST_LOG_BYTES: Final = 10 * 2**20

OPTIONS: Final = Path(__file__).with_name("spark_java.options")
"""The options, one a line, that Spark 4.2's launcher passes to any Java (`JavaModuleOptions`); a test compares them."""

_MORE_CLASSES: Final = "SPARK_DIST_CLASSPATH"
"""Spark's scripts append it to the class path, whatever class path the user's settings have."""

_OWN_SCRIPTS: Final = (
    "SPARK_CONF_DIR",
    "SPARK_SUBMIT_OPTS",
    _MORE_CLASSES,
    "HADOOP_CONF_DIR",
    "YARN_CONF_DIR",
)
"""If one of these is set, the user has Spark settings that only Spark's own scripts read."""

_LOCAL: Final = re.compile(r"local(?:\[(?P<slots>\*|\d+)(?:\s*,[^\]]*)?\])?")

BATCH_MASTER: Final = "local[2, 2]"
"""Two threads, and a failed task is retried once, as on a cluster: under load Spark's Kafka reader has failed
spontaneously ("KafkaConsumer is not safe for multi-threaded access")."""

FEW_CORES: Final = 2
"""Up to this many cores we pass the options below; with more, Java's defaults apply."""

FOR_FEW_CORES: Final = (
    # It has no threads of its own: it starts 0.5 to 0.9 s sooner than Java's default, and catches up as fast.
    "-XX:+UseSerialGC",
    "-XX:NewSize=128m",
    # The C2 compiler took 4 of the 11 seconds of CPU time until the first transaction, for methods that are not needed
    # later: with five times Java's default thresholds the transaction is scored 0.8 s sooner (decision 21).
    "-XX:Tier4InvocationThreshold=25000",
    "-XX:Tier4MinInvocationThreshold=3000",
    "-XX:Tier4CompileThreshold=75000",
    "-XX:Tier4BackEdgeThreshold=200000",
)

HEAP: Final = "-Xms320m"
"""Java would start with a fraction of the machine's memory, and keep the garbage of each batch's plan, 9 MB, until that
is full. This is the same on every machine, and the garbage is collected after some ten batches. Spark itself refuses a
heap below 450 MiB."""

_MIB: Final = {"k": 2**-10, "m": 1, "g": 2**10, "t": 2**20}


@dataclass(frozen=True)
class SparkPlan:
    """The configuration of a Spark session.

    Args:
        memory: Heap of the driver's JVM in Spark's notation ("2g").
        is_default_memory: Whether a heap in the user's `spark-defaults.conf` takes precedence.
        log: File for the JVM's output; None discards it.
        conf: The user's Spark properties; no secrets, since they are on the JVM's command line.
        slots: Task slots that a standalone master is asked for, unless the user sets `spark.cores.max`; by default
            few, so that training and the detector run beside each other.
    """

    app: str
    java_home: Path
    master: str = BATCH_MASTER
    memory: str = "2g"
    is_default_memory: bool = False
    jars: Sequence[Path] = ()
    log: Path | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    java_options: Sequence[str] = ()
    slots: int = 2

    @classmethod
    def of(cls, settings: Settings, app: str, java: Java, **options: Any) -> Self:
        """Plan the session of a program as the settings say; `options` are the other arguments."""
        return cls(
            app=f"fraudstream {app}",
            java_home=java.home,
            memory=settings.driver_memory,
            is_default_memory="driver_memory" not in settings.model_fields_set,
            log=log_file(settings.cache, app),
            conf=check_properties(settings.spark),
            **options,
        )


@dataclass
class Jvm:
    """A JVM that was started but may not answer yet."""

    process: subprocess.Popen[bytes]
    folder: Path
    plan: SparkPlan

    def connection(self) -> tuple[int, str]:
        """Wait for the port and secret of its gateway; SetupError with its log if it exited or did not answer."""
        info = self.folder / "connection"
        wait_until(lambda: info.exists() or self.process.poll() is not None, START_TIMEOUT_SECONDS, every=0.005)
        if not info.exists():
            self.stop(0.0)
            raise SetupError(
                "Spark's JVM did not start",
                where=f"log: {self.plan.log}" if self.plan.log else str(self.plan.java_home),
                remedy="run `fraudstream doctor`; it checks Java, memory and the jars",
            )
        # The gateway writes it as pyspark reads it: port, length and secret.
        content = info.read_bytes()
        shutil.rmtree(self.folder, ignore_errors=True)
        port, length = struct.unpack_from("!ii", content)
        return port, content[8 : 8 + length].decode()

    def stop(self, grace: float = 10.0) -> None:
        """Stop it; kill it after `grace` seconds."""
        if self.process.stdin is not None:
            self.process.stdin.close()  # the gateway ends with it
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_enough_slots(configured: str, needed: str, cores: int) -> str:
    """Choose the master: the configured one, or the needed one if both are local and the former has fewer slots.

    Real-time Mode holds a task slot for each partition of its topic; slots may exceed the cores.
    """
    slots, least = local_slots(configured, cores), local_slots(needed, cores)
    return needed if slots is not None and least is not None and slots < least else configured


def local_slots(master: str, cores: int) -> int | None:
    """Parse the task slots of a local master; None for any other."""
    match = _LOCAL.fullmatch(master.strip())
    if match is None:
        return None
    return cores if match["slots"] == "*" else int(match["slots"] or 1)


def is_local_master(master: str) -> bool:
    """Whether a master runs tasks in the driver's own JVM."""
    return local_slots(master, 1) is not None


def java_options() -> tuple[str, ...]:
    """Choose the options of the detector's JVM by this machine's cores."""
    return (HEAP, *(FOR_FEW_CORES if (os.cpu_count() or 1) <= FEW_CORES else ()))


def heap_mib(memory: str) -> float:
    """Parse a heap in Java's notation, such as "2g"; returns MiB."""
    return int(memory[:-1]) * _MIB[memory[-1].lower()]


def start_jvm(plan: SparkPlan) -> Jvm:
    """Start the JVM and return at once; the session sets the properties that a JVM does not need before it."""
    home = spark_home()
    folder = Path(tempfile.mkdtemp(prefix="fraudstream-gateway-"))
    environment = {
        # Defaults: Spark's scripts prefer what the user's `spark-defaults.conf` says.
        "SPARK_DRIVER_MEMORY": plan.memory,
        **os.environ,
        "JAVA_HOME": str(plan.java_home),
        "SPARK_HOME": str(home),
        "SPARK_CONNECT_MODE": "0",
        _MORE_CLASSES: os.pathsep.join(filter(None, (*map(str, plan.jars), os.environ.get(_MORE_CLASSES)))),
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(folder / "connection"),
    }
    command = _own_command(plan) if _is_plain(plan) else submit_command(plan)
    try:
        # stdin stays open: the gateway in the JVM exits when it is closed. Spark's scripts `exec` into java, so the
        # parent-death signal set here applies to the JVM.
        with (plan.log or Path(os.devnull)).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the command is the package's own
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
                start_new_session=True,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Jvm(process, folder, plan)


def log_file(cache: Path, name: str) -> Path:
    """Return the log of a program's Spark, emptied if large, in a private directory that is created if needed."""
    log = cache / "logs" / f"{name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tighten(log.parent)
    empty_if_large(log)
    return log


def empty_if_large(log: Path) -> None:
    """Empty a log above 10 MB; a JVM that is still writing to it appends."""
    if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
        os.truncate(log, 0)


def _is_plain(plan: SparkPlan) -> bool:
    """Whether Spark's own scripts are not needed: a local master, and no settings that only they read."""
    is_local = plan.master.startswith("local") and not plan.conf
    return is_local and not any(os.environ.get(name) for name in _OWN_SCRIPTS) and not (spark_home() / "conf").exists()


def _own_command(plan: SparkPlan) -> list[str]:
    """Build the command that Spark's scripts and launcher JVM would end up with; the session has the settings."""
    return [
        str(plan.java_home / "bin" / "java"),
        f"-Xmx{plan.memory}",
        *OPTIONS.read_text().split(),
        *plan.java_options,
        "-cp",
        os.pathsep.join(map(str, (*plan.jars, spark_home() / "jars" / "*"))),
        "org.apache.spark.api.python.PythonGatewayServer",
    ]


def submit_command(plan: SparkPlan) -> list[str]:
    """Build the `spark-submit` command, for users with settings that only Spark's scripts read."""
    conf = {"spark.app.name": plan.app, "spark.master": plan.master, **plan.conf}
    if not plan.is_default_memory:
        conf["spark.driver.memory"] = plan.memory
    if plan.java_options:
        # Spark puts these before the user's `extraJavaOptions`, which still apply.
        conf.setdefault("spark.driver.defaultJavaOptions", shlex.join(plan.java_options))
    flags = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    return [str(spark_home() / "bin" / "spark-submit"), *flags, "pyspark-shell"]
