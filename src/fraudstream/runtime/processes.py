"""How processes are started, awaited and ended so that none is left behind; what runs in them is their caller's."""

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
# Loaded at import: a dlopen between fork and exec could wait for ever on a lock that another thread held.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `by` to this process as soon as its parent has ended; does nothing but on Linux.

    Serves as `preexec_fn` and after a fork. The setting outlives an exec, so a Python service that is killed -9 takes
    the JVM it started along. "Parent" is the *thread* that forked: start what is to last from one that lasts. `parent`
    is its pid, taken before the fork (else at the call): one that was gone before the kernel could be asked sends no
    signal, and is known only by comparing.
    """
    if _LIBC is None:
        return
    expected = os.getppid() if parent is None else parent
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != expected:
        os.kill(os.getpid(), by)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one and appends both its outputs to `log`.

    It gets a session of its own: Ctrl-C in a terminal reaches only the process that started it, which then stops its
    children in their order.
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
    """End a process that `spawn` started: SIGTERM, up to `grace` seconds, SIGKILL; then what is left of its session.

    Returns its return code, as `Popen.returncode` gives it.
    """
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
    """Ask `condition` every so many seconds; True as soon as it holds, False when `timeout` seconds went by."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that a service ends in its own order; for the main thread.

    Await it with `event.wait(seconds)`, which a signal ends at once. The former dispositions return with the exit.
    """
    stopped = threading.Event()

    def stop_soon(*_: object) -> None:
        # In a thread: a second signal, while this thread is setting or awaiting the event, would wait for its own lock.
        _thread.start_new_thread(stopped.set, ())

    before = {number: signal.signal(number, stop_soon) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)


def write_ready(path: Path | None, **details: str | int) -> None:
    """Say that this process is ready: replace the file with `{"pid": …}` and `details`; without a path, nothing."""
    if path is not None:
        replace_json(path, {"pid": os.getpid(), **details})


def free_port() -> int:
    """A loopback port that nobody listens on at this moment; the caller is to bind it soon."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port_free(host: str, port: int, *, remedy: str = "stop that process, or choose another --port") -> None:
    """Bind the port for a moment, to fail with a clear message before a server fails with an obscure one.

    Raises:
        PortInUse: Somebody listens there; names the process where this user may see it.
        SettingsError: The address is not one of this machine's, or the port is not for this user.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections that ended a moment ago do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as e:
            place = f"{host}:{port}"
            if e.errno == errno.EADDRINUSE:
                owner = port_owner(port)
                by = f" (held by {owner})" if owner else ""
                raise PortInUse(f"port {port} is in use{by}", where=place, remedy=remedy) from e
            reason = e.strerror or str(e)
            raise SettingsError(
                f"cannot listen on {place}: {reason}", remedy="choose an address of this machine and a port above 1023"
            ) from e


def port_owner(port: int) -> str | None:
    """`name, pid N` of the process that listens on a TCP port, where the system lets this user know it."""
    with contextlib.suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()}, pid {each.pid}"
    return None
