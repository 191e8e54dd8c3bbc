"""Keeps several dashboards on one PostgreSQL database in step, by its notifications."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.background import BackgroundService
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.errors import StoreError
from fraudstream.messages.base import Object
from fraudstream.store.backends.postgresql import PostgresqlBackend
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore

log = structlog.get_logger(__name__)

WAIT_SECONDS: Final = 1.0
"""Between two looks at the store without a notification, which is lost if a connection breaks."""

RETRY_SECONDS: Final = 1.0
MOST_BYTES: Final = 7_800
"""Of the items in a notification, which holds 7,999 bytes in all."""


def packed(items: Iterable[Mapping[str, Any] | Sequence[Any]]) -> Iterator[str]:
    """Yield the JSON of items in as few notifications as possible, without those that are too long for one."""
    joined = b""
    for item in (each for each in map(orjson.dumps, items) if len(each) <= MOST_BYTES):
        if joined and len(joined) + 1 + len(item) > MOST_BYTES:
            yield joined.decode()
            joined = b""
        joined = joined + b"," + item if joined else item
    if joined:
        yield joined.decode()


class Instances(BackgroundService):
    """Publishes what other dashboards have committed, and sends them what this one has observed.

    On SQLite there are none: nothing is sent, and this dashboard is always the writer of the minutes. By kind of
    notification, `handlers` has what handles its items.
    """

    def __init__(self, store: AlertStore, hub: Hub) -> None:
        super().__init__("instances")
        self._store = store
        self._hub = hub
        self._order = threading.Lock()
        backend = store.database.backend
        self._shared = backend if isinstance(backend, PostgresqlBackend) else None
        self._leads = self._shared is None
        self.handlers: dict[str, Callable[[Any], None]] = {}

    def start(self) -> None:
        """Start to listen, in a thread."""
        if self._shared:
            super().start()

    def leads(self) -> bool:
        """Whether this dashboard is the one that writes the minutes of all."""
        return self._leads

    def publish(self, alerts: list[StoredAlert]) -> None:
        """Send newly committed alerts to every viewer, after those that other dashboards have committed before."""
        with self._order:
            if self._shared and alerts[0].seq != self._hub.latest + 1:
                self._catch_up(alerts[0].seq - 1)
                # The listener may have read these already, between their commit and now.
                alerts = [each for each in alerts if each.seq > self._hub.latest]
            self._hub.publish(alerts)

    def send(self, kind: str, items: Sequence[Mapping[str, Any] | Sequence[Any]]) -> None:
        """Send items to the other dashboards; one that is too long for a notification is left out.

        They are figures of the moment: a failure is logged and nothing waits for it.
        """
        if not self._shared:
            return
        try:
            with self._store.database.read() as connection, connection.begin():
                for joined in packed(items):
                    self._store.database.notify(connection, kind, joined)
        except SQLAlchemyError as e:
            log.warning("cannot notify the other dashboards", reason=str(e).partition("\n")[0])

    def _catch_up(self, until: int | None = None) -> None:
        while page := self._store.alerts_after(self._hub.latest, up_to=until):
            self._hub.publish(page)

    def _run(self) -> None:
        while self._shared and not self._ending.is_set():
            try:
                with self._shared.listen() as listener:
                    while not self._ending.is_set():
                        self._leads = listener.lead()
                        messages = listener.wait(WAIT_SECONDS)
                        others = [each for each in messages if self._store.database.instance not in each[:40]]
                        if others or not messages:
                            with self._order:
                                self._catch_up()
                        for message in others:
                            self._receive(message)
            except (StoreError, SQLAlchemyError) as e:
                log.warning("cannot hear the other dashboards", reason=e.what if isinstance(e, StoreError) else str(e))
            self._leads = False
            self._ending.wait(RETRY_SECONDS)

    def _receive(self, text: str) -> None:
        try:
            message: Object = orjson.loads(text)
            if message["kind"] in self.handlers:
                self.handlers[message["kind"]](message["items"])
        except Exception as e:  # anybody may notify: the next one is handled whatever this one is
            log.warning("a notification was not understood", reason=f"{type(e).__name__}: {e}")
