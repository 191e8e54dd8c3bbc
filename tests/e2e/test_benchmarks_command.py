"""`python -m benchmarks` on real parts: what it writes, not how fast this machine is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.system.resources import family

from fraudstream.runtime.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
SHORT = ("--repeats", 1, "--algorithm", "logistic-regression")


def run_benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_latency_writes_every_stage_and_loses_no_alert(tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    run_benchmark(
        "latency", "--rate", 50, "--duration", 5, "--warm-up", 2, "--alert-share", 0.2, "--json", output,
        *SHORT,
    )  # fmt: skip
    result = json.loads(output.read_text())
    for stage in ("acknowledged", "alert_topic", "posted", "store", "sse", "page"):
        assert {"p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "count"} == result[stage].keys()
        assert result["missing"][stage] == 0
    assert result["acknowledged"]["count"] == 250
    assert result["alert_topic"]["count"] == result["store"]["count"] == result["page"]["count"] > 0
    assert {"machine", "versions", "warm_up", "memory", "cpu_seconds_per_1000_rows"} <= result.keys()
    assert {"broker", "detector", "relay", "dashboard", "all"} <= result["memory"]["resident_mib"].keys()


def test_a_secured_broker_loses_no_alert_and_is_compared_with_an_open_one(tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    run_benchmark(
        "latency", "--secure", "--no-page", "--rate", 50, "--duration", 5, "--warm-up", 2, "--alert-share", 0.2,
        "--json", output, *SHORT,
    )  # fmt: skip
    result = json.loads(output.read_text())
    for part in ("plain", "secured"):
        assert result[part]["acknowledged"]["count"] == 250
        assert set(result[part]["missing"].values()) == {0}
    assert result["compared"].keys() == {"acknowledged", "alert_topic", "posted", "store", "sse"}
    assert all(entry["ratio"]["together"] > 0 for stage in result["compared"].values() for entry in stage.values())


def test_throughput_writes_a_rate(tmp_path: Path) -> None:
    output = tmp_path / "throughput.json"
    done = run_benchmark("throughput", "--rows", 20_000, "--no-peers", "--json", output, *SHORT)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert result["rows_per_second"] > 0
    assert result["peers"] == {}
    assert result["by_algorithm"].keys() == {"logistic-regression"}


def test_ctrl_c_twice_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [
        sys.executable, "-m", "benchmarks", "latency", "--rate", "20", "--duration", "300", "--no-page",
        "--json", str(tmp_path / "latency.json"), "--workdir", str(tmp_path / "work"), *map(str, SHORT),
    ]  # fmt: skip
    log = tmp_path / "bench.log"
    with log.open("wb") as written:
        bench = subprocess.Popen(
            command,
            stdout=written,
            stderr=written,
            env=os.environ | {"TMPDIR": str(folder)},
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        assert wait_until(lambda: b"warming up" in log.read_bytes(), 240), log.read_text()
        started = set(family(bench.pid)) - {bench.pid}
        assert started
        for _ in range(2):
            bench.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert bench.wait(60) == 128 + signal.SIGINT
    finally:
        bench.kill()
        bench.wait()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 60)
    assert not any(folder.glob("fraudstream-bench-*"))
    assert "Traceback" not in log.read_text()
