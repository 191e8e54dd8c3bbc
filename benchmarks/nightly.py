"""Runs the tests marked `nightly`, those by property and the long chaos run; writes what passed and the seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import click
import orjson

from benchmarks.system.machine import check_writable, circumstances, write_result
from fraudstream.config import Settings
from fraudstream.runtime.java import find_java

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "results" / "nightly.json"
PARTS: Final = ("tests", "chaos")
CHAOS_KEYS: Final = ("seed", "form", "seconds", "kills", "failures")


@click.command()
@click.option("--seed", type=click.IntRange(0), default=None, help="Of the chaos run; drawn when not given.")
@click.option("--json", "output", type=click.Path(path_type=Path), default=RESULT, help="Write the results there.")
@click.option("--tests", "selection", multiple=True, help="Only these tests, as pytest takes them; no chaos run.")
@click.option("--part", type=click.Choice(PARTS), multiple=True, default=PARTS, help="The other part is left as it is.")
def main(seed: int | None, output: Path, selection: tuple[str, ...], part: tuple[str, ...]) -> None:
    """Run what is too long for every change; exits with 1 where anything failed.

    Each part of the result has its own circumstances: they may be run on different days.
    """
    check_writable(output)
    settings = Settings.load()
    java = find_java(settings.java_home, settings.cache, os.environ)
    result = orjson.loads(output.read_bytes()) if output.exists() else {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="nightly-") as temporary:
        for name in ("tests",) if selection else part:
            about = circumstances(java)
            if name == "tests":
                outcome = run_tests(Path(temporary) / "junit.xml", selection)
            else:
                outcome = run_chaos(Path(temporary) / "chaos.json", seed)
            failed |= bool(outcome["exit_code"])
            write_result(output, result := {**result, name: {**about, **outcome}})
    raise SystemExit(int(failed))


def run_tests(report: Path, selection: Sequence[str]) -> dict[str, Any]:
    """Run the tests marked `nightly`, and those by property with more examples.

    By two workers, as `make test` has them; no test asserts a time.
    """
    began = time.monotonic()
    which = ("-n", "2", "--dist", "loadscope", "-m", "nightly or hypothesis", "--hypothesis-profile=nightly")
    code = _run("-m", "pytest", *which, f"--junitxml={report}", *selection)
    return {"exit_code": code, "seconds": round(time.monotonic() - began, 1), **read_junit(report)}


def run_chaos(report: Path, seed: int | None) -> dict[str, Any]:
    """Run the long chaos plan; the figures of each fault are in its own result, written by `make chaos JSON=`."""
    code = _run("-m", "chaos", "--json", str(report), *(() if seed is None else ("--seed", str(seed))))
    rounds_report = orjson.loads(report.read_bytes()) if report.exists() else {}
    return {"exit_code": code, **{key: rounds_report[key] for key in CHAOS_KEYS if key in rounds_report}}


def read_junit(report: Path) -> dict[str, Any]:
    """Counts by outcome and the seconds of each test, from pytest's own report."""
    cases = []
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            cases.append({"name": name, "outcome": outcome, "seconds": round(float(case.get("time", 0)), 1)})
    outcomes = [case["outcome"] for case in cases]
    counts = {kind: outcomes.count(kind) for kind in ("passed", "failure", "error", "skipped")}
    return {**counts, "cases": cases}


def _run(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    main()
