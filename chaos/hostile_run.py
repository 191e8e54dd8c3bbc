"""Hostile records through running processes, between frauds: what arrived, how late, and what an audit says of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import urllib3
from benchmarks.system.material import FRAUDSTREAM
from benchmarks.system.percentiles import quantiles

from chaos.hostile import Hostile, Sent, send_between_frauds, stored_alerts

FRAUD_EVERY: Final = 20
ARRIVE_SECONDS: Final = 1_800.0
"""A machine that others use too can be twenty times slower than by itself."""
BATCH: Final = ("--batch-interval", "10 seconds")
"""For the detector: the ledger has an entry for each batch."""


class RunningSystem(Protocol):
    """Broker, detector, relay and dashboard, of a benchmark or of a demo."""

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""

    @property
    def url(self) -> str:
        """The dashboard's address."""

    @property
    def database(self) -> str:
        """The URL of the alert store."""

    @property
    def environment(self) -> Mapping[str, str]:
        """That of its processes."""

    def wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Wait until a condition holds; whether it did."""


def run_through(
    system: RunningSystem, records: Iterator[Hostile], fraud: bytes, *, rate: float, name: str
) -> dict[str, Any]:
    """Send records between frauds, wait for what must arrive, and tell what did."""
    sent = send_between_frauds(system.bootstrap, records, fraud, every=FRAUD_EVERY, rate=rate, name=name)
    expected = {*sent.frauds, *sent.alerts}
    arrived = system.wait(ARRIVE_SECONDS, lambda: expected <= stored_alerts(system.database).keys())
    stored = stored_alerts(system.database)
    delays = [stored[identity] for identity in sent.frauds if identity in stored]
    return {
        "records": sent.hostile,
        "megabytes": round(sent.size / 1e6, 1),
        "refused_by_kafka": len(sent.refused),
        "frauds_between": len(sent.frauds),
        "frauds_arrived": len(delays),
        "hostile_frauds": len(sent.alerts),
        "hostile_frauds_arrived": len(sent.alerts.keys() & stored.keys()),
        "all_arrived": arrived,
        "missing": _missing(sent, set(stored)),
        "delay_of_the_frauds_between_ms": quantiles(delays, (50, 90, 99)),
    }


def _missing(sent: Sent, stored: set[str]) -> list[str]:
    return sorted({sent.alerts.get(each, "a fraud between") for each in {*sent.frauds, *sent.alerts} - stored})


def audited(system: RunningSystem) -> dict[str, Any]:
    """What `fraudstream audit` says once the last batch is accounted for: its exit code and its last line."""
    http = urllib3.PoolManager()

    def accounted() -> bool:
        ledger = http.request("GET", f"{system.url}/api/ledger").json()
        stats = http.request("GET", f"{system.url}/api/stats").json()
        return bool(ledger["complete"] and ledger["totals"]["records"] == stats["payments_seen"])

    complete = system.wait(ARRIVE_SECONDS, accounted)
    totals = http.request("GET", f"{system.url}/api/ledger").json()["totals"]
    command = [
        *FRAUDSTREAM, "audit", "--bootstrap-servers", system.bootstrap,
        "--database", system.database,
    ]  # fmt: skip
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(system.environment))
    return {
        "ledger_complete": complete,
        "totals": totals,
        "audit_exit_code": process.returncode,
        "rejected": http.request("GET", f"{system.url}/api/stats").json()["rejected"],
        "audit": (process.stdout + process.stderr).strip().splitlines()[-1:],
    }
