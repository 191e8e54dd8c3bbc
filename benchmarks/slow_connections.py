"""Measures `/health` and posts of one alert while slow clients hold connections of a real dashboard process.

    python -m benchmarks.slow_connections --connections 0 300 1000 --seconds 10

The clients are of six kinds in equal shares: silent, headers and bodies that come a byte a second, kept alive and idle,
asking for pages and never reading them, and live streams that are never read. None has a token. What is measured
waits `TIMEOUT_SECONDS` at most; what took longer is counted as unanswered. `--streams` viewers read meanwhile.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import urllib3

from benchmarks import study
from benchmarks.storm_parts import alert
from benchmarks.streams import Viewer, streams
from benchmarks.system.machine import circumstances, load, write_result
from benchmarks.system.percentiles import summary
from benchmarks.system.resources import Usage

TIMEOUT_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 3.0
HOST: Final = b"Host: localhost\r\n"
JSON: Final = {"Content-Type": "application/json"}
OPENINGS: Final = (
    b"",
    b"GET /health HTTP/1.1\r\n" + HOST + b"X-Slow: ",
    b"POST /api/alerts HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n",
    (b"GET /static/js/format.js HTTP/1.1\r\n" + HOST + b"\r\n") * 5,
    b"GET /api/stream HTTP/1.1\r\n" + HOST + b"\r\n",
)
DRIPPING: Final = (1, 2)


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[None]:
    """So many slow clients, each of which comes again when it is cut off."""
    ended = threading.Event()
    place = urlsplit(url)
    address = (str(place.hostname), int(place.port or 80))

    def connect(number: int) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(address)
        client.setblocking(False)
        client.send(OPENINGS[number % len(OPENINGS)])
        return client

    def run() -> None:
        clients: dict[int, socket.socket] = {}
        while not ended.wait(0 if len(clients) < count else 1):
            for number in range(count):
                try:
                    if number not in clients:
                        clients[number] = connect(number)
                        all_connected.release()
                    elif number % len(OPENINGS) in DRIPPING:
                        clients[number].send(b"x")
                except OSError:
                    with suppress(KeyError):
                        clients.pop(number).close()
        for client in clients.values():
            client.close()

    all_connected = threading.Semaphore(0)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(count):
            all_connected.acquire(timeout=60)
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def reading(viewers: list[Viewer]) -> Iterator[None]:
    """Read all of these streams for so long."""
    ended = threading.Event()

    def read() -> None:
        with selectors.DefaultSelector() as ready:
            for viewer in viewers:
                viewer.stream.setblocking(False)
                ready.register(viewer.stream, selectors.EVENT_READ, viewer)
            while not ended.is_set():
                for key, _ in ready.select(0.2):
                    if not key.data.read(time.time()):
                        ready.unregister(key.fileobj)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def timed(ask: Callable[[], urllib3.BaseHTTPResponse], times: list[float]) -> int:
    """How long an answer took; 1 where there was none."""
    began = time.perf_counter()
    try:
        answer = ask()
    except urllib3.exceptions.HTTPError:
        return 1
    times.append(time.perf_counter() - began)
    return int(answer.status != 200)


def measure(slow: int, viewers_count: int, seconds: float) -> dict[str, Any]:
    """One run beside so many slow clients."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-slow-") as folder, study.dashboard(Path(folder)) as (url, pid):
        before, usage = load(), Usage()
        times: dict[str, list[float]] = {"health": [], "post": []}
        sent: dict[int, float] = {}
        unanswered = {"health": 0, "post": 0}
        with (
            streams(url, viewers_count) as opened,
            reading(viewers := [Viewer(each) for each in opened]),
            slow_clients(url, slow),
            urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS) as pool,
        ):
            time.sleep(SETTLE_SECONDS)
            usage.begin({"dashboard": pid})
            began = time.monotonic()
            number = 0
            while time.monotonic() < began + seconds:
                number += 1
                body = orjson.dumps([alert(number)])
                sent[number] = time.time()
                unanswered["post"] += timed(
                    lambda body=body: pool.request("POST", f"{url}/api/alerts", body=body, headers=JSON),  # type: ignore[misc]
                    times["post"],
                )
                # A connection of its own each time: what a supervisor does.
                with urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS) as fresh:
                    unanswered["health"] += timed(
                        lambda fresh=fresh: fresh.request("GET", f"{url}/health"),  # type: ignore[misc]
                        times["health"],
                    )
                time.sleep(0.05)
            usage.end({"dashboard": pid})
            time.sleep(1)
        delays = [
            viewer.arrivals[each] - at for viewer in viewers for each, at in sent.items() if each in viewer.arrivals
        ]
        return {
            "slow_connections": slow,
            "streams": viewers_count,
            "health": summary(times["health"]) if times["health"] else None,
            "post": summary(times["post"]) if times["post"] else None,
            "to_a_viewer": summary(delays) if delays else None,
            "unanswered": unanswered,
            "cpu_seconds_per_1000_alerts": usage.cpu_per_1000(len(sent)),
            "load_before": before,
        }


def main() -> None:
    """Measure each number of slow connections and write the JSON."""
    parser = study.parser(__doc__, "slow_connections")
    parser.add_argument("--connections", type=int, nargs="+", default=[0, 300, 1000])
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--label", default="", help="names the server that was measured, such as before or after")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
    runs = orjson.loads(arguments.output.read_bytes())["runs"] if arguments.output.exists() else []
    runs = [run for run in runs if run["label"] != arguments.label]
    for count in arguments.connections:
        runs.append({"label": arguments.label, **measure(count, arguments.streams, arguments.seconds)})
        sys.stdout.write(f"{orjson.dumps(runs[-1]).decode()}\n")
        write_result(arguments.output, {**circumstances(), "runs": runs})


if __name__ == "__main__":
    main()
