"""The keeper of the ledger, with a ledger in memory and a checkpoint on disk; a real query is in tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fraudstream.detector.events import EventWriter
from fraudstream.detector.ledger import MAX_PROGRESS_POLLS, LedgerKeeper
from fraudstream.detector.spark_log import Offsets
from fraudstream.errors import KafkaFailure
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.messages.ledger import Apart, EntryKind, LedgerEntry, Source
from fraudstream.model.deployment.current import Deployment
from fraudstream.transactions.wire import EventType, Outcome

TOPIC = "payments"


class Ledger(KafkaLedger):
    """The topic, and whether Kafka acknowledges."""

    def __init__(self) -> None:
        self.entries: dict[str, LedgerEntry] = {}
        self.answers = True

    def send(self, entries: Sequence[LedgerEntry]) -> bool:
        if self.answers:
            self.entries |= {entry.entry_id: entry for entry in entries}
        return self.answers

    def read(self) -> list[LedgerEntry]:
        return list(self.entries.values())


class Marks(Watermarks):
    """The first offsets of the topic, and its first records after others."""

    def __init__(self) -> None:
        self.first = {0: 0, 1: 0}
        self.following: dict[int, int] = {}

    def begins(self) -> dict[int, int]:
        return self.first

    def next_records(self, offsets: Mapping[int, int]) -> dict[int, int]:
        return {p: self.following.get(p, offset) for p, offset in offsets.items()}


class Events(EventWriter):
    """The events in the order in which they were written."""

    def __init__(self) -> None:
        self.written: list[tuple[EventType, str]] = []

    def write(self, kind: EventType, message: str, **details: Any) -> None:
        self.written.append((kind, message))


class World:
    """A checkpoint that grows, a topic that loses its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger()
        self.marks = Marks()
        self.events = Events()
        self.counted: list[tuple[int, Mapping[int, tuple[int, int]]]] = []
        self.write("metadata", '{"id":"query-1"}')
        self.write("sources/0/0", "\0v1", self.offsets(0, 0))
        self.keeper = self.new_keeper()

    def new_keeper(self) -> LedgerKeeper:
        return LedgerKeeper(
            checkpoint=self.path,
            topic=TOPIC,
            read_topic_id=lambda: "id",
            ledger=self.ledger,
            watermarks=self.marks,
            count_again=self.count_again,
            events=self.events,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )

    def count_again(
        self, deployment: Deployment, envelope: str, spans: Mapping[int, tuple[int, int]]
    ) -> dict[int, dict[Outcome | Apart, int]]:
        self.counted.append((deployment.revision, spans))
        entries = {p: max(0, end - max(start, self.marks.first[p])) for p, (start, end) in spans.items()}
        return {p: {Outcome.CLEAR: n} for p, n in entries.items()}

    def write(self, name: str, *lines: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text("\n".join(lines))

    def offsets(self, *ends: int) -> str:
        return json.dumps({TOPIC: {str(p): end for p, end in enumerate(ends)}})

    def commit(self, batch: int, *ends: int) -> None:
        self.write(f"offsets/{batch}", "v1", "{}", self.offsets(*ends))
        self.write(f"commits/{batch}", "v1", "{}")

    def begin(self, revision: int) -> Offsets | None:
        self.keeper.begin(Deployment("m", 0.5, revision=revision))
        return self.keeper.start

    def poll(self, *progress: dict[str, Any]) -> bool:
        reports = [SimpleNamespace(json=json.dumps(each)) for each in progress]
        query: Any = SimpleNamespace(id="query-1", recentProgress=reports)
        return self.keeper.poll(query, last=False)

    def losses(self) -> list[str]:
        return [message for kind, message in self.events.written if kind is EventType.LOSS]

    def spans(self, kind: EntryKind = EntryKind.BATCH) -> list[tuple[int, int, int]]:
        return [(e.partition, e.from_offset, e.until_offset) for e in self.ledger.read() if e.kind is kind]


def progress_of(batch: int, *records: int, rows: int | None = None, **counts: int) -> dict[str, Any]:
    """What the query tells of a batch: the records of each partition, and how many of them were not clear."""
    metrics = {f"{outcome}_{p}": 0 for outcome in ("alert", "unscorable", "dead_letter") for p in (0, 1)}
    read = {f"records_{p}": number for p, number in enumerate(records)}
    observed = {"outcomes": metrics | counts, "records": read}
    return {"batchId": batch, "numInputRows": sum(records) if rows is None else rows, "observedMetrics": observed}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "checkpoint")
    world.begin(1)
    return world


def test_a_batch_is_entered_as_the_query_tells_it(world: World) -> None:
    world.commit(0, 10, 0)
    world.poll(progress_of(0, 10, 0, alert_0=2, dead_letter_0=1))
    (entry,) = world.ledger.read()
    assert (entry.clear, entry.alert, entry.dead_letter, entry.records) == (7, 2, 1, 10)
    assert entry.source is Source.OBSERVED
    assert world.counted == []
    world.poll()
    assert len(world.ledger.read()) == 1


def test_a_batch_without_progress_is_waited_for_and_then_counted_again(world: World) -> None:
    world.commit(0, 10, 20)
    for _ in range(MAX_PROGRESS_POLLS):
        world.poll()
        assert world.ledger.read() == []
    world.poll()
    assert world.spans() == [(0, 0, 10), (1, 0, 20)]
    assert {entry.source for entry in world.ledger.read()} == {Source.SCORED_AGAIN}


def test_batches_before_a_crash_are_counted_by_the_deployment_of_then(world: World) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.commit(1, 15, 20)
    world.keeper = world.new_keeper()
    world.begin(2)
    assert world.counted == [(1, {0: (10, 15)})]
    assert world.spans() == [(0, 0, 10), (1, 0, 20), (0, 10, 15)]


def test_entries_wait_while_kafka_is_away_and_none_is_left_out(world: World) -> None:
    world.ledger.answers = False
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.commit(1, 30, 40)
    world.poll(progress_of(0, 10, 20), progress_of(1, 20, 20))
    assert world.ledger.read() == []
    world.ledger.answers = True
    world.poll(progress_of(0, 10, 20), progress_of(1, 20, 20))
    assert world.spans() == [(0, 0, 10), (1, 0, 20), (0, 10, 30), (1, 20, 40)]


def test_records_without_a_transaction_and_lists_count_apart(world: World) -> None:
    progress = progress_of(0, 10, 20, alert_0=3)
    counts = {"transactions_0": 12, "without_transaction_0": 4, "transactions_1": 20, "without_transaction_1": 0}
    progress["observedMetrics"]["transactions"] = counts
    world.commit(0, 10, 20)
    world.poll(progress)
    first, second = world.ledger.read()
    assert (first.records, first.clear, first.alert, first.without_transaction, first.additional) == (10, 9, 3, 4, 6)
    assert (second.records, second.clear, second.without_transaction, second.additional) == (20, 20, 0, 0)


def test_batches_before_a_crash_are_counted_by_the_envelope_of_then(world: World) -> None:
    world.keeper.envelope = "after"
    world.begin(1)
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.commit(1, 15, 20)
    world.keeper = world.new_keeper()
    world.begin(1)
    world.commit(2, 15, 25)
    world.poll(progress_of(2, 0, 5))
    assert [entry.envelope for entry in world.ledger.read()] == ["after", "after", "after", ""]


def test_a_lost_note_is_read_from_the_ledger(world: World) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.commit(1, 12, 22)
    (world.path / "ledger.json").unlink()
    world.keeper = world.new_keeper()
    world.begin(1)
    assert world.counted == [(1, {0: (10, 12), 1: (20, 22)})]


def test_what_retention_deleted_while_nobody_read_is_entered_as_lost_once(world: World) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.marks.first = {0: 25, 1: 20}
    assert world.begin(1) == {0: 25, 1: 20}
    assert world.begin(1) == {0: 25, 1: 20}
    assert world.spans(EntryKind.LOSS) == [(0, 10, 25)]
    (message,) = world.losses()
    assert message.startswith("15 records are lost: payments[0] 10 to 24: ")


def test_nothing_goes_on_past_a_loss_that_could_not_be_entered(world: World) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.marks.first = {0: 25, 1: 20}
    world.ledger.answers = False
    with pytest.raises(KafkaFailure, match="entry of a loss"):
        world.begin(1)


def test_a_query_that_waits_for_what_is_no_more_is_to_be_started_anew(world: World) -> None:
    world.commit(0, 0, 20)
    assert not world.poll(progress_of(0, 0, 20))
    world.marks.first = {0: 5, 1: 0}
    world.commit(1, 0, 30)
    assert world.poll(progress_of(1, 0, 10))
    assert not world.poll()


def test_offsets_that_the_query_passed_because_they_were_deleted_are_lost(world: World) -> None:
    world.marks.first = {0: 6, 1: 0}
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 7, 20))
    assert world.spans(EntryKind.LOSS) == [(0, 3, 6)]
    (message,) = world.losses()
    assert message.startswith("3 records are lost: payments[0] 3 to 5: ")


def test_offsets_without_a_record_are_no_loss_and_cost_no_second_count(world: World) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 9, 15, alert_1=1))
    assert world.spans(EntryKind.LOSS) == []
    assert [(e.records, e.clear, e.alert, e.source) for e in world.ledger.read()] == [
        (9, 9, 0, Source.OBSERVED),
        (15, 14, 1, Source.OBSERVED),
    ]
    assert world.counted == []


def test_a_marker_behind_the_last_record_is_covered_and_no_loss_once_deleted(world: World) -> None:
    world.marks.following = {0: 12}
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    assert world.spans() == [(0, 0, 12), (1, 0, 20)]
    # The next batch of the query begins at its own end, where nothing is.
    world.commit(1, 10, 25)
    world.poll(progress_of(1, 0, 5))
    assert world.spans() == [(0, 0, 12), (1, 0, 20), (1, 20, 25)]
    world.marks.first = {0: 12, 1: 0}
    assert world.begin(1) == {0: 12, 1: 25}
    assert world.losses() == []


def test_a_partition_that_came_later_is_counted_again(world: World) -> None:
    world.marks.first = {0: 0, 1: 0, 2: 0}
    world.commit(0, 10, 20, 5)
    world.poll(progress_of(0, 10, 20, rows=35))
    assert world.counted == [(1, {0: (0, 10), 1: (0, 20), 2: (0, 5)})]


def test_a_new_checkpoint_that_meets_an_old_ledger_is_reported(world: World, tmp_path: Path) -> None:
    world.commit(0, 10, 20)
    world.poll(progress_of(0, 10, 20))
    world.path = tmp_path / "another"
    world.keeper = world.new_keeper()
    assert world.begin(1) is None
    ((kind, message),) = world.events.written
    assert kind is EventType.QUERY
    assert "is new, but the ledger already accounts for 30 records" in message
