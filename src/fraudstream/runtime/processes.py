"""Starts, awaits and stops processes so that none is left behind, and checks ports."""

import _thread
import contextlib
import ctypes
import errno
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from fraudstream.errors import PortInUse, SettingsError
from fraudstream.runtime.files import replace_json

LOOPBACK = "127.0.0.1"

_PR_SET_PDEATHSIG = 1
# Loaded at import: a dlopen between fork and exec could deadlock on a lock that another thread held.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send the signal `by` to this process when its parent ends; no effect except on Linux.

    For use as `preexec_fn` and after a fork. The setting survives an exec, so a Python service that is killed -9 takes
    its JVM along. "Parent" is the *thread* that forked: start long-lived processes from a long-lived thread. `parent`
    is its pid, taken before the fork (by default at the call): if it ended before the setting took effect, no signal
    is sent, and only comparing pids detects that.
    """
    if _LIBC is None:
        return
    expected = os.getppid() if parent is None else parent
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != expected:
        os.kill(os.getpid(), by)


def spawn(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one and appends stdout and stderr to `log`.

    It gets its own session: Ctrl-C in a terminal reaches only this process, which then stops its children in order.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the command is the package's own, never a user's text
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )


def stop(process: subprocess.Popen[bytes], grace: float) -> int:
    """Stop a process of `spawn`: SIGTERM, up to `grace` s, SIGKILL; then the rest of its session. Returns its code."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        process.kill()
    code = process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return code


def wait_until(condition: Callable[[], bool], timeout: float, *, every: float = 0.02) -> bool:
    """Poll `condition` every `every` seconds; True as soon as it holds, False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, for an orderly shutdown of a service; for the main thread.

    Wait with `event.wait(seconds)`, which a signal interrupts. The previous handlers are restored at the end.
    """
    stopped = threading.Event()

    def stop_soon(*_: object) -> None:
        # In a thread: a second signal, while this thread is setting or awaiting the event, would deadlock on its lock.
        _thread.start_new_thread(stopped.set, ())

    before = {number: signal.signal(number, stop_soon) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)


def write_ready(path: Path | None, **details: str | int) -> None:
    """Report that this process is ready: write `{"pid": …}` and `details` to the file; without a path, do nothing."""
    if path is not None:
        replace_json(path, {"pid": os.getpid(), **details})


def free_port() -> int:
    """Find a free loopback port; the caller should bind it soon."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port_free(host: str, port: int, *, remedy: str = "stop that process, or choose another --port") -> None:
    """Bind the port for a moment, to fail with a clear message before a server fails with an obscure one.

    Raises PortInUse, with the process that is listening there if this user may see it, or SettingsError if the address
    does not belong to this machine or the user may not use the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: recently closed connections do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as e:
            address = f"{host}:{port}"
            if e.errno == errno.EADDRINUSE:
                owner = port_owner(port)
                by = f" (held by {owner})" if owner else ""
                raise PortInUse(f"port {port} is in use{by}", where=address, remedy=remedy) from e
            reason = e.strerror or str(e)
            raise SettingsError(
                f"cannot listen on {address}: {reason}",
                remedy="choose an address of this machine and a port above 1023",
            ) from e


def port_owner(port: int) -> str | None:
    """Describe the process that listens on a TCP port as `name, pid N`, if this user may see it."""
    with contextlib.suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()}, pid {each.pid}"
    return None
