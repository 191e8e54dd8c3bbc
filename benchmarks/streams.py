"""Measures many viewers: 200 live streams of a real dashboard process, 20 of which never read, while alerts arrive.

    python -m benchmarks.streams --streams 200 --silent 20 --rate 20 --seconds 60

A viewer's time is that from just before the alert is posted until its line of the stream was read: by one thread that
waits for all the sockets at once, so that 200 readers do not take the machine from what is measured.
"""

from __future__ import annotations

import re
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


def measure(count: int, silent: int, rate: float, seconds: float) -> dict[str, Any]:
    """One run: times of all who read, and what the server took."""
    with (
        tempfile.TemporaryDirectory(prefix="fraudstream-streams-") as folder,
        study.dashboard(Path(folder)) as (url, pid),
    ):
        before = load()
        with streams(url, count) as opened:
            viewers, ended, usage = [Viewer(each) for each in opened[silent:]], threading.Event(), Usage()
            reader = threading.Thread(target=watch, args=(viewers, ended))
            reader.start()
            time.sleep(SETTLE_SECONDS)
            usage.begin({"dashboard": pid})
            sent = post(url, rate, seconds, lambda: usage.look({"dashboard": pid}))
            deadline = time.monotonic() + LATE_SECONDS
            while time.monotonic() < deadline and any(len(viewer.arrivals) < len(sent) for viewer in viewers):
                time.sleep(0.05)
            usage.end({"dashboard": pid})
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
            "never_read": silent,
            "rate": rate,
            "seconds": seconds,
            "to_a_viewer": summary(times),
            "missing": len(viewers) * len(sent) - len(times),
            "memory": usage.memory(),
            "cpu_seconds_per_1000_alerts": usage.cpu_per_1000(len(sent)),
            "load_before": before,
        }


def post(url: str, rate: float, seconds: float, each_second: Any) -> dict[int, float]:
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
            answer = pool.request("POST", f"{url}/api/alerts", body=body, headers={"Content-Type": "application/json"})
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
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.repeats):
        runs.append(measure(arguments.streams, arguments.silent, arguments.rate, arguments.seconds))
        sys.stdout.write(f"{orjson.dumps(runs[-1]['to_a_viewer']).decode()}\n")
    write_result(arguments.output, {**circumstances(), "runs": runs})


if __name__ == "__main__":
    main()
