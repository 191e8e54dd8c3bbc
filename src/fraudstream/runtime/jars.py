"""Fetches and verifies the jars of the broker and of Spark's Kafka connector, and compiles the history operator.

Spark's own resolver fetches them, and the Scala compiler that pyspark has compiles the operator.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fraudstream.errors import JarsChanged, JarsMissing
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.java import STORE_PASSWORD, Java, write_trust_store
from fraudstream.runtime.processes import die_with_parent, spawn

SPARK_VERSION: Final = "4.2.0"
KAFKA_VERSION: Final = "4.2.0"
SCALA: Final = "2.13"

Report = Callable[[str], None]

PINS: Final = Path(__file__).with_name("jars.sha256")
"""The sha256 of every jar, in the format of `sha256sum`: a jar that differs is not run, whatever its origin."""

SOURCES: Final = Path(__file__).parents[1] / "scoring" / "jvm"
"""The source of the history operator; a wheel has the jar beside it."""

_FETCH: Final = "run `fraudstream setup` (in a clone: `make setup`)"
_UNTRUSTED: Final = "PKIX path building failed"
_FETCHED = re.compile(r"^\s*\[SUCCESSFUL \] \S+#(?P<module>\S+);(?P<version>\S+?)!")
_REASON = re.compile(
    r"^\s*(?P<why>Host \S+ not found|Server access [Ee]rror.*|unresolved dependency: .*|.*FAILED DOWNLOADS.*"
    r"|(?:Exception in thread \"main\" )?[\w.]+(?:Exception|Error): .*)$"
)


@dataclass(frozen=True)
class JarSet:
    """The request to the resolver for one class path.

    There are two: Spark's connector is built on Kafka's clients 3.9, the broker on 4.2.
    """

    name: str
    coordinates: tuple[str, ...]
    excluded: tuple[str, ...]

    def directory(self, cache: Path) -> Path:
        """The folder of its jars; other coordinates have another folder, so a new release fetches again."""
        request = " ".join((*self.coordinates, "-", *self.excluded))
        return cache / "jars" / f"{self.name}-{hashlib.blake2b(request.encode(), digest_size=4).hexdigest()}"


CONNECTOR: Final = JarSet(
    "connector",
    tuple(f"org.apache.spark:{each}_{SCALA}:{SPARK_VERSION}" for each in ("spark-sql-kafka-0-10", "spark-avro")),
    # pyspark ships these in the same versions: 55 of the 63 MB that would be fetched otherwise.
    (
        "org.apache.hadoop:hadoop-client-api",
        "org.apache.hadoop:hadoop-client-runtime",
        f"org.scala-lang.modules:scala-parallel-collections_{SCALA}",
        "org.slf4j:slf4j-api",
        "org.xerial.snappy:snappy-java",
        "at.yawk.lz4:lz4-java",
        "org.tukaani:xz",
    ),
)
BROKER: Final = JarSet(
    "broker",
    (
        f"org.apache.kafka:kafka_{SCALA}:{KAFKA_VERSION}",
        # Kafka's own tools (`kafka-topics` and the like), which `fraudstream kafka` runs.
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        # The logging backend of Apache's own distribution of Kafka 4.2; without it nothing is logged.
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
    ),
    # Kafka Connect with its web server, which is required only by a tool that we do not use.
    ("org.apache.kafka:connect-runtime", "com.fasterxml.jackson.jakarta.rs:jackson-jakarta-rs-json-provider"),
)


@dataclass(frozen=True)
class Jars:
    """The class paths of Spark's Kafka connector and of the broker."""

    connector: tuple[Path, ...]
    broker: tuple[Path, ...]


def find_jars(cache: Path, pins: Path = PINS) -> Jars:
    """Find the jars in the cache; each file is verified against its pinned sha256 (50 MB in some 0.1 s).

    Raises:
        JarsMissing: A file of a set is missing or was cut short.
        JarsChanged: The sha256 of a file is not the pinned one.
    """
    connector, broker = (_present(jar_set, cache, pins) for jar_set in (CONNECTOR, BROKER))
    if not (connector and broker):
        missing = ", ".join(each.name for each, jars in ((CONNECTOR, connector), (BROKER, broker)) if not jars)
        raise JarsMissing(f"the jars are not in the cache: {missing}", where=str(cache), remedy=_FETCH)
    # The resolver omits Scala's library because Spark ships it; Kafka 4 needs it too.
    return Jars(connector, (*broker, *sorted((spark_home() / "jars").glob(f"scala-library-{SCALA}.*.jar"))))


def fetch_jars(cache: Path, java: Java, report: Report, pins: Path = PINS) -> Jars:
    """Fetch the missing jars, both sets at once and reported from two threads; safe to call from several processes.

    Raises:
        JarsMissing: A set could not be fetched; says why. Partial downloads are reused by the next try.
        JarsChanged: The sha256 of a fetched file is not the pinned one.
    """
    cache = cache.absolute()
    with exclusive_lock(cache / "jars.lock"), ThreadPoolExecutor(max_workers=2) as pool:
        # One JVM each: what a resolver knows of one set must not affect the versions of the other.
        missing = [jar_set for jar_set in (CONNECTOR, BROKER) if not _present(jar_set, cache, pins)]
        list(pool.map(partial(_fetch, cache=cache, java=java, report=report, pins=pins), missing))
    return find_jars(cache, pins)


def _fetch(jar_set: JarSet, cache: Path, java: Java, report: Report, pins: Path) -> None:
    ivy = cache / "ivy" / jar_set.name
    resumed = ivy.exists()
    log, failed = _resolve(jar_set, ivy, java, report)
    if failed and _UNTRUSTED in log.read_text():
        store = ivy.with_name(f"{jar_set.name}-trust.jks")
        if write_trust_store(store):
            options = (f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}")
            log, failed = _resolve(jar_set, ivy, java, report, *options)
    if failed and resumed:
        # Remains of an interrupted fetch may be the cause; try once more without them.
        shutil.rmtree(ivy)
        log, failed = _resolve(jar_set, ivy, java, report)
    if failed:
        raise JarsMissing(
            f"the jars of the {jar_set.name} could not be fetched: {_reason(log)}",
            where=f"log: {log}",
            remedy="check the network (behind a proxy: JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=… -Dhttps.proxyPort=…; "
            "for a mirror of Maven Central: DEFAULT_ARTIFACT_REPOSITORY=URL), then " + _FETCH,
        )
    sums = {jar.name: _sha256(jar) for jar in (ivy / "jars").glob("*.jar")}
    if other := sums.items() ^ _pinned(jar_set, pins).items():
        raise JarsChanged(
            f"the sha256 of a fetched jar is not the pinned one: {min(other)[0]}",
            where=str(ivy / "jars"),
            remedy=f"see which repository serves it (log: {log}), delete that folder, then {_FETCH}",
        )
    target = jar_set.directory(cache)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    (ivy / "jars").replace(target)
    shutil.rmtree(ivy, ignore_errors=True)
    report(f"{jar_set.name}: {len(sums)} jars, {sum((target / jar).stat().st_size for jar in sums) / 1e6:.0f} MB")


def _resolve(jar_set: JarSet, ivy: Path, java: Java, report: Report, *options: str) -> tuple[Path, bool]:
    """Run Spark's resolver; return its log and whether it failed."""
    ivy.mkdir(parents=True, exist_ok=True)
    command = [
        *(str(java.executable), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *options),
        # Ivy would look into ~/.m2 first, and an incomplete Maven cache there breaks it.
        f"-Duser.home={ivy / 'home'}",
        *("-cp", str(spark_home() / "jars" / "*"), "org.apache.spark.deploy.SparkSubmit"),
        *("--master", "local[1]", "--conf", f"spark.jars.ivy={ivy}", "--packages", ",".join(jar_set.coordinates)),
        *("--exclude-packages", ",".join(jar_set.excluded)),
        # SparkSubmit resolves and then runs a program; the shortest one on its class path prints Ivy's version.
        *("--class", "org.apache.ivy.Main", "spark-internal", "-version"),
    ]
    log = ivy.with_suffix(".log")
    resolved, fetched = 0, 0
    report(f"{jar_set.name}: resolving {' and '.join(jar_set.coordinates)}")
    with (
        log.open("w", encoding="utf-8") as copy,
        subprocess.Popen(  # noqa: S603 - the command is the package's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            preexec_fn=die_with_parent,
        ) as resolver,
    ):
        for line in resolver.stdout or ():
            copy.write(line)
            resolved += line.lstrip().startswith("found ")
            if match := _FETCHED.match(line):
                fetched += 1
                report(f"{jar_set.name}: {fetched} of {resolved} fetched, last {match['module']} {match['version']}")
    return log, resolver.returncode != 0 or not any((ivy / "jars").glob("*.jar"))


def find_operator(cache: Path) -> Path | None:
    """Find the jar of the history operator of this source and this Spark, in the package or in the cache."""
    jar = _operator(cache)
    return next((each for each in (SOURCES / jar.name, jar) if each.exists()), None)


def operator_jar(cache: Path, java: Java, report: Report) -> Path:
    """Find that jar, or compile it; safe to call from several processes. Raises JarsMissing if that fails."""
    jar = _operator(cache)
    with exclusive_lock(jar.with_name("compiler.lock")):
        return find_operator(cache) or _compile(jar, java, report)


def _operator(cache: Path) -> Path:
    digest = hashlib.sha256(SPARK_VERSION.encode())
    for source in sorted(SOURCES.glob("*.scala")):
        digest.update(source.read_bytes())
    return cache.absolute() / "jars" / "history" / f"history-{digest.hexdigest()[:12]}.jar"


def _compile(jar: Path, java: Java, report: Report) -> Path:
    draft, log = jar.with_suffix(f".{os.getpid()}.jar"), jar.with_name("compiler.log")
    command = [
        *(str(java.executable), "-Xmx600m", "-Xss4m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-cp", str(spark_home() / "jars" / "*"), "scala.tools.nsc.Main", "-usejavacp", "-d", str(draft)),
        *map(str, sorted(SOURCES.glob("*.scala"))),
    ]
    log.unlink(missing_ok=True)
    report("history operator: compiling, which takes some 20 s")
    start = time.monotonic()
    exit_code = spawn(command, log=log).wait()
    if exit_code or not draft.exists():
        draft.unlink(missing_ok=True)
        raise JarsMissing(
            f"the history operator could not be compiled (exit code {exit_code})",
            where=f"log: {log}",
            remedy="run `fraudstream doctor`, which checks Java and memory, then `fraudstream setup`",
        )
    draft.replace(jar)
    report(f"history operator: compiled in {time.monotonic() - start:.0f} s")
    return jar


def spark_home() -> Path:
    """Locate pyspark without importing it, which takes half a second; JarsMissing if it is not installed."""
    spark = importlib.util.find_spec("pyspark")
    if spark is None or spark.origin is None:
        raise JarsMissing("pyspark is not installed", remedy="install fraudstream as its README says")
    return Path(spark.origin).parent


def _reason(log: Path) -> str:
    reasons = [match["why"].strip() for line in log.read_text().splitlines() if (match := _REASON.match(line))]
    return reasons[0] if reasons else "the resolver gave no reason"


def _present(jar_set: JarSet, cache: Path, pins: Path) -> tuple[Path, ...]:
    """List the verified jars of a set; empty if one is missing or was cut short."""
    directory, pinned = jar_set.directory(cache.absolute()), _pinned(jar_set, pins)
    jars = tuple(directory / name for name in sorted(pinned))
    if not all(map(zipfile.is_zipfile, jars)):
        return ()
    for jar in jars:
        if _sha256(jar) != pinned[jar.name]:
            remedy = f"delete {directory}, then {_FETCH}"
            raise JarsChanged("the sha256 of a jar is not the pinned one", where=str(jar), remedy=remedy)
    return jars


def _pinned(jar_set: JarSet, pins: Path) -> dict[str, str]:
    """Read the pinned sha256 of each jar of a set, by file name."""
    lines = (line.split() for line in pins.read_text().splitlines())
    return {name.partition("/")[2]: pinned for pinned, name in lines if name.startswith(f"{jar_set.name}/")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
