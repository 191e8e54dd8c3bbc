"""The machine, the versions and the load that are in every result, and the file that it is written to."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson

from fraudstream.errors import SettingsError
from fraudstream.runtime.java import Java

PACKAGES: Final = (
    "fraudstream", "pyspark", "confluent-kafka", "orjson", "numpy", "flask", "gunicorn", "sqlalchemy", "playwright",
)  # fmt: skip


def circumstances(java: Java | None = None, **versions: str) -> dict[str, Any]:
    """Machine, versions, time and load, for a result file.

    Args:
        java: The Java that is used, if any.
        versions: Of what else is used.
    """
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "python": platform.python_version(),
            **({} if java is None else {"java": _java_version(java)}),
            **{name: version for name in PACKAGES if (version := _version(name))},
            **versions,
        },
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": load(),
    }


def load() -> float:
    """The load average of the last minute: what else the machine was doing."""
    return round(os.getloadavg()[0], 2)


def check_writable(path: Path) -> None:
    """Fail before the measurement where its result could not be written after it.

    Raises:
        SettingsError: The folder is missing or takes no file, or a folder stands there.
    """
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise SettingsError(
            "the result cannot be written there",
            where=str(path),
            remedy="name a file in a folder that is there and may be written, with --json",
        )


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result.

    Raises:
        SettingsError: The file cannot be written.
    """
    try:
        path.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as e:
        raise SettingsError(f"the result cannot be written: {e.strerror}", where=str(path)) from e


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _java_version(java: Java) -> str:
    process = subprocess.run([str(java.home / "bin" / "java"), "-version"], capture_output=True, text=True, check=False)
    return (process.stderr or process.stdout).partition("\n")[0].strip()
