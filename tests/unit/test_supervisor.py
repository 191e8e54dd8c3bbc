"""The watch over the query, with a query that fails and models that change on request."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException

from fraudstream.detector import supervisor
from fraudstream.detector.checkpoint import lock_checkpoint
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.detector.partitions import PartitionWatch, QueryProbe
from fraudstream.detector.supervisor import Supervisor, wait_for_model
from fraudstream.errors import (
    CheckpointDamaged,
    DetectorError,
    FraudstreamError,
    KafkaFailure,
    ModelCorrupt,
    ModelNotFound,
    SchemaRegistryFailed,
)
from fraudstream.model.deployment.current import Deployment
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import DetectorState


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor looks at its query every second; here twenty times as often."""
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(supervisor, "READING_POLL_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_SECONDS", 0.025)


class Query:
    """A streaming query that is active until it is made to fail."""

    runId = "run-1"

    def __init__(self, error: PySparkException | None = None) -> None:
        self.error = error
        self.stopped = False

    @property
    def isActive(self) -> bool:
        return self.error is None and not self.stopped

    def exception(self) -> PySparkException | None:
        return self.error

    def stop(self) -> None:
        self.stopped = True


class Events:
    """Records reported events."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.states: list[tuple[str, str]] = []

    def set_state(self, state: DetectorState, why: str, deployment: Deployment | None) -> None:
        self.states.append((state.value, why))

    def write(self, kind: str, message: str, **details: Any) -> None:
        self.reports.append((kind, message))


class Keeper(LedgerKeeper):
    """A keeper that only counts its calls."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.looked_last = 0
        self.error: Exception | None = None

    def begin(self, deployment: Deployment) -> None:
        if self.error is not None:
            raise self.error
        self.begun.append(deployment.revision)

    def poll(self, query: Any, *, last: bool) -> bool:
        self.looked_last += last
        return False


class Partitions(PartitionWatch):
    """Wants what it is set to."""

    def __init__(self) -> None:
        self.partitions = 2
        self.needs_session = False
        self.needs_query = False

    def poll(self, query: Any) -> bool:
        needs_query, self.needs_query = self.needs_query, False
        return needs_query


class Probe(QueryProbe):
    """A query that reads and a Kafka that answers, as they are set."""

    def __init__(self) -> None:
        self.reading = threading.Event()
        self.reading.set()
        self.kafka = threading.Event()
        self.kafka.set()

    def is_reading(self, query: Any) -> bool:
        return self.reading.is_set()

    def positions(self, query: Any) -> dict[int, int]:
        return {}

    def kafka_answers(self) -> bool:
        return self.kafka.is_set()


class World:
    """An active model and the queries that were started with it."""

    def __init__(self, *queries: Query) -> None:
        self.deployment = Deployment("m-1", 0.5, revision=1, when=datetime(2026, 1, 1, tzinfo=UTC).isoformat())
        self.broken: FraudstreamError | None = None
        self.queries = list(queries)
        self.started: list[Deployment] = []
        self.events = Events()
        self.keeper = Keeper()
        self.partitions = Partitions()
        self.probe = Probe()
        self.ready = threading.Event()
        self.stop = threading.Event()
        self.ready_count = 0
        self.registry: FraudstreamError | None = None
        self.new_ids: list[int] = []

    def fetch_schemas(self) -> list[str]:
        if self.registry is not None:
            raise self.registry
        return ["schema id 7 is not in the registry"] if self.started else []

    def new_schema(self, error: Exception) -> int | None:
        return self.new_ids.pop() if self.new_ids else None

    def start(self, artifact: Any, deployment: Deployment) -> Any:
        self.started.append(deployment)
        return self.queries[min(len(self.started), len(self.queries)) - 1]

    def resolve(self) -> Any:
        if self.broken:
            raise self.broken
        return None, self.deployment

    def on_ready(self) -> None:
        self.ready_count += 1
        self.ready.set()

    def supervisor(self) -> Supervisor:
        return Supervisor(
            start=self.start,
            resolve=self.resolve,
            revision=lambda: self.deployment,
            probe=self.probe,
            keeper=self.keeper,
            partitions=self.partitions,
            events=self.events,  # type: ignore[arg-type]  # the two methods that are used
            on_ready=self.on_ready,
            fetch_schemas=self.fetch_schemas,
            new_schema=self.new_schema,
        )

    def run(self) -> threading.Thread:
        thread = threading.Thread(target=self.supervisor().run, args=(self.stop,))
        thread.start()
        return thread


def test_a_failed_query_is_started_again_and_the_failure_is_reported() -> None:
    world = World(Query(PySparkException("a task failed")), Query())
    thread = world.run()
    while world.ready_count < 2:
        world.ready.wait(10)
        world.ready.clear()
    world.stop.set()
    thread.join()
    assert [deployment.revision for deployment in world.started] == [1, 1]
    assert ("query", "the query failed and is restarted from its checkpoint: a task failed") in world.events.reports


def test_a_query_counts_as_running_once_it_reads() -> None:
    world = World(Query())
    world.probe.reading.clear()
    thread = world.run()
    assert not world.ready.wait(0.5)
    assert world.events.reports == []
    world.probe.reading.set()
    assert world.ready.wait(60)
    assert ("query", "the query is running") in world.events.reports
    world.stop.set()
    thread.join()


def test_a_query_that_fails_before_it_reads_is_started_again() -> None:
    world = World(Query(PySparkException("a task failed")), Query())
    world.probe.reading.clear()
    thread = world.run()
    while len(world.started) < 2:
        world.stop.wait(0.01)
    world.probe.reading.set()
    assert world.ready.wait(60)
    world.stop.set()
    thread.join()


def test_a_query_that_fails_at_each_start_ends_the_detector_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fraudstream.detector.supervisor.POLL_SECONDS", 0.0)
    monkeypatch.setattr("fraudstream.detector.supervisor.FIRST_BACKOFF_SECONDS", 0.0)
    world = World(Query(PySparkException("no such thing")))
    with pytest.raises(DetectorError, match="5 times in a row: no such thing"):
        world.supervisor().run(world.stop)


def test_a_new_revision_is_taken_by_starting_the_query_anew() -> None:
    first = Query()
    world = World(first, Query())
    thread = world.run()
    assert world.ready.wait(60)
    world.ready.clear()
    world.deployment = Deployment("m-2", 0.7, revision=2)
    assert world.ready.wait(60)
    world.stop.set()
    thread.join()
    assert first.stopped
    assert [deployment.model_id for deployment in world.started] == ["m-1", "m-2"]


def test_a_revision_that_cannot_be_used_leaves_the_former_model_at_work() -> None:
    world = World(Query())
    reported = threading.Event()
    write = world.events.write

    def tell(kind: str, message: str, **details: Any) -> None:
        write(kind, message, **details)
        if "cannot be used" in message:
            reported.set()

    world.events.write = tell  # type: ignore[method-assign]
    thread = world.run()
    assert world.ready.wait(60)
    world.broken = ModelCorrupt("a file was changed")
    world.deployment = Deployment("m-2", 0.7, revision=2)
    assert reported.wait(60)
    world.stop.set()
    thread.join()
    assert [deployment.model_id for deployment in world.started] == ["m-1"]


def test_a_second_detector_on_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with (
        lock_checkpoint(tmp_path / "c"),
        pytest.raises(DetectorError, match="another detector"),
        lock_checkpoint(tmp_path / "c"),
    ):
        pass
    with lock_checkpoint(tmp_path / "c"):
        pass


def test_a_query_waits_for_kafka_and_starts_when_it_is_back() -> None:
    world = World(Query())
    world.probe.kafka.clear()
    thread = world.run()
    assert not world.ready.wait(1.5)
    assert world.started == []
    assert ("failing", "Kafka does not answer") in world.events.states
    world.probe.kafka.set()
    assert world.ready.wait(60)
    assert world.events.states[-1] == ("running", "")
    world.stop.set()
    thread.join()


def test_failures_while_kafka_is_away_do_not_end_the_detector() -> None:
    world = World(Query())
    supervisor = world.supervisor()
    away = iter([True, False] * 20)
    world.probe.kafka_answers = lambda: next(away)  # type: ignore[method-assign]
    world.keeper.error = KafkaFailure("Kafka does not tell its first offsets")
    thread = threading.Thread(target=supervisor.run, args=(world.stop,))
    thread.start()
    assert wait_until(lambda: sum("is restarted" in report[1] for report in world.events.reports) >= 6, 60)
    world.stop.set()
    thread.join()


def test_a_damaged_checkpoint_ends_the_detector_at_once() -> None:
    world = World(Query())
    world.keeper.error = CheckpointDamaged("cannot resume from the checkpoint")
    with pytest.raises(CheckpointDamaged):
        world.supervisor().run(world.stop)
    assert world.started == []


def test_the_last_batches_are_accounted_for_when_the_query_has_stopped() -> None:
    world = World(Query())
    thread = world.run()
    assert world.ready.wait(60)
    world.stop.set()
    thread.join()
    assert world.keeper.looked_last == 1


def test_a_query_that_must_read_more_partitions_is_started_again() -> None:
    first = Query()
    world = World(first, Query())
    thread = world.run()
    assert world.ready.wait(60)
    world.ready.clear()
    world.partitions.needs_query = True
    assert world.ready.wait(60)
    world.stop.set()
    thread.join()
    assert first.stopped
    assert len(world.started) == 2


def test_a_query_that_needs_another_session_is_stopped_and_accounted_for() -> None:
    query = Query()
    world = World(query)
    thread = world.run()
    assert world.ready.wait(60)
    world.partitions.needs_session = world.partitions.needs_query = True
    thread.join(10)
    assert not thread.is_alive()
    assert not world.stop.is_set()
    assert query.stopped
    assert (len(world.started), world.keeper.looked_last) == (1, 1)


def test_a_detector_that_awaits_a_model_goes_on_once_there_is_one() -> None:
    events = Events()
    missing = iter([True, True, False])

    def resolve() -> None:
        if next(missing):
            raise ModelNotFound("no model", where="models/current", remedy="train one")

    wait_for_model(resolve, events, threading.Event())  # type: ignore[arg-type]
    assert events.states == [("starting", "waiting for a model"), ("starting", "starting the query")]
    assert list(missing) == []


def test_a_stop_ends_the_wait_for_a_model() -> None:
    stop = threading.Event()

    def resolve() -> None:
        stop.set()
        raise ModelNotFound("no model", where="models/current", remedy="train one")

    wait_for_model(resolve, Events(), stop)  # type: ignore[arg-type]


def test_an_unusable_model_ends_the_wait_with_its_error() -> None:
    def resolve() -> None:
        raise ModelCorrupt("damaged", where="models/m-1", remedy="train again")

    with pytest.raises(ModelCorrupt):
        wait_for_model(resolve, Events(), threading.Event())  # type: ignore[arg-type]


def test_a_query_that_fails_for_a_new_schema_id_is_started_again_without_a_failure() -> None:
    world = World(*(Query(PySparkException("a task failed")) for _ in range(7)), Query())
    world.new_ids = [7] * 7
    thread = world.run()
    assert wait_until(lambda: len(world.started) == 8, 60)
    world.stop.set()
    thread.join()
    assert world.events.reports.count(("query", "schema id 7 is new: the query restarts with it")) == 7
    assert ("query", "schema id 7 is not in the registry") in world.events.reports
    assert not [message for _, message in world.events.reports if "failed" in message]


def test_no_query_is_started_while_the_schema_registry_is_down() -> None:
    world = World(Query())
    world.registry = SchemaRegistryFailed("the schema registry does not answer", where="http://127.0.0.1:1")
    thread = world.run()
    waiting = ("failing", "the schema registry does not answer (http://127.0.0.1:1)")
    assert wait_until(lambda: waiting in world.events.states, 60)
    assert world.started == []
    world.registry = None
    assert world.ready.wait(60)
    world.stop.set()
    thread.join()
    assert world.events.states.count(waiting) == 1
