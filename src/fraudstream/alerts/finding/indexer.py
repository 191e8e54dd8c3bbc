"""Keeps the index of alerts up to date behind the commits, in a thread of its own; `search.py` asks it.

An alert's own transaction knows nothing of it: what is not indexed yet is looked through as it stands, so that a search
misses nothing. Beside alerts that keep coming it rests as long as it works. Of several processes on one database (two
dashboards, or the old and the new worker of a restart) one indexes, which holds a lock; the next takes over from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
import structlog
from sqlalchemy import RowMapping, delete, select
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.alerts import tables
from fraudstream.alerts.finding.columns import OWN_NUMBERS, OWN_TEXTS, ROWS, GrowingColumns
from fraudstream.alerts.finding.stored import (
    Rewritten,
    last_stored,
    next_segment,
    packed_columns,
    restated_work,
    rewritten,
    unfinished,
    write_columns,
    write_segment,
)
from fraudstream.alerts.finding.tables import restated_alerts
from fraudstream.alerts.finding.text import add_words, indexed_words, words_until
from fraudstream.alerts.store import AlertStore
from fraudstream.errors import StoreError
from fraudstream.runtime.files import exclusive_lock
from fraudstream.transactions.wire import AlertField

log = structlog.get_logger(__name__)

TOGETHER: Final = 128
"""Alerts that are indexed at once: 10 ms of work, all of it but SQLite's own before the store's writer is held."""

BODY_CHARS: Final = 1 << 18
"""So much JSON is read at once, however few alerts that are."""

WORD_CHARS: Final = 1 << 16
"""So much text is entered at once: FTS5 takes about 5 ms for it."""

LOCK: Final = ".index.lock"
"""The lock is a file beside the database, of its name and this."""

LOOK_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 5.0
REST: Final = 1.0
"""Seconds of rest for each second of work."""

_ALERT: Final = tables.alerts.c
_OWN: Final = [_ALERT[name] for name in (*OWN_NUMBERS, *OWN_TEXTS)]


class Progress(NamedTuple):
    """How far the index has come: the last `seq` that it holds, and that of the newest alert."""

    indexed: int
    newest: int


class AlertIndexer:
    """Indexes a store's alerts, in its own thread from `start` to `close`; or at once, by `catch_up`."""

    def __init__(self, store: AlertStore, *, segment: int = ROWS) -> None:
        """Take the open store, and how many alerts a segment has; nothing happens before `start`."""
        self._store = store
        self._segment = segment
        self._columns: GrowingColumns | None = None
        self._until = 0
        self._words_until = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, where an earlier process has stopped."""
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; what is behind is left to the next process."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(self._until, self._store.latest_seq())

    def catch_up(self) -> None:
        """Index all that there is now, without rest and without the lock: for who has the database alone.

        Raises:
            StoreError: The database did not take it, or somebody else indexes too.
        """
        while self._step():
            pass

    def _run(self) -> None:
        path = self._store.path
        while not self._ending.is_set():
            try:
                with exclusive_lock(path.with_name(path.name + LOCK), wait=False) as ours:
                    if ours:
                        self._follow()
            except OSError as e:
                log.warning("alerts are not indexed: the lock cannot be had", reason=str(e), database=str(path))
                self._ending.wait(RETRY_SECONDS)
            self._ending.wait(LOOK_SECONDS)

    def _follow(self) -> None:
        """Index what comes until the end, as the one that does."""
        while not self._ending.is_set():
            began = time.perf_counter()
            try:
                more = self._step()
            except (StoreError, SQLAlchemyError) as e:
                log.warning("alerts could not be indexed", reason=e.what if isinstance(e, StoreError) else str(e))
                self._columns = None
                self._ending.wait(RETRY_SECONDS)
                continue
            self._ending.wait((time.perf_counter() - began) * REST if more else LOOK_SECONDS)
        # Whoever indexes next no longer notes here what people make of these alerts.
        self._columns = self._store.search.growing = None

    def _step(self) -> bool:
        """One bounded piece of work; whether there may be more."""
        columns = self._columns or self._begin()
        restated = self._restate(columns)
        found = self._following(columns.room - columns.rows)
        if not found:
            return restated
        documents = [orjson.loads(row["body"]) for row in found]
        self._add_words(
            [
                (row["seq"], indexed_words(document))
                for row, document in zip(found, documents, strict=True)
                if row["seq"] > self._words_until
            ]
        )
        for row, document in zip(found, documents, strict=True):
            columns.add(row["seq"], dict(row), document[AlertField.TRANSACTION])
            self._until = row["seq"]
        if columns.rows == columns.room:
            self._write(columns)
            self._publish(GrowingColumns(self._segment))
        return True

    def _begin(self) -> GrowingColumns:
        """Begin behind the last stored segment; what is only in memory is read again."""
        with self._store.reading() as connection:
            self._until, self._words_until = last_stored(connection), words_until(connection)
            left_over = unfinished(connection)
        if left_over is not None:
            with self._store.writing(relaxed=True) as connection:
                connection.execute(left_over)
        return self._publish(GrowingColumns(self._segment))

    def _publish(self, columns: GrowingColumns) -> GrowingColumns:
        self._columns = self._store.search.growing = columns
        return columns

    def _following(self, most: int) -> list[RowMapping]:
        """The next alerts, as many as are indexed at once."""
        found: list[RowMapping] = []
        size = 0
        with self._store.reading() as connection:
            query = select(_ALERT.seq, _ALERT.body, *_OWN).where(_ALERT.seq > self._until).order_by(_ALERT.seq)
            for row in connection.execute(query.limit(min(TOGETHER, most))).mappings():
                found.append(row)
                size += len(row["body"])
                if size >= BODY_CHARS:
                    break
        return found

    def _add_words(self, alerts: Sequence[tuple[int, str]]) -> None:
        """Store words that were made before, so many in one transaction that it is short."""
        start, size = 0, 0
        for at, (_, words) in enumerate(alerts, 1):
            size += len(words)
            if size >= WORD_CHARS or at == len(alerts):
                with self._store.writing(relaxed=True) as connection:
                    add_words(connection, alerts[start:at])
                self._words_until = alerts[at - 1][0]
                start, size = at, 0

    def _write(self, columns: GrowingColumns) -> None:
        """Store a full segment: its columns a few at a time, and then, that it is there."""
        with self._store.reading() as connection:
            segment = next_segment(connection)
        written = 0
        for packed in packed_columns(columns, segment):
            with self._store.writing(relaxed=True) as connection:
                write_columns(connection, packed, segment)
            written += len(packed)
        with self._store.writing(relaxed=True) as connection:
            write_segment(connection, columns, segment, written)

    def _restate(self, columns: GrowingColumns) -> bool:
        """Take over what people made of alerts that are indexed, of one segment; whether there was any."""
        with self._store.reading() as connection:
            now = restated_work(connection, TOGETHER)
            if not now:
                return False
            # In memory first: a search that begins after this commit finds nothing restated, and has to find it there.
            stored = {seq: work for seq, work in now.items() if not columns.restate(seq, work)}
            taken = rewritten(connection, stored) if stored else Rewritten({}, [])
        done = {seq: work for seq, work in now.items() if seq not in stored} | taken.done
        with self._store.writing(relaxed=True) as connection:
            for statement in taken.statements:
                connection.execute(statement)
            # What somebody has changed again meanwhile stays noted.
            same = [seq for seq, work in restated_work(connection, of=list(done)).items() if work == done[seq]]
            connection.execute(delete(restated_alerts).where(restated_alerts.c.seq.in_(same)))
        return True
