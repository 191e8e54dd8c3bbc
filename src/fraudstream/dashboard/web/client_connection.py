"""Buffers a client's connection, and parses the head of its request."""

import select
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
from gunicorn.http import RequestParser
from gunicorn.util import unquote_to_wsgi_str
from werkzeug.http import HTTP_STATUS_CODES

INGEST: Final = frozenset(
    f"/api/{name}" for name in ("alerts", "events", "dead-letters", "ledger", "replays/claim", "replays/results")
)
HEALTH: Final = frozenset({"/health", "/ready", "/metrics"})
DOWNLOADS: Final = (".csv", ".json", ".jsonl")

HEAD_BYTES: Final = 65_536
HEAD_END: Final = b"\r\n\r\n"
UNSENT_BYTES: Final = 65_536
"""Buffered bytes of a response for a slow reader; a thread that has more to write waits."""

STALLED_SECONDS: Final = 30
RETRY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the resources that clients may hold, and for how long."""

    connections: int = 4096
    """Beyond these, the connection that has waited longest is closed."""

    streams: int = 256
    body_bytes: int = 128 * 1024 * 1024
    """Of all requests in memory; beyond it the oldest incomplete one is refused."""

    idle_seconds: float = 30.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0


LIMITS: Final = Limits()


class Connection(socket.socket):
    """A client's connection with the received part of a request and the unsent part of a response."""

    def __init__(self, accepted: socket.socket, client: Any, server: Any) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.setblocking(False)
        self.sock = self
        """gunicorn's name for the socket."""
        self.client = client
        self.server = server
        self.deadline = 0.0
        self.received = bytearray()
        self.unsent = bytearray()
        self.searched = 0
        self.held = 0
        self.watched_for = 0
        self.parser: Any = None
        self.request: Any = None
        self.pool = ""
        self.is_admitted = False
        self.keeps_alive = False
        self.is_ending = self.is_dropped = False

    def sendall(self, data: Any, _flags: int = 0, /) -> None:
        """Send what fits at once and buffer the rest; wait only for a reader that is far behind.

        Raises TimeoutError if the client has read nothing for `STALLED_SECONDS`.
        """
        self.unsent += data
        self.flush()
        while len(self.unsent) > UNSENT_BYTES:
            writable = select.poll()
            writable.register(self, select.POLLOUT)
            if not writable.poll(STALLED_SECONDS * 1000):
                raise TimeoutError("the client does not read its response")
            self.flush()

    def flush(self) -> None:
        """Send without blocking."""
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.send(self.unsent)]

    def close(self) -> None:
        """Leave closing to the loop, which watches the socket; gunicorn calls this after a failed response."""
        self.setblocking(False)

    def discard(self) -> None:
        """Close the socket."""
        super().close()

    @property
    def is_busy(self) -> bool:
        """Whether a part of a request has arrived, or a part of a response is unsent."""
        return bool(self.received or self.unsent) or self.request is not None

    def parse_head(self, config: Any) -> bool:
        """Parse the head of a request; return False while it is incomplete, raise gunicorn's errors."""
        end = self.received.find(HEAD_END, max(0, self.searched - len(HEAD_END) + 1))
        if end < 0:
            self.searched = len(self.received)
            return False
        head = bytes(self.received[: end + len(HEAD_END)])
        del self.received[: len(head)]
        self.parser = RequestParser(config, [head], self.client)
        self.searched = 0
        self.request = next(self.parser)
        self.pool = _pool(self.request.method, unquote_to_wsgi_str(self.request.path))
        return True

    def refuse(self, status: int, message: str) -> None:
        """Send a response of the server itself, without blocking."""
        body = orjson.dumps({"error": message, "status": status})
        self.unsent += (
            b"HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: %d\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s"
            % (status, HTTP_STATUS_CODES[status].encode(), RETRY_SECONDS, len(body), body)
        )
        self.flush()

    def body_end(self) -> int | None:
        """Return the end of the body in the received bytes; None while it is incomplete."""
        length = getattr(self.request.body.reader, "length", None)
        if length is None:  # chunked; the parser notices a false end
            end = bytes(self.received[-7:])
            return len(self.received) if end in (b"\r\n0\r\n\r\n", b"0\r\n\r\n") else None
        return length if len(self.received) >= length else None


def _pool(method: str, path: str) -> str:
    if path == "/api/stream":
        return "stream"
    if path in HEALTH:
        return "health"
    if method == "POST" and path in INGEST:
        return "ingest"
    return "download" if path.endswith(DOWNLOADS) else "page"
