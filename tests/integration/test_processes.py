"""Processes: none outlives the one that started it, and none is waited for longer than it must be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from commands import is_running
from fraudstream.errors import PortInUse, SettingsError
from fraudstream.runtime.processes import (
    LOOPBACK,
    check_port_free,
    die_with_parent,
    free_port,
    spawn,
    stop,
    stop_signals,
    wait_until,
    write_ready,
)

SIGNALLED_WHILE_WAITING = """
import os, signal, sys
from fraudstream.runtime.processes import stop_signals

def at_each_line(frame, event, argument):
    if not frame.f_code.co_filename.endswith("threading.py"):
        return None
    os.kill(os.getpid(), signal.SIGTERM)
    return at_each_line

with stop_signals() as stopped:
    sys.settrace(at_each_line)
    while not stopped.wait(0.01):
        pass
    sys.settrace(None)
print("ended")
"""
SERVICE = """
import sys, time
from pathlib import Path
from fraudstream.runtime.processes import spawn, write_ready
child = spawn(["sleep", "600"], log=Path(sys.argv[1]) / "child.log")
write_ready(Path(sys.argv[1]) / "ready.json", child=child.pid)
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def test_what_a_service_started_is_gone_within_a_second_of_its_kill(tmp_path: Path) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path)])
    try:
        assert wait_until((tmp_path / "ready.json").exists, 60)
        child = orjson.loads((tmp_path / "ready.json").read_bytes())["child"]
        assert is_running(child)
    finally:
        service.kill()
        service.wait()
    assert wait_until(lambda: not is_running(child), 1.0)


def test_a_child_whose_parent_was_gone_already_ends_at_once() -> None:
    child = os.fork()
    if child == 0:
        die_with_parent(parent=os.getpid())  # no process is its own parent: the real one counts as gone
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_process_ends_in_its_own_way_on_a_signal_to_stop(tmp_path: Path) -> None:
    process = spawn(["sleep", "600"], log=tmp_path / "log")
    assert stop(process, grace=10) == -signal.SIGTERM


def test_a_process_deaf_to_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn([sys.executable, "-c", DEAF], log=log)
    assert wait_until(lambda: b"deaf" in log.read_bytes(), 60)
    assert stop(process, grace=0.1) == -signal.SIGKILL


def test_what_a_stopped_process_left_running_is_ended_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn(["sh", "-c", "sleep 600 & echo $!; wait"], log=log)
    assert wait_until(lambda: log.read_bytes().endswith(b"\n"), 60)
    grandchild = int(log.read_text())
    stop(process, grace=10)
    assert wait_until(lambda: not is_running(grandchild), 1.0)


def test_stopping_a_process_that_has_ended_gives_its_code(tmp_path: Path) -> None:
    process = spawn(["sh", "-c", "exit 3"], log=tmp_path / "log")
    process.wait()
    assert stop(process, grace=1) == 3


def test_ctrl_c_of_the_terminal_does_not_reach_a_spawned_process(tmp_path: Path) -> None:
    process = spawn(["sleep", "600"], log=tmp_path / "log")
    try:
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        stop(process, grace=1)


def test_both_outputs_are_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    for word in ("one", "two"):
        spawn(["sh", "-c", f"echo {word}; echo {word} >&2"], log=log).wait()
    assert log.read_text().split() == ["one", "one", "two", "two"]


def test_a_port_in_use_is_refused_with_its_owner_and_a_remedy() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUse) as error:
            check_port_free(LOOPBACK, port)
    assert f"pid {os.getpid()}" in error.value.message
    assert "remedy" in error.value.message


def test_a_free_port_is_accepted() -> None:
    check_port_free(LOOPBACK, free_port())


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot listen"):
        check_port_free("192.0.2.77", 5000)


def test_readiness_is_written_with_the_pid_and_details(tmp_path: Path) -> None:
    write_ready(tmp_path / "deep" / "ready.json", port=9)
    assert orjson.loads((tmp_path / "deep" / "ready.json").read_bytes()) == {"pid": os.getpid(), "port": 9}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ready.json"]


def test_readiness_without_a_file_is_nothing() -> None:
    write_ready(None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_its_former_meaning_returns(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_signals() as stopped:
        assert not stopped.is_set()
        os.kill(os.getpid(), number)
        assert stopped.wait(60)
    assert signal.getsignal(number) is before


def test_signals_at_every_step_of_the_wait_for_them_hold_nothing_up() -> None:
    process = subprocess.run(
        [sys.executable, "-c", SIGNALLED_WHILE_WAITING], capture_output=True, text=True, check=False, timeout=30
    )
    assert process.stdout == "ended\n", process.stderr


def test_waiting_ends_when_the_time_is_up() -> None:
    started = time.monotonic()
    assert not wait_until(lambda: False, 0.05, every=0.01)
    assert time.monotonic() - started >= 0.05
