"""Plays one round: starts the system, lets the faults happen at random moments, and has the checker look at the end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.study import new_database
from benchmarks.system.schema_registry import avro_encoder, is_avro
from sqlalchemy.exc import DBAPIError

from chaos import disks
from chaos.checker import Expected, Findings, check, outcome_of_each_record
from chaos.data import FRAUDSTREAM, Payments
from chaos.evidence import Sent, Store, partitions_since, read_input, read_objects, read_store
from chaos.faults import Fault, Impossible
from chaos.ledger_check import LedgerFindings, check_ledger
from chaos.mixer import Mixed, Mixer
from chaos.plan import Round
from chaos.recovery import Aftermath, Attempt, aftermaths
from chaos.system import PRODUCER, Layout, System, running_system
from fraudstream.cli.entry import cli
from fraudstream.config import ENVIRONMENT_PREFIX
from fraudstream.kafka.progress import RunProgress, read_progress
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.transactions.wire import EventField, EventType, Topic, event_id

BATCH_INTERVAL: Final = f"{ENVIRONMENT_PREFIX}BATCH_INTERVAL"
PARTITIONS: Final = 2
WARM_UP_SECONDS: Final = 3.0
LEAST_GAP: Final = 0.5
LONGEST_GAP: Final = 3.0
RECOVERY_SECONDS: Final = 300.0
"""How long a step waits for the system to be well before it goes on; what is measured comes from the records."""
DRAIN_SECONDS: Final = 300.0
SETTLE_SECONDS: Final = 2.0
AUDIT_SECONDS: Final = 300.0

Say = Callable[[str], None]


@dataclass
class RoundResult:
    """What a round showed.

    Attributes:
        round: What was played.
        rows: Rows of the producer that are settled.
        records: Records on the input topic.
        mixed: What was sent between.
        findings: The checker's.
        ledger: What the checker found in the ledger; None where this release writes none.
        aftermaths: Of each attempt.
        not_tried: Faults that were not, and why.
        query_failures: What the detector said of each failure of its query.
        audits: By command, the exit code.
        starts: By process, how often it was started.
    """

    round: Round
    rows: int = 0
    records: int = 0
    must_be_stored: int = 0
    mixed: Mixed = field(default_factory=Mixed)
    findings: Findings = field(default_factory=Findings)
    ledger: LedgerFindings | None = None
    aftermaths: list[Aftermath] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)
    query_failures: list[str] = field(default_factory=list)
    audits: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)


@dataclass
class Player:
    """Plays rounds one after the other.

    Attributes:
        folder: For what the rounds leave.
        payments: What is streamed.
        environment: That the processes inherit.
        deadline: On the monotonic clock: no further fault is begun after it.
        say: Called with one line for each event.
        server: The URL of a PostgreSQL server, in which each round has a database; empty for SQLite files.
    """

    folder: Path
    payments: Payments
    environment: Mapping[str, str]
    deadline: float
    say: Say
    server: str = ""

    def play(self, number: int, each: Round, seed: int) -> RoundResult:
        """Play a round in a folder of its own."""
        interval = {} if each.batch_interval is None else {BATCH_INTERVAL: each.batch_interval}
        environment = {**self.environment, **interval}
        on_server = new_database(self.server) if self.server else ""
        layout = Layout(self.folder / f"round-{number}", self.payments, each.rate, each.trigger, environment, on_server)
        layout.folder.mkdir(parents=True)
        try:
            if each.small_disks and (why_not := disks.mount_volumes(layout)):
                raise SystemExit(f"the small disks cannot be had: {why_not}")
            with running_system(layout) as system:
                return self._play(system, each, seed)
        finally:
            if each.small_disks:
                disks.unmount_volumes(layout)

    def _play(self, system: System, each: Round, seed: int) -> RoundResult:
        result, chance = RoundResult(each), Random(seed)
        envelope = self.environment.get(f"{ENVIRONMENT_PREFIX}ENVELOPE", "")
        encode = avro_encoder(self.payments.source) if is_avro(self.environment) else bytes
        mixer = Mixer(system.bootstrap, self.payments, system.layout.progress, each.mixture, seed, encode, envelope)
        began = time.monotonic()
        system.produce()
        mixer.start()
        system.wait(WARM_UP_SECONDS)
        attempts = [
            attempt for step in each.steps if (attempt := self._attempt(system, step, chance, result)) is not None
        ]
        left = began + each.least_seconds - time.monotonic()
        system.wait(max(left, 0.0))
        # What a producer that is just being started again had acknowledged before, it has yet to find out.
        system.await_ready(PRODUCER)
        system.wait(SETTLE_SECONDS)
        system.hold_down(PRODUCER)
        result.mixed = mixer.finish()
        run = self._progress(system)
        result.rows = run.settled
        self._check(system, run, attempts, result)
        return result

    def _attempt(self, system: System, step: tuple[Fault, ...], chance: Random, result: RoundResult) -> Attempt | None:
        name = " + ".join(fault.name for fault in step)
        if time.monotonic() > self.deadline:
            result.not_tried[name] = "the time was up"
            return None
        system.wait(chance.uniform(LEAST_GAP, LONGEST_GAP))
        moments, injected, why_not = [], [], ""
        try:
            for fault in step:
                moments.append(fault.inject(system))
                injected.append((time.monotonic() + fault.lasts, fault))
        except Impossible as e:
            why_not = str(e)
        for due, fault in sorted(injected, key=lambda pair: pair[0]):
            system.wait(max(due - time.monotonic(), 0.0))
            if (moment := fault.heal(system)) is not None:
                moments.append(moment)
        if why_not:
            result.not_tried[name] = why_not
            return None
        attempt = Attempt(name, min(moments), max(moments), [note for fault in step for note in fault.notes])
        well = system.wait(
            RECOVERY_SECONDS,
            lambda: partitions_since(system.layout.database, attempt.moment) >= PARTITIONS,
            every=0.25,
        )
        self.say(f"  {name}: {'well again' if well else 'NOT well'} after {time.time() - attempt.moment:.1f} s")
        return attempt

    def _progress(self, system: System) -> RunProgress:
        run = read_progress(system.layout.progress, self.payments.source.fingerprint)
        if run is None:
            raise SystemExit(f"the producer left no progress in {system.layout.progress}")
        return run

    def _expected(self, run: RunProgress, mixed: Mixed) -> Expected:
        rows, fingerprint = len(self.payments.verdicts), run.fingerprint
        own = {
            event_id(run.run_id, fingerprint, number // rows, number % rows): self.payments.verdicts[number % rows]
            for number in range(run.settled)
        }
        return Expected(own | mixed.ids, mixed.places)

    def _check(self, system: System, run: RunProgress, attempts: list[Attempt], result: RoundResult) -> None:
        expected, records = self._expected(run, result.mixed), read_input(system.bootstrap)
        store = _drained(system, expected, records)
        result.records = len(records)
        result.findings = check(expected, records, store)
        produced = _first_produced(records, expected, result.mixed)
        result.must_be_stored = len(expected.stored_ids)
        stored = {row.alert_id: row.at for row in store.rows}
        result.aftermaths = aftermaths(attempts, produced, stored, expected.stored_ids, result.findings)
        result.query_failures = [
            event[EventField.MESSAGE]
            for event in read_objects(system.bootstrap, Topic.EVENTS)
            if event.get(EventField.TYPE) == EventType.QUERY and "failed" in event.get(EventField.MESSAGE, "")
        ]
        result.starts = {name: child.starts for name, child in system.children.items()}
        self._check_ledger(system, expected, records, store, result)
        self._audit(system, result)

    def _check_ledger(
        self, system: System, expected: Expected, records: list[Sent], store: Store, result: RoundResult
    ) -> None:
        entries = [LedgerEntry.model_validate(entry) for entry in read_objects(system.bootstrap, Topic.LEDGER)]
        if entries and result.findings.all_well:
            result.ledger = check_ledger(entries, outcome_of_each_record(expected, records, store))

    def _audit(self, system: System, result: RoundResult) -> None:
        """Have the product's own audits look, both at the same time."""
        if "audit" not in cli.commands:
            return
        arguments = [
            "--bootstrap-servers", system.bootstrap, "--database", system.layout.database,
            "--model", str(self.payments.model),
        ]  # fmt: skip
        running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("audit", "audit --deep"):
            with system.layout.log(name.replace(" ", "")).open("ab") as output:
                running[name] = subprocess.Popen(
                    [*FRAUDSTREAM, *name.split(), *arguments],
                    stdout=output,
                    stderr=output,
                    env=dict(self.environment),
                )
        system.wait(AUDIT_SECONDS, lambda: all(process.poll() is not None for process in running.values()))
        for name, process in running.items():
            if process.poll() is None:
                process.kill()
            result.audits[name] = process.wait()


def _first_produced(records: list[Sent], expected: Expected, mixed: Mixed) -> dict[str, float]:
    """When each row of the running producer was produced; of rows that were sent again, the first time."""
    produced: dict[str, float] = {}
    for record in records:
        name = record.event_id
        if name is not None and name in expected.rows and name not in mixed.ids and record.place not in mixed.places:
            produced[name] = min(record.at, produced.get(name, record.at))
    return produced


def _drained(system: System, expected: Expected, records: list[Sent]) -> Store:
    """The store once it holds all that it should, or once it has had two minutes for it."""
    snapshots: list[Store] = []

    def is_complete() -> bool:
        try:
            store = read_store(system.layout.database)
        except DBAPIError:
            return False
        snapshots[:] = [store]
        findings = check(expected, records, store)
        return not findings.lost and not findings.dead_letters_lost

    system.wait(DRAIN_SECONDS, is_complete, every=1.0)
    # What is there twice, or should not be there, may come a little later.
    system.wait(SETTLE_SECONDS)
    is_complete()
    if not snapshots:
        raise SystemExit(f"the alert store cannot be read: {system.layout.database}")
    return snapshots[0]
