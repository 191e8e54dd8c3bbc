"""Starts Spark's JVM, which dies with this process; the session on it is `spark.py`'s, its Java `java.py`'s.

Nothing here imports pyspark: the JVM starts while Python is still importing.
"""

import functools
import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fraudstream.errors import SetupError
from fraudstream.runtime.class_archive import ClassArchive
from fraudstream.runtime.jars import spark_home
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import die_with_parent

START_TIMEOUT_SECONDS: Final = 90.0

MODULES: Final = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in (
            *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
            *("java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs"),
            *("sun.security.action", "sun.util.calendar"),
        )
    ),
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.type=pooled",
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dderby.connection.requireAuthentication=false",
)
"""What Spark 4.2's own launcher tells any Java (`JavaModuleOptions`); a test holds it to the launcher's words."""

_OWN_SCRIPTS: Final = (
    "SPARK_CONF_DIR",
    "SPARK_SUBMIT_OPTS",
    "SPARK_DIST_CLASSPATH",
    "HADOOP_CONF_DIR",
    "YARN_CONF_DIR",
)
"""Who sets one of these has settings of Spark's that only its own scripts read."""

_LOCAL: Final = re.compile(r"local(?:\[(?P<slots>\*|\d+)(?:\s*,[^\]]*)?\])?")

BATCH_MASTER: Final = "local[2, 2]"
"""Two threads, and a task that failed is tried once more, as on a cluster: under load Spark's reader of a topic has
failed on its own ("KafkaConsumer is not safe for multi-threaded access")."""


@dataclass(frozen=True)
class SparkPlan:
    """What a session is made of.

    Args:
        java_home: A Java 17+.
        master: Spark master; `local[N]` on one machine.
        memory: Heap of the driver's JVM, as Spark writes it ("2g").
        log: File for the JVM's own output; none discards it.
        archive: Of the JVM's classes; none starts without.
    """

    app: str
    java_home: Path
    master: str = BATCH_MASTER
    memory: str = "2g"
    jars: Sequence[Path] = ()
    log: Path | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    java_options: Sequence[str] = ()
    archive: ClassArchive | None = None


@dataclass
class Jvm:
    """A JVM that was started and may not answer yet."""

    process: subprocess.Popen[bytes]
    folder: Path
    plan: SparkPlan

    def connection(self) -> tuple[int, str]:
        """The port and the secret of its gateway; SetupError with its log where it ended or did not answer in time."""
        info, deadline = self.folder / "connection", time.monotonic() + START_TIMEOUT_SECONDS
        while not info.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop(0.0)
                if self.plan.archive is not None:
                    self.plan.archive.forget()
                raise SetupError(
                    "Spark's JVM did not start",
                    where=f"log: {self.plan.log}" if self.plan.log else str(self.plan.java_home),
                    remedy="run `fraudstream doctor`; it checks Java, memory and the jars",
                )
            time.sleep(0.005)
        # As pyspark reads it: two numbers and a text, the gateway's words of itself.
        told = info.read_bytes()
        shutil.rmtree(self.folder, ignore_errors=True)
        port, length = struct.unpack_from("!ii", told)
        return port, told[8 : 8 + length].decode()

    def stop(self, grace: float = 10.0) -> None:
        """End it; killed where it does not end within `grace` seconds."""
        if self.process.stdin is not None:
            self.process.stdin.close()  # the gateway ends with it
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_enough_slots(given: str, needed: str, cores: int) -> str:
    """The master to take: the one given, or the needed one where both are local and the given one has fewer slots.

    Real-time Mode holds a task slot for each partition of its topic; slots may exceed the cores.
    """
    slots, least = local_slots(given, cores), local_slots(needed, cores)
    return needed if slots is not None and least is not None and slots < least else given


def local_slots(master: str, cores: int) -> int | None:
    """The task slots of a local master; None for one that is not local."""
    match = _LOCAL.fullmatch(master.strip())
    if match is None:
        return None
    slots = match["slots"]
    return cores if slots == "*" else int(slots or 1)


def spark_archive(cache: Path, name: str, java: Java, jars: Sequence[Path]) -> ClassArchive:
    """The archive of a Spark with these jars on its class path."""
    return ClassArchive(cache.absolute() / "archives", name, java, class_path(jars), MODULES)


def class_path(jars: Sequence[Path]) -> tuple[Path, ...]:
    """Further jars and Spark's own, in an order that is the same each time: an archive is of one order."""
    return (*jars, *sorted((spark_home() / "jars").glob("*.jar")))


def start_jvm(plan: SparkPlan, settings: Mapping[str, str]) -> Jvm:
    """Start the JVM and return at once; of Spark's `settings` it takes those that a JVM needs before a session."""
    home = spark_home()
    folder = Path(tempfile.mkdtemp(prefix="fraudstream-gateway-"))
    environment = {
        **os.environ,
        "JAVA_HOME": str(plan.java_home),
        "SPARK_HOME": str(home),
        "SPARK_CONNECT_MODE": "0",
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(folder / "connection"),
    }
    command = _own_command(plan) if _is_plain(plan) else submit_command(plan, settings)
    output = plan.log.open("ab") if plan.log is not None else subprocess.DEVNULL
    try:
        # stdin stays open: the gateway in the JVM ends when it is closed. Spark's scripts `exec` into java, so the
        # parent-death signal set here stays with the JVM.
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
    finally:
        if plan.log is not None:
            output.close()  # type: ignore[union-attr]
    return Jvm(process, folder, plan)


def _is_plain(plan: SparkPlan) -> bool:
    """Whether Spark's own scripts have nothing to say: a local master, and no settings of its own anywhere."""
    is_local = plan.master.startswith("local")
    return is_local and not any(os.environ.get(name) for name in _OWN_SCRIPTS) and not (spark_home() / "conf").exists()


def _own_command(plan: SparkPlan) -> list[str]:
    """What Spark's two scripts and its launcher, a JVM of its own, would come to; the session brings the settings."""
    return [
        str(plan.java_home / "bin" / "java"),
        f"-Xmx{plan.memory}",
        *MODULES,
        *(plan.archive.jvm_options() if plan.archive is not None else ()),
        *plan.java_options,
        "-cp",
        os.pathsep.join(map(str, class_path(plan.jars))),
        "org.apache.spark.api.python.PythonGatewayServer",
    ]


def submit_command(plan: SparkPlan, settings: Mapping[str, str]) -> list[str]:
    """Spark's own way of starting it, for whoever has settings that only its scripts read."""
    conf = dict(settings)
    if plan.jars:
        conf["spark.driver.extraClassPath"] = os.pathsep.join(map(str, plan.jars))
    conf.setdefault("spark.driver.memory", plan.memory)
    if plan.java_options:
        # Put before what the user has for `extraJavaOptions`, which stays.
        conf["spark.driver.defaultJavaOptions"] = shlex.join(plan.java_options)
    flags = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    return [str(spark_home() / "bin" / "spark-submit"), *flags, "pyspark-shell"]
