"""`fraudstream bench` on real parts: what it writes, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Command

SHORT = ("--repeats", 1, "--algorithm", "logistic-regression")


def test_latency_writes_every_stage_and_loses_no_alert(run: Command, tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    run(
        "bench", "latency", "--rate", 50, "--duration", 5, "--warm-up", 2, "--alert-share", 0.2, "--json", output,
        *SHORT,
    )  # fmt: skip
    found = json.loads(output.read_text())
    for stage in ("acknowledged", "alert_topic", "posted", "store", "sse", "page"):
        assert {"p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "count"} == found[stage].keys()
        assert found["missing"][stage] == 0
    assert found["acknowledged"]["count"] == 250
    assert found["alert_topic"]["count"] == found["store"]["count"] == found["page"]["count"] > 0
    assert {"machine", "versions", "warm_up", "memory", "cpu_seconds_per_1000_rows"} <= found.keys()
    assert {"broker", "detector", "relay", "dashboard", "all"} <= found["memory"]["resident_mib"].keys()


def test_throughput_writes_a_rate(run: Command, tmp_path: Path) -> None:
    output = tmp_path / "throughput.json"
    done = run("bench", "throughput", "--rows", 20_000, "--no-peers", "--json", output, *SHORT)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["rows_per_second"] > 0
    assert found["peers"] == {}
    assert found["by_algorithm"].keys() == {"logistic-regression"}
