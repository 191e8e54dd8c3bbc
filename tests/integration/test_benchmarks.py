"""What `python -m benchmarks` works out: percentiles, schedule and lateness, the steady state, recovery, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.__main__ import main
from benchmarks.system.backlog import steady_rate
from benchmarks.system.latency import compare
from benchmarks.system.machine import check_writable
from benchmarks.system.percentiles import of_repeats, quantiles, slope, summary
from benchmarks.system.recovery import caught_up_at
from benchmarks.system.resources import Usage, cpu_seconds, family, resident_mib
from benchmarks.system.schedule import Schedule, event_id_of, row_of
from benchmarks.system.system import BenchSystem
from click.testing import CliRunner

from fraudstream.errors import SettingsError
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.secured import ADMIN, SecureFolder


def test_percentiles_are_times_that_were_measured() -> None:
    percentiles = summary([number / 1000 for number in range(1, 1001)])
    assert (percentiles["p50_ms"], percentiles["p99_ms"], percentiles["p999_ms"], percentiles["max_ms"]) == (
        501,
        991,
        1000,
        1000,
    )
    assert percentiles["count"] == 1000


def test_no_times_give_no_percentiles() -> None:
    assert summary([]) == {
        "p50_ms": None, "p90_ms": None, "p99_ms": None, "p999_ms": None, "max_ms": None, "count": 0,
    }  # fmt: skip


def test_quantiles_of_nothing_only_count() -> None:
    assert quantiles([]) == {"count": 0}
    assert quantiles([3.0, 1.0, 2.0], (50,)) == {"p50": 2.0, "max": 3.0, "count": 3}


def test_a_late_row_delays_none_after_it() -> None:
    schedule = Schedule.lasting(100.0, 10.0, 1.0)
    assert schedule.due.tolist() == pytest.approx([100 + row / 10 for row in range(10)])


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 5.0), (5.0, 0.0), (0.1, 1.0)])
def test_a_schedule_without_a_row_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(SettingsError):
        Schedule.lasting(0.0, rate, seconds)


def test_a_generator_on_time_held_the_rate() -> None:
    schedule = Schedule.lasting(100.0, 1000.0, 1.0)
    lateness = schedule.lateness(schedule.due + 0.001)
    assert lateness["held"]
    assert lateness["p99_ms"] == pytest.approx(1.0, abs=0.01)
    assert lateness["sent"] == 1000


def test_a_generator_that_falls_behind_did_not_hold_the_rate() -> None:
    schedule = Schedule.lasting(100.0, 1000.0, 1.0)
    assert not schedule.lateness(schedule.due + np.linspace(0, 1, 1000))["held"]


def test_a_row_that_never_left_is_a_rate_not_held() -> None:
    schedule = Schedule.lasting(100.0, 1000.0, 1.0)
    sent = schedule.due.copy()
    sent[-1] = np.nan
    assert not schedule.lateness(sent)["held"]


def test_an_event_id_tells_its_row() -> None:
    assert row_of(event_id_of(17)) == 17
    assert row_of("0123abcd") is None


def test_the_warm_up_and_the_last_sample_are_no_steady_state() -> None:
    progress = [(0.0, 0), (1.0, 10), (2.0, 20), (3.0, 30), (4.0, 1000), (5.0, 2000), (6.0, 3000), (6.2, 3100)]
    assert steady_rate(progress, 3100) == (1000.0, 1.0, False)  # a second is no steady state


def test_ten_seconds_after_the_warm_up_are_a_steady_state() -> None:
    progress = [(float(second), 100 * second) for second in range(20)]
    assert steady_rate(progress, 1900) == (100.0, 13.0, True)


def test_a_short_backlog_is_measured_whole_and_said_to_be() -> None:
    assert steady_rate([(0.0, 0), (10.0, 100)], 100) == (10.0, 10.0, False)


def test_caught_up_is_when_nothing_overdue_is_outstanding() -> None:
    alerts = [(9.9, 10.0), (10.0, 22.0), (12.0, 22.5), (20.0, 23.0), (23.0, 23.1), (24.0, 24.1)]
    assert caught_up_at(10.0, alerts) == 23.1
    assert caught_up_at(10.0, alerts[:4]) is None


def test_repeats_are_summed_up_by_their_median() -> None:
    assert of_repeats([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "values": [3.0, 1.0, 2.0]}
    assert slope([0, 1, 2], [10, 12, 14]) == 2.0


def test_a_secured_broker_is_compared_with_an_open_one_in_pairs() -> None:
    def of(p50: float | None, *repeats: float | None) -> dict[str, Any]:
        stage = {"store": {"p50_ms": p50, "p99_ms": None}}
        return {**stage, "repeats": [{"store": {"p50_ms": each, "p99_ms": None}} for each in repeats]}

    compared = compare(of(2.0, 1.0, 4.0, None), of(3.0, 1.5, 2.0, 7.0))
    assert compared.keys() == {"store"}
    assert compared["store"]["p50_ms"] == {
        "plain": {"together": 2.0, "repeats": [1.0, 4.0, None]},
        "secured": {"together": 3.0, "repeats": [1.5, 2.0, 7.0]},
        "ratio": {"together": 1.5, "repeats": [1.5, 0.5, None]},
    }
    assert compared["store"]["p99_ms"]["ratio"]["together"] is None


def test_each_process_has_the_settings_of_its_own_user(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    system = BenchSystem(folder, tmp_path / "current", 2, {}, secure=True)
    SecureFolder(folder / "secure").prepare(system.bootstrap)
    assert Path(system.user_settings("detect")["FRAUDSTREAM_KAFKA_SASL_PASSWORD_FILE"]).is_file()
    assert system.user_settings("detect")["FRAUDSTREAM_KAFKA_SASL_USERNAME"] == "detect"
    assert system.user_settings("dashboard") == {}
    client = system.cluster(ADMIN).client()
    assert client["bootstrap.servers"] == system.bootstrap
    assert (client["security.protocol"], client["sasl.username"]) == ("SASL_SSL", ADMIN)


def test_an_open_broker_needs_no_settings(tmp_path: Path) -> None:
    system = BenchSystem(tmp_path, tmp_path / "current", 2, {})
    assert system.user_settings("detect") == {}
    assert system.cluster(ADMIN) == Cluster(system.bootstrap)


def test_memory_and_processor_time_of_a_running_process() -> None:
    usage = Usage()
    usage.begin({"me": os.getpid()})
    usage.end({"me": os.getpid()})
    assert os.getpid() in family(os.getpid())
    assert resident_mib(os.getpid()) > 1
    assert cpu_seconds(os.getpid()) > 0
    assert usage.memory()["resident_mib"]["all"]["end"] == usage.memory()["resident_mib"]["me"]["end"] > 1
    assert usage.cpu_per_1000(1000)["all"] >= 0


def test_processor_time_includes_that_of_children() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alone, with_us = cpu_seconds(child.pid), cpu_seconds(os.getpid())
        child.communicate(b"\n")
    assert 0.25 <= alone <= with_us


def test_a_result_that_cannot_be_written_is_reported_before_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--json"):
        check_writable(tmp_path / "none" / "result.json")


@pytest.mark.parametrize("wrong", [["--rate", "0"], ["--duration", "0"], ["--repeats", "0"], ["--rows", "0"]])
def test_bad_input_is_refused(wrong: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["latency", "--json", str(tmp_path / "r.json"), *wrong])
    assert result.exit_code == 2
    assert wrong[0] in result.output


@pytest.mark.parametrize("kind", ["throughput", "recovery", "memory", "baselines"])
def test_only_latency_is_measured_with_a_secured_broker(kind: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [kind, "--secure", "--json", str(tmp_path / "r.json")])
    assert result.exit_code == 2
    assert f"{kind} takes no --secure" in result.output
