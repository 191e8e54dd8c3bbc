"""The dashboard under its real server: streams over a socket, stopping, and being killed."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands import is_running
from dashboards import EventReader, RunningDashboard, alert, running_dashboard
from fraudstream.config import Settings
from fraudstream.dashboard.server import serve
from fraudstream.errors import PortInUse, SettingsError, StoreError
from fraudstream.runtime.processes import free_port, wait_until

NO_HUB_CLOSES = """
from fraudstream.dashboard.services.live_stream import Hub

def fail(hub):
    raise RuntimeError("the hub does not close")

Hub.close = fail
"""


def minutes_kept(dashboard: RunningDashboard) -> int:
    """How many minutes have what only the process that has ended knew."""
    return sum(each is not None for each in dashboard.get("/api/charts")["minutes"]["p50_ms"])


def test_an_alert_reaches_every_stream_and_a_stream_resumes_by_header_or_query(dashboard: RunningDashboard) -> None:
    stream = f"{dashboard.url}/api/stream"
    with ExitStack() as open_streams:
        live = EventReader(stream)
        open_streams.callback(live.close)
        assert live.wait_for("stats")
        dashboard.post("/api/alerts", [alert(1), alert(2)])
        assert live.wait_for("alert", 2)
        for resumed in (EventReader(stream, {"Last-Event-ID": "1"}), EventReader(f"{stream}?last_event_id=1")):
            open_streams.callback(resumed.close)
            assert resumed.wait_for("alert")
            assert resumed.alerts() == ["id-2"]
        assert [event["id"] for event in live.of("alert")] == ["1", "2"]
        stats = dashboard.get("/api/stats")
        assert (stats["latency_to"], stats["viewers"]) == ("page", 3)


def test_a_stream_resumes_after_a_restart_without_gap_or_repeat(
    dashboard: RunningDashboard,
) -> None:
    dashboard.post("/api/alerts", [alert(1)])
    before = EventReader(f"{dashboard.url}/api/stream?last_event_id=0")
    assert before.wait_for("alert")
    dashboard.process.send_signal(signal.SIGTERM)
    assert before.ended.wait(60)
    assert dashboard.process.wait(60) == 0
    before.close()
    dashboard.restart()
    dashboard.post("/api/alerts", [alert(1), alert(2)])
    after = EventReader(f"{dashboard.url}/api/stream", {"Last-Event-ID": before.of("alert")[-1]["id"]})
    assert after.wait_for("alert")
    assert after.alerts() == ["id-2"]
    after.close()


def test_ctrl_c_ends_it_with_open_streams_and_without_a_trace(dashboard: RunningDashboard) -> None:
    reader = EventReader(f"{dashboard.url}/api/stream")
    assert reader.wait_for("stats")
    os.killpg(dashboard.process.pid, signal.SIGINT)
    assert reader.ended.wait(60)
    assert dashboard.process.wait(60) == 0
    reader.close()
    assert "Traceback" not in (dashboard.directory / "dashboard.log").read_text()


@pytest.mark.parametrize(
    ("signum", "to_all"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGQUIT, False), (signal.SIGTERM, False)],
)
def test_every_way_to_stop_it_stores_the_running_minute(
    dashboard: RunningDashboard, signum: signal.Signals, to_all: bool
) -> None:
    dashboard.post("/api/alerts", [alert(1, produced_at=datetime.now(UTC).isoformat())])
    (os.killpg if to_all else os.kill)(dashboard.process.pid, signum)
    assert dashboard.process.wait(60) == 0
    dashboard.restart()
    assert minutes_kept(dashboard)
    assert "Traceback" not in (dashboard.directory / "dashboard.log").read_text()


def test_a_stop_with_nobody_connected_waits_for_the_running_minute(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [alert(1, produced_at=datetime.now(UTC).isoformat())])
    dashboard.pool.clear()
    with closing(sqlite3.connect(dashboard.directory / "alerts.db", isolation_level=None)) as other:
        # Another process writes: the minute has to wait for it.
        other.execute("BEGIN IMMEDIATE")
        dashboard.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        other.execute("ROLLBACK")
    assert dashboard.process.wait(60) == 0
    dashboard.restart()
    assert minutes_kept(dashboard)


def test_what_fails_to_end_keeps_nothing_else_from_ending(tmp_path: Path) -> None:
    with running_dashboard(tmp_path, first=NO_HUB_CLOSES) as dashboard:
        dashboard.post("/api/alerts", [alert(1, produced_at=datetime.now(UTC).isoformat())])
        os.kill(dashboard.process.pid, signal.SIGINT)
        assert dashboard.process.wait(60) == 0
        assert "the hub does not close" in (tmp_path / "dashboard.log").read_text()
        dashboard.restart()
        assert minutes_kept(dashboard)


def test_the_worker_goes_within_a_second_when_the_master_is_killed(dashboard: RunningDashboard) -> None:
    worker = dashboard.worker
    assert worker != dashboard.process.pid
    dashboard.process.kill()
    assert wait_until(lambda: not is_running(worker), 60)


def test_a_killed_worker_is_replaced_and_no_answered_alert_is_lost(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [alert(number) for number in range(50)])
    worker = dashboard.worker
    os.kill(worker, signal.SIGKILL)
    assert wait_until(lambda: dashboard.worker != worker, 60)
    assert dashboard.get("/api/stats")["alerts"] == 50


@pytest.mark.nightly
def test_two_hundred_and_fifty_streams_of_which_many_never_read_delay_no_post(dashboard: RunningDashboard) -> None:
    with ExitStack() as open_sockets:
        for _ in range(250):
            viewer = open_sockets.enter_context(closing(socket.create_connection(("127.0.0.1", dashboard.port))))
            viewer.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_until(lambda: dashboard.get("/api/stats")["viewers"] == 250, 60)
        reader = EventReader(f"{dashboard.url}/api/stream")
        open_sockets.callback(reader.close)
        assert reader.wait_for("stats")
        for number in range(20):
            dashboard.post("/api/alerts", [alert(number, transaction={"note": "x" * 100_000})])
        assert reader.wait_for("alert", 20)


def test_posts_at_the_same_time_lose_and_double_nothing_on_a_stream(dashboard: RunningDashboard) -> None:
    reader = EventReader(f"{dashboard.url}/api/stream?last_event_id=0")

    def post(first: int) -> None:
        for number in range(first, first + 40, 4):
            dashboard.post("/api/alerts", [alert(number + step) for step in range(8)])

    threads = [threading.Thread(target=post, args=(first,)) for first in (0, 20, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = dashboard.get("/api/stats")["alerts"]
    assert reader.wait_for("alert", count)
    reader.close()
    ids = [int(event["id"]) for event in reader.of("alert")]
    assert ids == sorted(set(ids))
    assert len(ids) == count == 104


def test_bad_port_directory_or_binding_is_reported_before_the_start(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'alerts.db'}"
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(PortInUse):
        serve(Settings(database=database, port=listener.getsockname()[1]))
    with pytest.raises(StoreError):
        serve(Settings(database=f"sqlite:///{tmp_path}/no/where.db", port=free_port()))
    with pytest.raises(SettingsError):
        serve(Settings(database=database, host="0.0.0.0", port=free_port()))


def test_the_worker_tells_its_master_that_it_lives_idle_or_busy(dashboard: RunningDashboard) -> None:
    # gunicorn's own file, by whose time the master knows; without it a worker is ended after 30 s.
    folder = Path(f"/proc/{dashboard.worker}/fd")
    (heartbeat,) = [each for each in folder.iterdir() if "wgunicorn-" in os.readlink(each)]
    for poll in (lambda: None, lambda: dashboard.get("/ready")):
        for _ in range(3):
            before = heartbeat.stat().st_mtime

            def has_moved(before: float = before, poll: Callable[[], object] = poll) -> bool:
                poll()
                # Not later: a file that was just made has the time of day, and a heartbeat that of the monotonic clock.
                return heartbeat.stat().st_mtime != before

            assert wait_until(has_moved, 10)
