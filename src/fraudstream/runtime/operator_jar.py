"""Compiles the history operator with the Scala compiler that pyspark has, once per source and version of Spark."""

import hashlib
import os
from pathlib import Path
from typing import Final

from fraudstream.errors import JarsMissing
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.jars import SPARK_VERSION, Report, spark_home
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import spawn

SOURCES: Final = Path(__file__).parents[1] / "scoring" / "jvm"
"""The source; a wheel has the jar beside it."""


def find_operator(cache: Path) -> Path | None:
    """Find the jar of this source and this Spark, in the package or in the cache."""
    name = f"history-{_digest()}.jar"
    return next((jar for jar in (SOURCES / name, _folder(cache) / name) if jar.exists()), None)


def operator_jar(cache: Path, java: Java, report: Report) -> Path:
    """Find the jar, or compile it; safe to call from several processes. Raises JarsMissing if that fails."""
    with exclusive_lock(_folder(cache) / "compiler.lock"):
        return find_operator(cache) or _compile(_folder(cache), java, report)


def _compile(folder: Path, java: Java, report: Report) -> Path:
    jar, log = folder / f"history-{_digest()}.jar", folder / "compiler.log"
    draft = jar.with_suffix(f".{os.getpid()}.jar")
    command = [
        *(str(java.executable), "-Xmx600m", "-Xss4m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-cp", str(spark_home() / "jars" / "*"), "scala.tools.nsc.Main", "-usejavacp", "-d", str(draft)),
        *map(str, sorted(SOURCES.glob("*.scala"))),
    ]
    log.unlink(missing_ok=True)
    report("history operator: compiling, which takes some 20 s")
    if (exit_code := spawn(command, log=log).wait()) or not draft.exists():
        draft.unlink(missing_ok=True)
        raise JarsMissing(
            f"the history operator could not be compiled (exit code {exit_code})",
            where=f"log: {log}",
            remedy="run `fraudstream doctor`, which checks Java and memory, then `fraudstream setup`",
        )
    draft.replace(jar)
    report("history operator: compiled")
    return jar


def _folder(cache: Path) -> Path:
    return cache.absolute() / "jars" / "history"


def _digest() -> str:
    digest = hashlib.sha256(SPARK_VERSION.encode())
    for source in sorted(SOURCES.glob("*.scala")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
