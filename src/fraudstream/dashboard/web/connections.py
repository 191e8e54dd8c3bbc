"""Implements a gunicorn worker that uses threads only for complete requests, with separate pools by kind."""

import asyncio
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import flask
import orjson
import structlog
from gunicorn.http import RequestParser, wsgi
from gunicorn.util import unquote_to_wsgi_str
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.http import HTTP_STATUS_CODES

from fraudstream.errors import RequestError

THREADS: Final = {"ingest": 8, "health": 2, "page": 8, "download": 16}
"""Plus a thread for each live stream. A pool whose threads are busy does not delay another; more threads for pages
would slow down ingest, by Python's GIL."""

INGEST: Final = frozenset(
    f"/api/{name}" for name in ("alerts", "events", "dead-letters", "ledger", "replays/claim", "replays/results")
)

QUEUE: Final = 512
"""Requests that may wait for a thread of a pool; at most an eighth of the connections."""

ACCEPT_AT_ONCE: Final = 256
TICK_SECONDS: Final = 0.1
STOP_SECONDS: Final = 0.7
"""To finish requests and to close the app, of the second between the stop signal and the kill."""

STALLED_SECONDS: Final = 30
"""How long a thread waits for a client that reads nothing of its response."""

LINGER_SECONDS: Final = 2.0
"""After the last response: closing with unread bytes would reset the connection before the client has read it."""

HEAD_END: Final = b"\r\n\r\n"
HEAD_BYTES: Final = 65_536
UNADMITTED_BYTES: Final = 65_536
"""The largest body that is read before the app checks whether it accepts the request."""

RECEIVE_BYTES: Final = 131_072
OTHER_FILES: Final = 256
"""Descriptors that connections leave to the database, logs and models."""

RETRY_SECONDS: Final = 5
LOG_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class _Connection(socket.socket):
    """A client's connection with the received part of its next requests; threads write the responses."""

    def __init__(self, accepted: socket.socket, client: Any, server: Any) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.setblocking(False)
        self.sock = self  # as gunicorn calls the socket
        self.client = client
        self.server = server
        self.received = bytearray()
        self.held = 0
        self.is_busy = False  # a part of a request has arrived that has no response yet
        self.deadline: asyncio.Timeout
        self.refusal: RequestError | None = None

    def sendall(self, data: Any, _flags: int = 0, /) -> None:
        """Send everything; raises TimeoutError when nothing can be sent for the timeout of the socket."""
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self.send(unsent) :]

    def close(self) -> None:
        """Leave closing to the loop; gunicorn calls this after a failed response."""

    def discard(self) -> None:
        """Close the socket."""
        super().close()

    def body_end(self, length: int | None) -> int | None:
        """Return the end of a body in the received bytes; None while it is incomplete."""
        if length is None:  # chunked; the parser notices a false end
            end = bytes(self.received[-7:])
            return len(self.received) if end in (b"\r\n0\r\n\r\n", b"0\r\n\r\n") else None
        return length if len(self.received) >= length else None


class RequestWorker(ThreadWorker):  # type: ignore[misc]
    """Reads requests in one event loop, with deadlines; threads run the app and send the responses."""

    def init_process(self) -> None:
        """Set the app's limits, then serve until the stop signal."""
        self._limits = limits = self.app.limits
        self._open: dict[_Connection, asyncio.Task[None]] = {}
        self._waiting: dict[_Connection, None] = {}  # for the client, in order of arrival
        self._held_bytes = 0
        self._in_pool: Counter[str] = Counter()
        self._next_log = 0.0
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = limits.connections + OTHER_FILES
        if soft < needed:
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self._most_connections = min(limits.connections, soft - OTHER_FILES)
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Create the pools; gunicorn knows the one for pages."""
        threads = {**THREADS, "stream": self._limits.streams}
        self._pools = {name: ThreadPoolExecutor(count, name) for name, count in threads.items()}
        queue = min(QUEUE, self._most_connections // 8)
        self._capacity = {name: count + (0 if name == "stream" else queue) for name, count in threads.items()}
        return self._pools["page"]

    def handle_quit(self, _signum: int, _frame: Any) -> None:
        """Stop as on SIGTERM; gunicorn would end the process at once."""
        self.alive = False

    def run(self) -> None:
        """Serve until the stop signal."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self.sockets:
            listener.setblocking(False)
            loop.add_reader(listener, self._accept, listener)
        while self.alive and self.is_parent_alive():
            self.notify()
            await asyncio.sleep(TICK_SECONDS)
        for listener in self.sockets:
            loop.remove_reader(listener)
            listener.close()
        closing = threading.Thread(target=self.app.close, name="close", daemon=True)
        closing.start()
        ends_at = loop.time() + STOP_SECONDS
        while (closing.is_alive() or any(each.is_busy for each in self._open)) and loop.time() < ends_at:
            await asyncio.sleep(TICK_SECONDS)

    def _accept(self, listener: Any) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                accepted, client = listener.accept()
            except OSError:
                return
            connection = _Connection(accepted, client, listener.getsockname())
            self._open[connection] = asyncio.get_running_loop().create_task(self._converse(connection))

    async def _converse(self, connection: _Connection) -> None:
        """Respond to the requests of a connection one after the other."""
        try:
            try:
                while await self._exchange(connection):
                    pass
            except RequestError as e:
                if not connection.is_busy:
                    return
                connection.send(_response(e))
                if time.monotonic() >= self._next_log:
                    log.warning("a request is refused", reason=e.what)
                    self._next_log = time.monotonic() + LOG_SECONDS
            connection.is_busy = False
            connection.shutdown(socket.SHUT_WR)
            connection.received.clear()
            with suppress(RequestError):
                async with self._waits(connection, LINGER_SECONDS):
                    while await asyncio.get_running_loop().sock_recv(connection, RECEIVE_BYTES):
                        pass
        except (OSError, EOFError) as e:
            log.debug("client disconnected", reason=str(e))
        except Exception:
            log.exception("a connection failed")
        finally:
            self._open.pop(connection, None)
            self._hold(connection, 0)
            connection.discard()

    async def _exchange(self, connection: _Connection) -> bool:
        """Receive a request and respond to it; return whether another one may follow."""
        if not connection.received:
            async with self._waits(connection, self._limits.idle_seconds):
                await self._receive(connection)
        connection.is_busy, searched = True, 0
        async with self._waits(connection, self._limits.head_seconds):
            while (end := connection.received.find(HEAD_END, max(0, searched - len(HEAD_END) + 1))) < 0:
                searched = len(connection.received)
                if searched > HEAD_BYTES:
                    raise RequestError("the headers are too long", status=431)
                await self._receive(connection)
        head = bytes(connection.received[: end + len(HEAD_END)])
        del connection.received[: len(head)]
        try:
            parser = RequestParser(self.cfg, [head], connection.client)
            request = next(parser)
        except Exception as e:  # gunicorn maps errors to responses
            self.handle_error(None, connection, connection.client, e)
            return False
        pool = _pool(request.method, unquote_to_wsgi_str(request.path))
        body_end = await self._body_end(connection, request, pool)
        parser.unreader.unread(bytes(connection.received[:body_end]))
        del connection.received[:body_end]
        keeps_alive: bool = await self._run_in(pool, self._serve, connection, request)
        connection.is_busy = False
        self._hold(connection, len(connection.received))
        return keeps_alive

    async def _body_end(self, connection: _Connection, request: Any, pool: str) -> int:
        """Receive the body and return its end; 0 if the app refuses the request without it."""
        length = getattr(request.body.reader, "length", None)
        end = connection.body_end(length)
        expects, request._expected_100_continue = request._expected_100_continue, False  # noqa: SLF001
        is_large = length is None or length > UNADMITTED_BYTES
        if end is None and (expects or is_large) and not await self._run_in(pool, self._admits, connection, request):
            request.must_close = True
            return 0
        if expects:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with self._waits(connection, self._limits.body_seconds):
            while end is None:
                await self._receive(connection)
                end = connection.body_end(length)
        return end

    @asynccontextmanager
    async def _waits(self, connection: _Connection, seconds: float) -> AsyncIterator[None]:
        """Wait for the client; raises RequestError at the deadline, or if it is cut off meanwhile."""
        try:
            async with asyncio.timeout(seconds) as connection.deadline:
                self._waiting[connection] = None
                if len(self._open) > self._most_connections:
                    self._cut(next(iter(self._waiting)), "too many requests are open")
                yield
        except TimeoutError:
            raise connection.refusal or RequestError("the request did not arrive in time", status=408) from None
        finally:
            self._waiting.pop(connection, None)

    async def _receive(self, connection: _Connection) -> None:
        data = await asyncio.get_running_loop().sock_recv(connection, RECEIVE_BYTES)
        if not data:
            raise EOFError("the client has closed the connection")
        connection.received += data
        self._hold(connection, len(connection.received))
        while self._held_bytes > self._limits.body_bytes:
            oldest = next((each for each in self._waiting if each.held), None)
            if oldest is None:
                break
            self._cut(oldest, "too many large requests are open")

    def _hold(self, connection: _Connection, size: int) -> None:
        self._held_bytes += size - connection.held
        connection.held = size

    def _cut(self, connection: _Connection, message: str) -> None:
        """End a wait; a request of which a part has arrived is refused."""
        del self._waiting[connection]
        self._open.pop(connection, None)
        self._hold(connection, 0)
        connection.refusal = RequestError(message, status=503)
        if not connection.deadline.expired():
            connection.deadline.reschedule(0.0)

    async def _run_in(self, pool: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run in a thread of a pool."""
        if self._in_pool[pool] >= self._capacity[pool]:
            raise RequestError(f"too many requests of this kind are open: {pool}", status=503)
        self._in_pool[pool] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pools[pool], work, *arguments)
        finally:
            self._in_pool[pool] -= 1

    def _serve(self, connection: _Connection, request: Any) -> bool:
        """Run the app; in a thread of a pool."""
        connection.settimeout(STALLED_SECONDS)
        try:
            return self.handle_request(request, connection) and not request.body.failed
        except (OSError, StopIteration) as e:
            log.debug("client disconnected", reason=str(e))
        except Exception as e:
            self.handle_error(request, connection, connection.client, e)
        finally:
            connection.setblocking(False)
        return False

    def _admits(self, connection: _Connection, request: Any) -> bool:
        """Check whether the app accepts the request before reading its body; in a thread of a pool."""
        _, environ = wsgi.create(request, connection, connection.client, connection.server, self.cfg)
        try:
            with self.wsgi.request_context(environ):
                refused = flask.request.routing_exception or self.wsgi.preprocess_request()
                most = flask.request.max_content_length
                return not refused and (most is None or (flask.request.content_length or 0) <= most)
        except Exception:  # it is raised again, and gets its response, while the request is served
            return False


def _response(refusal: RequestError) -> bytes:
    """Return the response of the worker itself."""
    status = refusal.http_status
    body = orjson.dumps({"error": refusal.what, "status": status})
    return (
        b"HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: %d\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (status, HTTP_STATUS_CODES[status].encode(), RETRY_SECONDS, len(body), body)
    )


def _pool(method: str, path: str) -> str:
    if path == "/api/stream":
        return "stream"
    if path in ("/health", "/ready", "/metrics"):
        return "health"
    if method == "POST" and path in INGEST:
        return "ingest"
    return "download" if path.endswith((".csv", ".json", ".jsonl")) else "page"
