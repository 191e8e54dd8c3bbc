"""Slow, silent and greedy clients of a real dashboard process: they delay nobody, and are cut off."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import orjson
import pytest
import urllib3

from dashboards import RunningDashboard, alert, running_dashboard
from fraudstream.runtime.processes import wait_until

CONNECTIONS = 1000
PROMPT_SECONDS = 15.0
"""On a machine that does much else; `benchmarks/slow_connections.py` measures it."""

SERVED_WITH = """
import functools
from fraudstream.dashboard import server
from fraudstream.dashboard.web.client_connection import Limits

server.serve = functools.partial(server.serve, limits=Limits({limits}))
"""
TOKENS = """
import os

os.environ |= {"FRAUDSTREAM_INGEST_TOKEN": "ingest-token-of-tests", "FRAUDSTREAM_READ_TOKEN": "read-token-of-tests"}
"""
HOST = b"Host: localhost\r\n"
POST = b"POST /api/alerts HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
STREAM = b"GET /api/stream HTTP/1.1\r\n" + HOST + b"\r\n"
STATIC = b"GET /static/js/format.js HTTP/1.1\r\n" + HOST + b"\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
SLOW_HEAD = b"GET /health HTTP/1.1\r\nX-Slow: "
SLOW_BODY = POST + b"Content-Length: 999\r\n\r\n["
OPENINGS = (b"", SLOW_HEAD, SLOW_BODY, HEALTH, STATIC * 5, STREAM)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    """A dashboard with short deadlines and few streams."""
    limits = "connections=50, streams=3, body_bytes=200_000, head_seconds=0.3, body_seconds=3.0"
    with running_dashboard(tmp_path_factory.mktemp("impatient"), first=SERVED_WITH.format(limits=limits)) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    """A dashboard with space for one large body, and the usual deadlines."""
    first = SERVED_WITH.format(limits="body_bytes=200_000")
    with running_dashboard(tmp_path_factory.mktemp("small"), first=first) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("guarded"), first=TOKENS) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("unguarded")) as dashboard:
        yield dashboard


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < limit:
        raise AssertionError(f"this test needs {limit} open files, and the machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Client:
    """A socket, and what has come over it."""

    def __init__(self, dashboard: RunningDashboard, opening: bytes = b"") -> None:
        self.socket = socket.socket()
        # A small window: one that never reads is felt by the server at once.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(15)
        self.socket.connect(("127.0.0.1", dashboard.port))
        self.socket.sendall(opening)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def answer(self) -> bytes:
        """All that comes until the server ends the connection."""
        pieces = []
        while piece := self.socket.recv(65_536):
            pieces.append(piece)
        return b"".join(pieces)

    def comes(self, part: bytes) -> bool:
        """Read until something came that holds `part`."""
        buffer = b""
        while part not in buffer:
            piece = self.socket.recv(65_536)
            if not piece:
                return False
            buffer += piece
        return True


@pytest.mark.parametrize("name", ["unguarded", "guarded"])
def test_a_thousand_slow_connections_delay_neither_health_nor_ingest(
    request: pytest.FixtureRequest, many_files: None, name: str
) -> None:
    dashboard: RunningDashboard = request.getfixturevalue(name)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer ingest-token-of-tests"}
    with ExitStack() as open_sockets:
        clients = [
            open_sockets.enter_context(Client(dashboard, OPENINGS[number % len(OPENINGS)]))
            for number in range(CONNECTIONS)
        ]
        for number in range(5):
            for client in clients[number::5]:
                with suppress(ConnectionError):  # who has no token may have been cut off
                    client.socket.send(b"x")
            with urllib3.PoolManager(retries=False, timeout=PROMPT_SECONDS) as pool:
                assert pool.request("GET", f"{dashboard.url}/health").status == 200
                posted = pool.request(
                    "POST", f"{dashboard.url}/api/alerts", body=orjson.dumps([alert(number)]), headers=headers
                )
                assert orjson.loads(posted.data)["accepted"] == 1


def test_headers_and_bodies_that_miss_their_deadline_are_cut(impatient: RunningDashboard) -> None:
    with Client(impatient, SLOW_HEAD) as head, Client(impatient, SLOW_BODY) as body:
        assert b" 408 Request Timeout\r\n" in head.answer()
        assert b" 408 Request Timeout\r\n" in body.answer()


def test_a_stream_beyond_the_limit_is_answered_503_with_retry_after(impatient: RunningDashboard) -> None:
    with ExitStack() as open_sockets:
        for _ in range(3):
            assert open_sockets.enter_context(Client(impatient, STREAM)).comes(b" 200 OK")
        answer = open_sockets.enter_context(Client(impatient, STREAM.replace(b"stream", b"%73tream"))).answer()
        assert b" 503 Service Unavailable\r\n" in answer
        assert b"\r\nRetry-After: 5\r\n" in answer
    assert wait_until(lambda: impatient.get("/api/stats")["viewers"] == 0, 60)
    with Client(impatient, STREAM) as freed:
        assert freed.comes(b" 200 OK")


def test_beyond_the_limit_the_oldest_waiting_connections_are_closed(impatient: RunningDashboard) -> None:
    with ExitStack() as open_sockets:
        idle = [open_sockets.enter_context(Client(impatient)) for _ in range(60)]
        assert idle[0].answer() == b""
        idle[-1].socket.sendall(HEALTH)
        assert idle[-1].comes(b" 200 OK")


def half_sent(client: Client, body: bytes) -> Client:
    assert client.comes(b" 100 Continue\r\n")  # who is not admitted yet is not looked at
    client.socket.sendall(body[:120_000])
    return client


def test_bodies_beyond_the_memory_limit_are_refused_oldest_first(small: RunningDashboard) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 150000\r\n\r\n"
    body = orjson.dumps([alert(7)]).rjust(150_000)
    with ExitStack() as open_sockets:
        # One after the other: who is admitted first is the older.
        first, second = (open_sockets.enter_context(half_sent(Client(small, head), body)) for _ in range(2))
        assert first.comes(b" 503 Service Unavailable\r\n")
        second.socket.sendall(body[120_000:])
        assert second.comes(b'"accepted":1')


def test_requests_in_one_piece_are_answered_in_order_on_one_connection(impatient: RunningDashboard) -> None:
    body = orjson.dumps([alert(11)])
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    last = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with Client(impatient, HEALTH + POST + length + body + last) as client:
        answers = client.answer()
        assert answers.count(b" 200 OK\r\n") == 3
        assert answers.index(b'"status":"ok"') < answers.index(b'"accepted":1') < answers.rindex(b'"status":"ok"')
    with Client(impatient, POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as chunked:
        assert b'"duplicates":1' in chunked.answer()


def test_a_large_body_is_asked_for_with_100_continue(impatient: RunningDashboard) -> None:
    body = orjson.dumps([alert(12)]).rjust(100_000)
    with Client(impatient, POST + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n") as client:
        assert client.comes(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.socket.sendall(body)
        assert client.comes(b'"accepted":1')


def test_malformed_and_endless_headers_are_answered_and_cut(impatient: RunningDashboard) -> None:
    for sent, status in ((b"nonsense\r\n\r\n", b" 400 "), (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b" 431 ")):
        with Client(impatient, sent) as client:
            assert status in client.answer()


def test_a_post_without_the_token_is_answered_401_before_its_body_comes(guarded: RunningDashboard) -> None:
    for expect in (b"", b"Expect: 100-continue\r\n"):
        with Client(guarded, POST + expect + b"Content-Length: 1000000\r\n\r\n[") as client:
            answer = client.answer()
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"\r\nConnection: close\r\n" in answer


def test_a_body_that_is_too_large_is_answered_413_before_it_comes(guarded: RunningDashboard) -> None:
    with Client(
        guarded, POST + b"Authorization: Bearer ingest-token-of-tests\r\nContent-Length: 99000000\r\n\r\n"
    ) as client:
        assert client.answer().startswith(b"HTTP/1.1 413 ")
