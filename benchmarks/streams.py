"""Measures many viewers: 200 live streams of a real dashboard process, 20 of which never read, while alerts arrive.

    python -m benchmarks.streams --streams 200 --silent 20 --rate 20 --seconds 60 [--server URL --dashboards 2]

With `--server` the dashboards share a database on that PostgreSQL server, each has its part of the streams, and the
alerts are posted to each in turn.

A viewer's time is that from just before the alert is posted until its line of the stream was read: by one thread that
waits for all the sockets at once, so that 200 readers do not take the machine from what is measured.
"""

from __future__ import annotations

import argparse
import re
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import urllib3

from benchmarks import study
from benchmarks.storm_parts import alert
from benchmarks.system.machine import circumstances, load, write_result
from benchmarks.system.percentiles import summary
from benchmarks.system.resources import Usage

ALERT: Final = re.compile(rb'"alert_id":"storm-(\d+)"')
CHUNK: Final = 1 << 20
SETTLE_SECONDS: Final = 3.0
LATE_SECONDS: Final = 10.0


class Viewer:
    """One that reads; what it has of a line that is not whole yet stays until the rest comes."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.arrivals: dict[int, float] = {}
        self._rest = b""

    def read(self, at: float) -> bool:
        """Take what is there; False at the end of the stream."""
        try:
            chunk = self.stream.recv(CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            match = ALERT.search(line[:4096])
            if line.startswith(b"data: ") and match:
                self.arrivals.setdefault(int(match[1]), at)
        return True


@contextmanager
def streams(url: str, count: int) -> Iterator[list[socket.socket]]:
    """So many open streams, of which nothing was read."""
    place = urlsplit(url)
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            stream = socket.create_connection((str(place.hostname), int(place.port or 80)), timeout=10)
            # A small window: one that never reads is felt by the server at once, not after megabytes.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            stream.sendall(f"GET /api/stream HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            opened.append(stream)
        yield opened
    finally:
        for stream in opened:
            stream.close()


def watch(viewers: Sequence[Viewer], ended: threading.Event) -> None:
    """Read all of them until `ended`."""
    with selectors.DefaultSelector() as ready:
        for viewer in viewers:
            viewer.stream.setblocking(False)
            ready.register(viewer.stream, selectors.EVENT_READ, viewer)
        while not ended.is_set():
            for key, _ in ready.select(0.2):
                if not key.data.read(time.time()):
                    ready.unregister(key.fileobj)


@contextmanager
def dashboards(folder: Path, number: int, server: str) -> Iterator[dict[str, int]]:
    """So many dashboards; yields the pid that answers at each address."""
    settings = {"database": study.new_database(server)} if server else {}
    with ExitStack() as stack:
        pids = {}
        for each in range(number):
            own = folder / str(each)
            own.mkdir()
            url, pid = stack.enter_context(study.dashboard(own, **settings))
            pids[url] = pid
        yield pids


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One run: times of all who read, and what the server took."""
    count, silent, rate, seconds = arguments.streams, arguments.silent, arguments.rate, arguments.seconds
    with (
        tempfile.TemporaryDirectory(prefix="fraudstream-streams-") as folder,
        dashboards(Path(folder), arguments.dashboards, arguments.server) as pids,
        ExitStack() as stack,
    ):
        before, urls = load(), list(pids)
        processes = {f"dashboard {number}": pid for number, pid in enumerate(pids.values(), 1)}
        if len(processes) == 1:
            processes = {"dashboard": pids[urls[0]]}
        parts = [stack.enter_context(streams(url, count // len(urls))) for url in urls]
        opened = [stream for part in zip(*parts, strict=True) for stream in part]
        viewers, ended, usage = [Viewer(each) for each in opened[silent:]], threading.Event(), Usage()
        reader = threading.Thread(target=watch, args=(viewers, ended))
        reader.start()
        time.sleep(SETTLE_SECONDS)
        usage.begin(processes)
        sent = post(urls, rate, seconds, lambda: usage.look(processes))
        deadline = time.monotonic() + LATE_SECONDS
        while time.monotonic() < deadline and any(len(viewer.arrivals) < len(sent) for viewer in viewers):
            time.sleep(0.05)
        usage.end(processes)
        ended.set()
        reader.join()
        times = [
            viewer.arrivals[number] - at
            for viewer in viewers
            for number, at in sent.items()
            if number in viewer.arrivals
        ]
        return {
            "streams": count,
            "dashboards": len(urls),
            "database": "postgresql" if arguments.server else "sqlite",
            "never_read": silent,
            "rate": rate,
            "seconds": seconds,
            "to_a_viewer": summary(times),
            "missing": len(viewers) * len(sent) - len(times),
            "memory": usage.memory(),
            "cpu_seconds_per_1000_alerts": usage.cpu_per_1000(len(sent)),
            "load_before": before,
        }


def post(urls: Sequence[str], rate: float, seconds: float, each_second: Any) -> dict[int, float]:
    """Post alerts one by one when they are due; when each was."""
    sent: dict[int, float] = {}
    began = time.monotonic()
    with urllib3.PoolManager(retries=False, timeout=60) as pool:
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            if number % round(rate) == 0:
                each_second()
            body = orjson.dumps([alert(number)])
            sent[number] = time.time()
            url = f"{urls[number % len(urls)]}/api/alerts"
            answer = pool.request("POST", url, body=body, headers={"Content-Type": "application/json"})
            if answer.status != 200:
                raise SystemExit(f"the dashboard answered {answer.status}: {answer.data!r}")
    return sent


def main() -> None:
    """Run it so often and write the JSON."""
    parser = study.parser(__doc__, "streams")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--silent", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dashboards", type=int, default=1)
    parser.add_argument("--server", default="", help="URL of a PostgreSQL server, whose user may create databases")
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.repeats):
        runs.append(measure(arguments))
        sys.stdout.write(f"{orjson.dumps(runs[-1]['to_a_viewer']).decode()}\n")
    write_result(arguments.output, {**circumstances(), "runs": runs})


if __name__ == "__main__":
    main()
