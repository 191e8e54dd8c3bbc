"""The command line, the result file and the processes that the benchmarks of one question share."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from benchmarks.system.material import FRAUDSTREAM
from fraudstream.config import Settings
from fraudstream.errors import BrokerFailed
from fraudstream.kafka.broker import BrokerPlan, start_broker
from fraudstream.runtime.engines import jars_for, java_for
from fraudstream.runtime.processes import LOOPBACK, free_port, spawn, stop, wait_until
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES

RESULTS: Final = Path(__file__).parent / "results"


def parser(about: str | None, result: str) -> argparse.ArgumentParser:
    """A command line with `--output`, which is the file of this name in `results/` when it is not given."""
    arguments = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", type=Path, default=RESULTS / f"{result}.json", help="File of the result.")
    return arguments


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def broker(folder: Path, partitions: int, max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES) -> Iterator[str]:
    """A Kafka broker of its own; yields its address.

    Raises:
        BrokerFailed: It was stopped before it was ready.
    """
    settings = Settings.load()
    plan = BrokerPlan(
        port=free_port(),
        data_dir=folder / "kafka",
        java=java_for(settings),
        jars=jars_for(settings).broker,
        partitions=partitions,
        max_record_bytes=max_record_bytes,
    )
    with start_broker(plan, lambda line: None) as running:
        if running is None:
            raise BrokerFailed("the broker was stopped before it was ready", where=str(plan.log))
        yield running.bootstrap_servers


@contextmanager
def detector(
    bootstrap: str, model: Path, folder: Path, *arguments: str, end: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """`fraudstream detect` with its checkpoint and log in `folder`, once it is ready; ended by the signal `end`."""
    ready, log = folder / "detector-ready", folder / "detector.log"
    ready.unlink(missing_ok=True)
    command: list[str | Path] = [
        *FRAUDSTREAM, "detect", "--model", model, "--bootstrap-servers", bootstrap,
        "--checkpoint", folder / "checkpoint", *arguments,
    ]  # fmt: skip
    process = spawn(command, log=log, env={**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)})
    try:
        if not wait_until(ready.exists, 120):
            raise SystemExit(log.read_text())
        yield process
    finally:
        process.send_signal(end)
        process.wait(60)


def new_database(server: str) -> str:
    """Make a database on a PostgreSQL server; returns its URL."""
    url = make_url(server)
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"study_{time.time_ns()}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return url.set(database=name).render_as_string(hide_password=False)


@contextmanager
def dashboard(folder: Path, **settings: object) -> Iterator[tuple[str, int]]:
    """`fraudstream dashboard` with its store in `folder`; yields its address and the pid that answers."""
    port, ready, log = free_port(), folder / "ready", folder / "dashboard.log"
    values = {"database": f"sqlite:///{folder / 'alerts.db'}", "ready_file": ready, **settings}
    environment = os.environ | {f"FRAUDSTREAM_{name.upper()}": str(value) for name, value in values.items()}
    process = spawn([*FRAUDSTREAM, "dashboard", "--port", str(port)], log=log, env=environment)
    try:
        assert wait_until(ready.exists, 60), log.read_text()
        yield f"http://{LOOPBACK}:{port}", orjson.loads(ready.read_bytes())["pid"]
    finally:
        stop(process, 5)
