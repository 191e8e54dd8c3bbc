"""What the tests of the store, the dashboard and its pages share: alerts to post, and a real server to post them to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any, cast

import orjson
import urllib3
from sqlalchemy import create_engine
from werkzeug.test import TestResponse

from fraudstream.runtime.processes import free_port, stop, wait_until
from fraudstream.store.backends.sqlite import SqliteBackend
from fraudstream.store.store import AlertStore
from serving import ServingProcess


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def alert(number: int, **changes: Any) -> dict[str, Any]:
    """An alert as the relay posts it."""
    return {
        "alert_id": f"id-{number}",
        "topic": "credit_card_transactions",
        "partition": 0,
        "offset": number,
        "source_row": number,
        "produced_at": "2026-01-02T03:04:05.000+00:00",
        "detected_at": "2026-01-02T03:04:05.002+00:00",
        "outcome": "alert",
        "score": 0.9,
        "threshold": 0.5,
        "model_id": "m-1",
        "revision": 1,
        "schema_id": "s-1",
        "imputed": [],
        "transaction": {"Time": number, "V1": -1.5, "V2": 2.25, "Amount": 12.5},
    } | changes


TO_0013 = (
    *(f"DROP TABLE {name}" for name in ("labels", "alert_entities", "saved_views")),
    "DROP INDEX alerts_by_due",
    *(f"ALTER TABLE alerts DROP COLUMN {name}" for name in ("reason_code", "due_us", "escalated_by")),
)
"""Takes back revisions 0015 and 0014, on both databases."""


def take_back(url: str) -> None:
    """Give a database that is closed the tables of revision 0010, its former index empty."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (
            *TO_0013,
            *(f"ALTER TABLE ledger_places DROP COLUMN {name}" for name in ("without_transaction", "additional")),
            "ALTER TABLE dead_letters DROP COLUMN produced_us",
            "DROP TABLE alert_words",
            *(f"DROP INDEX alerts_by_{name}" for name in ("commit", "score", "amount", "loss")),
            "CREATE INDEX alerts_by_status ON alerts (outcome, status, seq)",
            "CREATE INDEX alerts_by_loss ON alerts (outcome, status, expected_loss, seq)",
            *(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)" for name in ("segments", "segment_columns", "indexed")),
            "CREATE TABLE restated_alerts (seq INTEGER PRIMARY KEY)",
            "CREATE VIRTUAL TABLE alert_words USING fts5(words, content='')",
            "CREATE VIRTUAL TABLE alert_words_known USING fts5vocab(alert_words, 'row')",
            "CREATE TRIGGER alerts_restated AFTER UPDATE OF status, assignee ON alerts "
            "BEGIN INSERT OR IGNORE INTO restated_alerts (seq) VALUES (NEW.seq); END",
            "UPDATE alembic_version SET version_num = '0010'",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


@contextmanager
def open_store(
    directory: Path, clock: Clock | None = None, alerts: int = 0, url: str | None = None
) -> Iterator[AlertStore]:
    """A real store with the alerts `id-1` to `id-<alerts>`, at a clock that stands unless another is passed.

    It is on SQLite, in the directory, unless a URL is passed.
    """
    store = AlertStore.open(url or f"sqlite:///{directory / 'alerts.db'}", clock=clock or Clock())
    try:
        if alerts:
            store.add_alerts([alert(number) for number in range(1, alerts + 1)])
        yield store
    finally:
        store.close()


def file_of(store: AlertStore) -> Path:
    """The file of a store on SQLite."""
    backend = store.database.backend
    assert isinstance(backend, SqliteBackend)
    return backend.path


def json_of(answer: TestResponse) -> dict[str, Any]:
    """The JSON object of an answer."""
    document: dict[str, Any] = orjson.loads(answer.data)
    return document


@dataclass
class RunningDashboard:
    """A dashboard under gunicorn, in processes of its own."""

    directory: Path
    port: int
    process: ServingProcess
    pool: urllib3.PoolManager
    model: Path | None = None
    first: str = ""
    database: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def worker(self) -> int:
        """The pid of the process that answers."""
        pid: int = orjson.loads((self.directory / "ready").read_bytes())["pid"]
        return pid

    def post(self, route: str, posted: object) -> dict[str, Any]:
        answer = self.pool.request(
            "POST", self.url + route, body=orjson.dumps(posted), headers={"Content-Type": "application/json"}
        )
        assert answer.status == 200, answer.data
        document: dict[str, Any] = orjson.loads(answer.data)
        return document

    def get(self, route: str) -> dict[str, Any]:
        answer = self.pool.request("GET", self.url + route)
        assert answer.status == 200, answer.data
        document: dict[str, Any] = orjson.loads(answer.data)
        return document

    def restart(self) -> None:
        """Stop it, and start it again on the same database and port."""
        self.end()
        self.process = start(self.directory, self.port, self.model, self.first, self.database)

    def end(self) -> None:
        self.pool.clear()  # a connection that is kept alive would be waited for
        _stop(self.process, grace=5)


def start(
    directory: Path, port: int, model: Path | None = None, first: str = "", database: str | None = None
) -> ServingProcess:
    """Start the server, in a process that runs the statements of `first` before, and wait until it is ready."""
    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    log = directory / "dashboard.log"
    database = database or f"sqlite:///{directory / 'alerts.db'}"
    process = ServingProcess(first, {"database": database, "port": port, "ready": ready, "model": model}, log)
    if not wait_until(lambda: ready.exists() or process.poll() is not None, 60) or process.poll() is not None:
        _stop(process, grace=1)
        raise AssertionError(log.read_text())
    return process


def _stop(process: ServingProcess, grace: float) -> None:
    stop(cast(Popen[bytes], process), grace)


@contextmanager
def running_dashboard(
    directory: Path, model: Path | None = None, first: str = "", database: str | None = None
) -> Iterator[RunningDashboard]:
    """A real dashboard on a free port, ended with the test; on SQLite in the directory, unless a URL is passed."""
    port = free_port()
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        running = RunningDashboard(
            directory, port, start(directory, port, model, first, database), pool, model, first, database
        )
        try:
            yield running
        finally:
            running.end()


class EventReader:
    """Reads one event stream in a thread, as a page would; `ended` is set when the server ends it."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=30)
        self._answer = self._pool.request("GET", url, headers=headers, preload_content=False)
        assert self._answer.status == 200
        self.events: list[dict[str, str]] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        buffer = b""
        try:
            for piece in self._answer.stream(64):
                buffer += piece
                *whole, buffer = buffer.split(b"\n\n")
                self.events.extend(_fields(block) for block in whole)
        except urllib3.exceptions.HTTPError:
            pass
        self.ended.set()

    def alerts(self) -> list[str]:
        return [orjson.loads(event["data"])["alert_id"] for event in self.of("alert")]

    def of(self, kind: str) -> list[dict[str, str]]:
        return [event for event in list(self.events) if event.get("event") == kind]

    def wait_for(self, kind: str, count: int = 1) -> bool:
        return wait_until(lambda: len(self.of(kind)) >= count, 60)

    def close(self) -> None:
        if not self.ended.is_set():
            self._answer.shutdown()
        self._thread.join(10)
        self._answer.close()
        self._pool.clear()


def _fields(block: bytes) -> dict[str, str]:
    lines = [line.partition(": ") for line in block.decode().splitlines()]
    return {name: value for name, _, value in lines if name}
