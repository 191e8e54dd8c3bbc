"""What the tests of `fraudstream store` share on both databases: a store with everything in it, and what it holds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import func, select

from commands import command_line
from dashboards import Clock, alert
from dead_letters import dead_letter
from fraudstream.cli.store import store as store_commands
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.runtime.processes import wait_until
from fraudstream.store import tables
from fraudstream.store.changes import Actor, broken_links
from fraudstream.store.database import read_store
from fraudstream.store.filters import AlertFilter
from fraudstream.store.full_text import Text
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus

OLD_DAYS = 100
MANY = 2_500


def run(*arguments: object) -> Result:
    """Run a command of the group; an error is raised."""
    return CliRunner().invoke(store_commands, [str(each) for each in arguments], catch_exceptions=False)


def fill(store: AlertStore, clock: Clock, old: int = 4) -> None:
    """Store `old` alerts and a superseded transaction, one of them triaged, and as much `OLD_DAYS` later."""
    triage = TriageService(store)
    for first in (1, 1 + old + 10):
        unscorable = alert(first, outcome="unscorable", score=None, transaction={"shop": f"superseded{first}"})
        store.add_alerts([unscorable])
        store.add_alerts([alert(first, transaction=unscorable["transaction"])])
        store.add_alerts(
            [alert(first + n, transaction={"shop": f"shop{first + n}", "a": "x\x00y é"}) for n in range(1, old)]
        )
        store.add_alerts([{"alert_id": f"rejected {first}"}])
        store.add_events([{"type": kind, "event_id": f"{kind}-{first}"} for kind in ("query", "audit_head")])
        store.add_dead_letters([dead_letter(first, b"[1")])
        ReasonStore(store.database).add({store.latest_seq() - 1: {"reasons": []}}, clock())
        triage.claim(Actor("Ann"), [f"id-{first + 1}"])
        triage.verdict(Actor("Ann"), [f"id-{first + 1}"], AlertStatus.FALSE_ALARM, note="a refund")
        clock.forward(OLD_DAYS * 86_400)


def rows(url: str) -> dict[str, int]:
    """The number of rows of each table."""
    with read_store(url) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
        }


def labels(url: str) -> list[tuple[Any, ...]]:
    """The content of each label, without its number."""
    with read_store(url) as connection:
        _, *columns = tables.labels.c
        return sorted(map(tuple, connection.execute(select(*columns))))


def trail_is_unbroken(url: str) -> bool:
    with read_store(url) as connection:
        return list(broken_links(connection)) == []


def ids_with(store: AlertStore, typed: str) -> list[str]:
    """The ids of the alerts that a search for words finds."""
    page = store.search.page(AlertFilter(outcome=None, text=Text.parse(f"{typed} ")))
    return sorted(each.document()["alert_id"] for each in page.alerts)


def open_and(url: str, use: Callable[[AlertStore], Any]) -> Any:
    with closing(AlertStore.open(url)) as store:
        return use(store)


def kill_while_it_copies(source: str, target: str) -> int:
    """Kill `store copy` once it has copied some alerts; returns how many there are."""
    arguments = command_line("store", "copy", "--database", source, "--to", target)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def alerts() -> int:
        try:
            return rows(target)["alerts"]
        except Exception:  # it has not made the tables yet
            return 0

    try:
        assert wait_until(lambda: alerts() > 0 or process.poll() is not None, 60)
    finally:
        process.kill()
        output, _ = process.communicate()
    assert process.returncode < 0, output
    return alerts()
