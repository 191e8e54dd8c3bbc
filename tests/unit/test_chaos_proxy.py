"""The proxy of the chaos suite: what passes, what is cut, what is slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from chaos.proxy import DELAY_SECONDS, Line, Proxies, Proxy, running

ANSWER_SECONDS = 10.0
SILENCE_SECONDS = 0.4


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = threading.Event()

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data)

        def accept() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        stopped.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    with running() as running_proxies:
        yield running_proxies


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=ANSWER_SECONDS)


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return read(connection, len(data))


def read(connection: socket.socket, length: int) -> bytes:
    answer = bytearray()
    while len(answer) < length:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        answer += piece
    return bytes(answer)


def test_an_open_line_carries_everything(proxies: Proxies, echo: int) -> None:
    proxy = proxies.add(echo)
    data = bytes(range(256)) * 4096
    with connect(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        answer = read(connection, len(data))
        sender.join()
    assert answer == data
    assert proxy.carried == 2 * len(data)


def test_a_cut_line_ends_connections_and_takes_no_new_ones_until_it_is_open(proxies: Proxies, echo: int) -> None:
    proxy = proxies.add(echo)
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxies.set_line(proxy, Line.CUT)
        with pytest.raises(ConnectionError):
            ask(connection, b"after")
    with connect(proxy) as connection, pytest.raises(ConnectionError):
        ask(connection, b"new")
    proxies.set_line(proxy, Line.OPEN)
    with connect(proxy) as connection:
        assert ask(connection, b"again") == b"again"


def test_a_slow_line_delays_both_ways(proxies: Proxies, echo: int) -> None:
    proxy = proxies.add(echo)
    proxies.set_line(proxy, Line.SLOW)
    with connect(proxy) as connection:
        began = time.monotonic()
        assert ask(connection, b"x") == b"x"
        assert time.monotonic() - began >= 2 * DELAY_SECONDS


def test_a_slow_line_carries_few_bytes_a_second(proxies: Proxies, echo: int) -> None:
    proxy = proxies.add(echo)
    proxies.set_line(proxy, Line.SLOW)
    with connect(proxy) as connection:
        began = time.monotonic()
        assert len(ask(connection, b"x" * 32_768)) == 32_768
        assert time.monotonic() - began >= 0.5


def test_a_silent_line_keeps_the_connection_and_passes_what_waited_once_it_is_open(proxies: Proxies, echo: int) -> None:
    proxy = proxies.add(echo)
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxies.set_line(proxy, Line.SILENT)
        connection.sendall(b"later")
        connection.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxies.set_line(proxy, Line.OPEN)
        connection.settimeout(ANSWER_SECONDS)
        assert read(connection, 5) == b"later"


def test_a_line_to_nobody_ends_the_connection(proxies: Proxies, echo: int) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = proxies.add(unused.getsockname()[1])
        with connect(proxy) as connection, pytest.raises(ConnectionError):
            ask(connection, b"x")
