"""The watch over partitions: too few task slots, positions that stand still, a topic that grows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException

from fraudstream.detector.partitions import PartitionWatch, QueryProbe, StarvationRule
from fraudstream.messages.ledger import PartitionReport

TOPIC = "credit_card_transactions"
START = datetime(2026, 1, 2, tzinfo=UTC)


class Events:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.status: dict[str, Any] = {}

    def write(self, kind: str, message: str, **details: Any) -> None:
        self.written.append((kind, message))

    def describe(self, details: Mapping[str, Any]) -> None:
        self.status = dict(details)


class Query:
    """A query of which only the last finished batch is known."""

    def __init__(self) -> None:
        self.lastProgress: dict[str, Any] | None = None
        self.status = {"isTriggerActive": False}

    def finish(self, batch: int, **positions: int) -> None:
        ends = {name.removeprefix("p"): offset for name, offset in positions.items()}
        self.lastProgress = {"batchId": batch, "sources": [{"endOffset": {TOPIC: ends}}]}


class Consumers:
    """The consumers of the detector's JVM, with the next offset of each partition."""

    def __init__(self, **positions: int) -> None:
        self.by_partition = {int(name.removeprefix("p")): offset for name, offset in positions.items()}

    def partitions(self) -> frozenset[int]:
        return frozenset(self.by_partition)

    def positions(self, ends: Mapping[int, int]) -> dict[int, int]:
        return dict(self.by_partition)


class World:
    """A topic of two partitions, its query, and four task slots."""

    def __init__(self, *, can_restart: bool = False) -> None:
        self.marks: dict[int, tuple[int, int]] = {0: (0, 100), 1: (0, 100)}
        self.slots: int | None = 4
        self.now = START
        self.kafka_fails = False
        self.events, self.query = Events(), Query()
        self.watch = PartitionWatch(
            topic=TOPIC,
            partitions=2,
            marks=self.read_marks,
            slots=lambda: self.slots,
            reading=lambda: frozenset({0, 1}),
            can_restart=can_restart,
            events=self.events,  # type: ignore[arg-type]  # the two methods that are used
            now=lambda: self.now,
        )

    def read_marks(self) -> dict[int, tuple[int, int]]:
        if self.kafka_fails:
            raise KafkaException("away")
        return self.marks

    def poll(self, after: float = 1) -> bool:
        self.now += timedelta(seconds=after)
        return self.watch.poll(self.query)  # type: ignore[arg-type]  # the one member that is used

    def probe(self, consumers: Consumers | None, *, awaits_consumers: bool = True) -> Any:
        return QueryProbe(self.watch, cast(Any, consumers), awaits_consumers)

    def problems(self) -> list[tuple[str, int | None]]:
        return [(each["kind"], each["partition"]) for each in self.events.status["problems"]]


def starved(*batches: tuple[dict[int, int], dict[int, tuple[int, int]]]) -> dict[int, datetime]:
    """What is starved after batches that ended at such positions, a minute apart."""
    rule = StarvationRule()
    for number, (positions, marks) in enumerate(batches):
        rule.finished(number, positions, marks, START + timedelta(minutes=number))
    return rule.starved()


def test_a_position_that_stands_still_for_two_batches_is_starved_since_records_wait() -> None:
    ended = ({0: 10, 1: 5}, {0: (0, 10), 1: (0, 9)})
    assert starved(ended, ended) == {}
    assert starved(({0: 10, 1: 5}, {0: (0, 10), 1: (0, 5)}), ended, ended) == {}
    assert starved(ended, ended, ended) == {1: START}


def test_a_partition_that_moves_or_has_nothing_new_is_not_starved() -> None:
    slow = [({0: at}, {0: (0, 1_000_000)}) for at in range(1, 6)]
    assert starved(*slow) == {}
    assert starved(*[({0: 7}, {0: (0, 7)})] * 5) == {}
    assert starved(*[({}, {0: (7, 7)})] * 5) == {}


def test_a_new_partition_without_any_position_is_starved_too() -> None:
    assert starved(*[({0: 5}, {0: (0, 5), 1: (0, 3)})] * 3) == {1: START}


def test_one_batch_counts_once_and_another_checkpoint_begins_anew() -> None:
    rule = StarvationRule()
    for batch in (7, 7, 7, 7, 8):
        rule.finished(batch, {0: 1}, {0: (0, 9)}, START)
    assert rule.starved() == {}
    rule.finished(0, {0: 1}, {0: (0, 9)}, START)
    rule.finished(1, {0: 1}, {0: (0, 9)}, START)
    assert rule.starved() == {}
    rule.finished(2, {0: 1}, {0: (0, 9)}, START)
    assert rule.starved() == {0: START}


def test_a_starved_partition_is_reported_once_and_again_when_it_is_read() -> None:
    world = World()
    for batch in range(4):
        world.query.finish(batch, p0=100, p1=40)
        assert not world.poll()
    assert world.problems() == [("starved", 1)]
    assert [kind for kind, _ in world.events.written] == ["starved"]
    assert world.events.written[0][1].startswith(f"{TOPIC}[1] is not read")
    world.query.finish(4, p0=100, p1=100)
    world.poll()
    assert world.problems() == []
    span = "from 00:00:01 to 00:00:05 UTC"
    assert world.events.written[1:] == [("partitions", f"{TOPIC}[1] is read again; it was not read {span}")]
    (past,) = world.events.status["past_problems"]
    assert (past["partition"], past["since"][11:19], past["until"][11:19]) == (1, "00:00:01", "00:00:05")


def test_too_few_slots_are_reported_once_they_last_and_when_they_are_back() -> None:
    world = World()
    world.poll()
    world.slots = 1
    world.poll()
    assert world.watch.is_short
    assert world.events.written == []
    world.poll(10)
    world.poll(10)
    assert world.problems() == [("slots", None)]
    ((kind, message),) = world.events.written
    assert kind == "starved"
    assert message.startswith(f"Spark has 1 task slot for 2 partitions of {TOPIC}")
    world.slots = 2
    world.poll()
    assert not world.watch.is_short
    assert world.problems() == []
    again = f"Spark has a task slot for each partition of {TOPIC} again"
    ((kind, message),) = world.events.written[1:]
    assert (kind, message) == ("partitions", f"{again}; some were not read from 00:00:02 to 00:00:23 UTC")


def test_only_the_latest_times_without_reading_are_kept() -> None:
    world = World()
    for _ in range(25):
        for slots, after in ((1, 1), (1, 10), (2, 1)):
            world.slots = slots
            world.poll(after)
    spans = [(each["since"], each["until"]) for each in world.events.status["past_problems"]]
    assert len(spans) == 20
    assert spans == sorted(spans)
    assert PartitionReport.model_validate(world.events.status).past_problems == list(world.watch.past)


def test_another_session_ends_what_the_old_one_did_not_read() -> None:
    world = World(can_restart=True)
    world.slots = 1
    world.poll()
    world.poll(10)
    world.marks = {partition: (0, 9) for partition in range(3)}
    assert world.poll()
    assert world.watch.needs_session
    assert [each.until is not None for each in world.watch.past] == [True]


def test_micro_batches_may_have_fewer_slots_than_partitions() -> None:
    world = World(can_restart=True)
    world.slots = None
    world.poll(60)
    assert not world.watch.is_short
    world.marks = {partition: (0, 9) for partition in range(17)}
    assert world.poll()
    assert not world.watch.needs_session


@pytest.mark.parametrize(("partitions", "needs_session"), [(3, False), (4, True), (17, True)])
def test_a_grown_topic_needs_another_session_where_slots_are_too_few(partitions: int, needs_session: bool) -> None:
    world = World(can_restart=True)
    world.marks = {partition: (0, 9) for partition in range(partitions)}
    assert world.poll()
    assert world.watch.needs_session == needs_session
    assert world.watch.partitions == partitions
    assert f"has grown from 2 to {partitions} partitions" in world.events.written[0][1]
    assert not world.poll()


def test_a_cluster_that_cannot_be_given_slots_goes_on_and_is_reported() -> None:
    world = World()
    world.marks = {partition: (0, 9) for partition in range(17)}
    assert world.poll()
    assert not world.watch.needs_session
    world.poll(20)
    assert world.problems() == [("slots", None)]


def test_kafka_away_is_no_fault_of_a_partition() -> None:
    world = World()
    world.kafka_fails = True
    assert not world.poll()
    assert world.events.written == []


def test_position_is_the_further_one_of_committed_and_live_offsets() -> None:
    world = World()
    world.query.finish(1, p0=90, p1=40)
    world.poll()
    live = Consumers(p0=70, p1=60)
    assert world.probe(live).positions(world.query) == {0: 90, 1: 60}
    assert world.probe(None).positions(world.query) == {0: 90, 1: 40}


def test_live_positions_are_ignored_while_task_slots_are_missing() -> None:
    world = World()
    world.slots = 1
    world.query.finish(1, p0=90, p1=40)
    world.poll()
    assert world.probe(Consumers(p1=60)).positions(world.query) == {0: 90, 1: 40}


def test_query_is_reading_once_every_partition_has_a_consumer() -> None:
    world = World()
    assert not world.probe(Consumers(p0=0)).is_reading(world.query)
    assert world.probe(Consumers(p0=0, p1=0)).is_reading(world.query)
    world.kafka_fails = True
    assert not world.probe(Consumers(p0=0, p1=0)).is_reading(world.query)
    assert not world.probe(None).kafka_answers()


@pytest.mark.parametrize("consumers", [None, Consumers(p0=0, p1=0)])
def test_query_elsewhere_is_reading_once_its_trigger_is_active(consumers: Consumers | None) -> None:
    world = World()
    probe = world.probe(consumers, awaits_consumers=False)
    assert not probe.is_reading(world.query)
    world.query.status["isTriggerActive"] = True
    assert probe.is_reading(world.query)
    assert probe.kafka_answers()
