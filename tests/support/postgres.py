"""Starts a private PostgreSQL server for the tests, and makes databases in it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from fraudstream.runtime.processes import free_port, wait_until

EMPTY = "empty"
"""A database with the tables of the store, which new ones are copied from."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None if it is not installed."""
    initdb = shutil.which("initdb")
    folders = [Path(initdb).resolve().parent] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@dataclass
class PostgresServer:
    """A server on a free port of this machine, in a folder of its own."""

    folder: Path
    port: int
    settings: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    _stores: list[str] = field(default_factory=list)

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self._connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def empty_store(self) -> str:
        """Return the URL of an empty store: in a database that no test uses any more, else in a new one."""
        with self._connect("postgres") as connection:
            used = connection.execute("SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL").fetchall()
            free = [name for name in self._stores if (name,) not in used]
            if not free:
                free = [f"store_{len(self._stores)}"]
                self._stores += free
                connection.execute(f"CREATE DATABASE {free[0]} TEMPLATE {EMPTY}".encode())
                return self.url(free[0])
        with self._connect(free[0]) as connection:
            tables = connection.execute(
                "SELECT string_agg(tablename, ', ') FROM pg_tables "
                "WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            ).fetchone()
            assert tables is not None
            # Past the triggers that keep the changes.
            connection.execute("SET session_replication_role = replica")
            connection.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY".encode())
        return self.url(free[0])

    def _connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/{database}", autocommit=True)

    def start(self, *, file_bytes: int = resource.RLIM_INFINITY) -> None:
        """Start it; no file of it can grow beyond `file_bytes`, as on a full disk."""
        options = [each for setting in self.settings for each in ("-c", setting)]
        self.process = _as_postgres(
            "postgres",
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
            *options,
            log=self.folder / "log",
            file_bytes=file_bytes,
        )
        wait_until(self._answers, timeout=30)

    def kill(self) -> None:
        """Kill every process of the server at once, as a crash of its machine would."""
        assert self.process is not None
        # Each has a session of its own. One that still ended when the server starts again would keep it from doing so.
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes[1:], 30)
        self.process.wait()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgres(*settings: str) -> Iterator[PostgresServer]:
    """Run a server; without `fsync` unless the settings say otherwise: tests kill processes, not machines."""
    # Not in pytest's folder: another user runs the server, and that one is closed to others.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    always = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off")
    server = PostgresServer(folder, free_port(), (*always, *settings))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        arguments = ("-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        made = _as_postgres("initdb", *arguments, log=folder / "initdb.log")
        assert made.wait() == 0, (folder / "initdb.log").read_text()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(
    program: str, *arguments: str, log: Path, file_bytes: int = resource.RLIM_INFINITY
) -> subprocess.Popen[bytes]:
    """Start a program of PostgreSQL; as its own user where we are root, which it refuses to run as."""
    folder = programs()
    assert folder is not None
    user = "postgres" if os.getuid() == 0 else None
    with log.open("ab") as output:
        return subprocess.Popen(
            [folder / program, *arguments],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            user=user,
            group=user,
            cwd="/",
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
            env=os.environ | {"LC_ALL": "C"},
        )
