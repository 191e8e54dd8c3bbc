"""A TCP proxy on loopback whose line can be cut, slowed or silenced; which lines there are says `system.py`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from fraudstream.runtime.processes import LOOPBACK

DELAY_SECONDS: Final = 0.2
BYTES_A_SECOND: Final = 64 * 1024

_CHUNK: Final = 16 * 1024
_MOST_CHUNKS_UNDERWAY: Final = 4
_LOOK_SECONDS: Final = 0.05


class Line(StrEnum):
    """How a proxy treats its connections."""

    OPEN = "open"
    CUT = "cut"
    """Those that there are get a reset, and so does whoever connects."""
    SLOW = "slow"
    """Each way takes 200 ms and carries 64 KB a second."""
    SILENT = "silent"
    """They stay, and nothing passes either way: what a firewall does that drops packets."""


class Proxy:
    """One listening port and where it leads.

    Args:
        target: The port on loopback that connections are passed to.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.carried = 0
        self.line = Line.OPEN
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Begin to listen on a port; 0 takes a free one."""
        server = await asyncio.start_server(self._connected, LOOPBACK, port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def set_line(self, line: Line) -> None:
        """Change how connections are treated, from now on; call it in the loop's thread."""
        self.line = line
        if line is Line.CUT:
            for writer in list(self._writers):
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.line is Line.CUT:
                writer.transport.abort()
                return
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._writers.discard(writer)
        both = (writer, far_writer)
        self._writers.update(both)
        ways = [
            asyncio.create_task(self._carry(reader, far_writer)),
            asyncio.create_task(self._carry(far_reader, writer)),
        ]
        try:
            # One side that ended is the end of both: neither Kafka nor HTTP speaks through half a connection.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in both:
                self._writers.discard(each)
                each.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, each piece when it is due, until the sender closes."""
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS_UNDERWAY)
        delivering = asyncio.create_task(self._deliver(underway, writer))
        clock, due = asyncio.get_running_loop().time, 0.0
        try:
            with contextlib.suppress(OSError):
                while piece := await reader.read(_CHUNK):
                    if self.line is Line.SLOW:
                        due = max(clock() + DELAY_SECONDS, due) + len(piece) / BYTES_A_SECOND
                    await underway.put((due if self.line is Line.SLOW else 0.0, piece))
                await underway.put((0.0, b""))
                await delivering
        finally:
            delivering.cancel()

    async def _deliver(self, underway: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, piece = await underway.get()
            if not piece:
                return
            while self.line is Line.SILENT or (self.line is Line.SLOW and clock() < due):
                await asyncio.sleep(_LOOK_SECONDS if self.line is Line.SILENT else max(0.0, due - clock()))
            self.carried += len(piece)
            writer.write(piece)
            with contextlib.suppress(OSError):
                await writer.drain()


class Proxies:
    """Several proxies on one event loop, in a thread of its own; `running` makes them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: list[asyncio.Server] = []

    def add(self, target: int) -> Proxy:
        """A proxy that listens already."""
        proxy = Proxy(target)
        self._servers.append(asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(10))
        return proxy

    def set_line(self, proxy: Proxy, line: Line) -> None:
        """Change a proxy's line; done when it returns."""

        async def change() -> None:
            proxy.set_line(line)

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)

    async def close(self) -> None:
        """Listen no more and end what is underway."""
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def running() -> Iterator[Proxies]:
    """A loop for proxies; at the end of the block all their connections are gone."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    proxies = Proxies(loop)
    try:
        yield proxies
    finally:
        asyncio.run_coroutine_threadsafe(proxies.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
