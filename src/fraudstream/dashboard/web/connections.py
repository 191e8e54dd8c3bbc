"""Implements a gunicorn worker that uses threads only for complete requests, with separate pools by kind."""

import errno
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Final

import flask
import structlog
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import HTTPException

from fraudstream.dashboard.web.client_connection import HEAD_BYTES, STALLED_SECONDS, Connection, Limits
from fraudstream.errors import FraudstreamError

THREADS: Final = {"ingest": 8, "health": 2, "page": 8, "download": 16}
"""Plus a thread for each live stream. A pool whose threads are busy does not delay another; more threads for pages
would slow down ingest, by Python's GIL.
"""

QUEUE: Final = 512
"""Requests that may wait for a thread of a pool; at most an eighth of the connections."""

ACCEPT_AT_ONCE: Final = 256
TICK_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 2.0
"""After the last response: closing with unread bytes would reset the connection before the client has read it."""

UNADMITTED_SECONDS: Final = 0.25
UNADMITTED_BYTES: Final = 65_536
"""How much of a body is read, for how long, before the app checks whether it accepts the request."""

RECEIVE_BYTES: Final = 131_072
OTHER_FILES: Final = 256
"""Descriptors that connections leave to the database, logs and models."""

LOG_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class RequestWorker(ThreadWorker):  # type: ignore[misc]
    """Reads requests and sends the rest of responses in one loop, with deadlines; threads run the app."""

    def init_process(self) -> None:
        """Set the limits, then serve until the stop signal."""
        limits: Limits = self.app.limits
        self._limits = limits
        self._waiting: dict[Connection, None] = {}  # in order of arrival
        self._held_bytes = 0
        self._in_pool: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()
        self._next_tick = self._next_log = 0.0
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = limits.connections + OTHER_FILES
        if soft < needed:
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self._most_connections = min(limits.connections, soft - OTHER_FILES)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Create the pools; gunicorn shuts down the one for pages, Python the others at exit."""
        threads = {**THREADS, "stream": self._limits.streams}
        self._pools = {name: ThreadPoolExecutor(count, name) for name, count in threads.items()}
        queue = min(QUEUE, self._most_connections // 8)
        self._capacity = {name: count + (0 if name == "stream" else queue) for name, count in threads.items()}
        return self._pools["page"]

    def accept(self, listener: Any) -> None:
        """Accept waiting connections; beyond the limit, close those that have waited longest."""
        for _ in range(ACCEPT_AT_ONCE):
            try:
                accepted, client = listener.accept()
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE) and self._waiting:
                    self._evict(next(iter(self._waiting)))
                return
            self.nr_conns += 1
            self._wait(Connection(accepted, client, listener.getsockname()), self._limits.idle_seconds)
            if self.nr_conns > self._most_connections:
                self._evict(next(iter(self._waiting)))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Run one round of the loop."""
        super().wait_for_and_dispatch_events(min(timeout, TICK_SECONDS))
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        for connection in [each for each in self._waiting if each.deadline <= now or not (self.alive or each.is_busy)]:
            self._step(self._expire, connection)
        if self._turned_away and now >= self._next_log:
            log.warning("refused clients", reasons=dict(self._turned_away))
            self._turned_away.clear()
            self._next_log = now + LOG_SECONDS

    def _wait(self, connection: Connection, seconds: float, event: int = EVENT_READ) -> None:
        connection.deadline = time.monotonic() + seconds
        if connection.watched_for != event:
            self._unwatch(connection)
            step = self._read if event == EVENT_READ else self._write
            self.poller.register(connection, event, partial(self._step, step))
            connection.watched_for = event
        self._waiting[connection] = None

    def _unwatch(self, connection: Connection) -> None:
        if connection.watched_for:
            connection.watched_for = 0
            self.poller.unregister(connection)

    def _step(self, step: Callable[..., None], connection: Connection, *details: object) -> None:
        """Run a step of a connection; a failure must not end the loop."""
        if connection.is_dropped:  # dropped for another one in the same round
            return
        try:
            step(connection, *details)
        except OSError:
            self._drop(connection)
        except Exception:
            log.exception("a connection failed")
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._unwatch(connection)
        self._hold(connection, 0)
        self.nr_conns -= 1
        connection.is_dropped = True
        connection.discard()

    def _hold(self, connection: Connection, size: int) -> None:
        self._held_bytes += size - connection.held
        connection.held = size

    def _read(self, connection: Connection) -> None:
        if connection not in self._waiting:  # served by a thread; watched until more arrives
            self._unwatch(connection)
            return
        try:
            data = connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._drop(connection)
        elif not connection.is_ending:
            if connection.request is None and not connection.received:
                connection.deadline = time.monotonic() + self._limits.head_seconds
            connection.received += data
            self._hold(connection, connection.held + len(data))
            self._advance(connection)
            self._shed()

    def _shed(self) -> None:
        while self._held_bytes > self._limits.body_bytes:
            oldest = next((each for each in self._waiting if each.held), None)
            if oldest is None:
                break
            self._step(self._refuse, oldest, 503, "too many large requests are open")

    def _write(self, connection: Connection) -> None:
        connection.flush()
        if not connection.unsent:
            self._waiting.pop(connection, None)
            self._on_response_sent(connection)

    def _expire(self, connection: Connection) -> None:
        if connection.request is not None and not connection.is_admitted:
            self._run_in_pool(connection, self._check_admission)
        elif connection.received or connection.request is not None:
            self._refuse(connection, 408, "the request did not arrive in time")
        else:
            self._drop(connection)

    def _evict(self, connection: Connection) -> None:
        if connection.received or connection.request is not None:
            self._step(self._refuse, connection, 503, "too many requests are open")
        else:
            self._turned_away["idle"] += 1
        if not connection.is_dropped:
            self._drop(connection)

    def _refuse(self, connection: Connection, status: int, message: str) -> None:
        """Respond without the app, and close."""
        self._waiting.pop(connection, None)
        self._turned_away[message] += 1
        connection.refuse(status, message)
        self._finish(connection, False)

    def _advance(self, connection: Connection) -> None:
        """Serve the received bytes as soon as they are a request."""
        if connection.request is None and not self._parse_head(connection):
            return
        end = connection.body_end()
        if end is not None:
            self._submit(connection, end)
        elif not connection.is_admitted and (
            len(connection.received) > UNADMITTED_BYTES or connection.request._expected_100_continue  # noqa: SLF001
        ):
            self._run_in_pool(connection, self._check_admission)

    def _parse_head(self, connection: Connection) -> bool:
        try:
            if not connection.parse_head(self.cfg):
                if connection.searched > HEAD_BYTES:
                    self._refuse(connection, 431, "the headers are too long")
                return False
        except Exception as e:  # gunicorn maps errors to responses
            self._waiting.pop(connection, None)
            self.handle_error(None, connection, connection.client, e)
            self._finish(connection, False)
            return False
        connection.deadline = time.monotonic() + UNADMITTED_SECONDS
        return True

    def _submit(self, connection: Connection, body_end: int) -> None:
        connection.parser.unreader.unread(bytes(connection.received[:body_end]))
        del connection.received[:body_end]
        self._run_in_pool(connection, self._serve)

    def _run_in_pool(self, connection: Connection, work: Callable[[Connection], None]) -> None:
        self._waiting.pop(connection, None)
        pool = connection.pool
        if self._in_pool[pool] < self._capacity[pool]:
            self._in_pool[pool] += 1
            self._pools[pool].submit(work, connection)
        else:
            self._refuse(connection, 503, f"too many requests of this kind are open: {pool}")

    def _serve(self, connection: Connection) -> None:
        """Run the app; in a thread of a pool."""
        keeps_alive = False
        try:
            keeps_alive = self.handle_request(connection.request, connection) and not connection.request.body.failed
        except (OSError, StopIteration) as e:
            log.debug("client disconnected", reason=str(e))
        except Exception as e:
            self.handle_error(connection.request, connection, connection.client, e)
        finally:
            self.method_queue.defer(self._return_from_pool, self._finish, connection, keeps_alive)

    def _check_admission(self, connection: Connection) -> None:
        """Check whether the app accepts the request before reading its body; in a thread of a pool."""
        admitted = False
        try:
            admitted = self._admits(connection)
        except Exception as e:  # it fails again and gets its response while it is served
            log.debug("cannot check a request before its body", reason=str(e))
        finally:
            self.method_queue.defer(self._return_from_pool, self._on_admission, connection, admitted)

    def _return_from_pool(self, step: Callable[..., None], connection: Connection, outcome: bool) -> None:
        self._in_pool[connection.pool] -= 1
        self._step(step, connection, outcome)

    def _on_admission(self, connection: Connection, admitted: bool) -> None:
        if admitted:
            connection.is_admitted = True
            self._wait(connection, self._limits.body_seconds)
            self._shed()
        else:
            connection.request.must_close = True
            self._submit(connection, 0)

    def _admits(self, connection: Connection) -> bool:
        request = connection.request
        expects, request._expected_100_continue = request._expected_100_continue, False  # noqa: SLF001
        _, environ = wsgi.create(request, connection, connection.client, connection.server, self.cfg)
        with self.wsgi.request_context(environ):
            try:
                refused = flask.request.routing_exception or self.wsgi.preprocess_request()
            except (HTTPException, FraudstreamError):
                return False
            most = flask.request.max_content_length
            if refused or (most is not None and (flask.request.content_length or 0) > most):
                return False
        if expects:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _finish(self, connection: Connection, keeps_alive: bool) -> None:
        connection.request, connection.is_admitted, connection.keeps_alive = None, False, keeps_alive
        if not keeps_alive:
            connection.received.clear()
        self._hold(connection, len(connection.received))
        if connection.unsent:
            self._wait(connection, STALLED_SECONDS, EVENT_WRITE)
        else:
            self._on_response_sent(connection)

    def _on_response_sent(self, connection: Connection) -> None:
        if connection.keeps_alive:
            self._wait(connection, self._limits.idle_seconds)
            if connection.received:
                connection.deadline = time.monotonic() + self._limits.head_seconds
                self._advance(connection)
        else:
            connection.is_ending = True
            connection.shutdown(socket.SHUT_WR)
            self._wait(connection, LINGER_SECONDS)
