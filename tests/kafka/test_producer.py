"""The producer against a real broker: every row arrives, under an id that a second sending does not change."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from fraudstream.errors import BrokenRow, BrokerUnreachable, KafkaFailure, SettingsError, TopicMissing
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.producer import ProducePlan, produce
from fraudstream.kafka.production import SessionProgress, summary
from fraudstream.kafka.progress import read_progress, spool_path, write_progress
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until
from fraudstream.transactions.data_source import DataSource, open_data
from fraudstream.transactions.wire import Header, Topic, event_id
from offsets import end_offsets

pytestmark = pytest.mark.kafka

FINGERPRINT = "ab" * 32


@dataclass
class Rows:
    """Rows made on the spot, each naming its number."""

    count: int
    fingerprint: str = FINGERPRINT
    huge: frozenset[int] = frozenset()
    broken: int | None = None

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        for number in range(start, self.count):
            if number == self.broken:
                raise BrokenRow("a row is broken")
            yield orjson.dumps({"n": number, "pad": "x" * (3000 if number in self.huge else 3)})


def records(broker: RunningBroker, topic: str, since: dict[int, int] | None = None) -> list[Message]:
    """Every record of a topic, from given offsets on."""
    ends = end_offsets(broker.bootstrap_servers, topic)
    begins = since or dict.fromkeys(ends, 0)
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in begins.items()])
    count = sum(ends.values()) - sum(begins.values())
    messages: list[Message] = []
    while len(messages) < count:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        messages.append(message)
    consumer.close()
    return messages


def header(message: Message, name: str) -> str:
    value = dict(message.headers() or [])[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def rows_of(messages: list[Message]) -> list[int]:
    return sorted(int(header(message, Header.SOURCE_ROW)) for message in messages)


@pytest.fixture
def plan(broker: RunningBroker, new_topic: Callable[..., str], tmp_path: Path) -> ProducePlan:
    topic = new_topic(partitions=2, **{"max.message.bytes": "2000"})
    cluster = Cluster(broker.bootstrap_servers, KafkaSettings(topic_transactions=topic))
    return ProducePlan(cluster, tmp_path / "progress.json")


def changed(plan: ProducePlan, **changes: object) -> ProducePlan:
    return ProducePlan(**{**vars(plan), **changes})


def run(rows: Rows, plan: ProducePlan, stopped: threading.Event | None = None) -> SessionProgress:
    return produce(cast(DataSource, rows), plan, stopped=stopped or threading.Event())


def test_every_row_arrives_once_as_it_is_with_its_id_and_number(broker: RunningBroker, plan: ProducePlan) -> None:
    produced = run(Rows(500), plan)
    arrived = records(broker, plan.topic)
    assert produced.delivered
    assert (produced.sent, produced.run.next_row) == (500, 500)
    assert rows_of(arrived) == list(range(500))
    for message in arrived:
        row = int(header(message, Header.SOURCE_ROW))
        assert orjson.loads(message.value() or b"")["n"] == row
        assert header(message, Header.EVENT_ID) == event_id(produced.run.run_id, FINGERPRINT, 0, row)
        assert abs(message.timestamp()[1] / 1000 - time.time()) < 120


def test_the_partitions_take_turns(broker: RunningBroker, plan: ProducePlan) -> None:
    run(Rows(100), plan)
    assert end_offsets(broker.bootstrap_servers, plan.topic) == {0: 50, 1: 50}


CARDS = 7


class CardRows(Rows):
    """Rows of cards in turn; each tenth has none."""

    def json_rows(self, start: int = 0) -> Iterator[bytes]:
        for number in range(start, self.count):
            yield orjson.dumps({"n": number, "card": None if number % 10 == 9 else number % CARDS + 0.5})


def test_the_rows_of_a_card_keep_their_order_in_one_partition(broker: RunningBroker, plan: ProducePlan) -> None:
    # What the row is encoded to does not matter.
    run(CardRows(400), changed(plan, key="card", encode=lambda row: b"\0" + row))
    arrived = records(broker, plan.topic)
    assert rows_of(arrived) == list(range(400))
    partitions, last = dict[bytes, int](), dict[bytes, int]()
    for message in arrived:
        row, key, partition = int(header(message, Header.SOURCE_ROW)), message.key(), message.partition() or 0
        if row % 10 == 9:
            assert (key, partition) == (None, row % 2)
            continue
        assert key == b"%d.5" % (row % CARDS)
        assert partitions.setdefault(key, partition) == partition
        assert last.get(key, -1) < row
        last[key] = row
    assert set(partitions.values()) == {0, 1}


def test_a_resumed_run_keeps_its_key_and_its_partitions(broker: RunningBroker, plan: ProducePlan) -> None:
    first = run(CardRows(100), changed(plan, key="card"))
    # As after a kill at the very beginning.
    write_progress(plan.progress, dataclasses.replace(first.run, settled=0, next_row=0))
    assert run(CardRows(100), changed(plan, resume=True)).sent == 100
    copies = defaultdict(list)
    for message in records(broker, plan.topic):
        copies[header(message, Header.EVENT_ID)].append((message.key(), message.partition()))
    assert len(copies) == 100
    assert all(len(each) == 2 and len(set(each)) == 1 for each in copies.values())


@pytest.mark.parametrize(("begun", "resumed"), [("card", "n"), ("card", ""), (None, "card")])
def test_a_run_is_not_resumed_with_another_key(plan: ProducePlan, begun: str | None, resumed: str) -> None:
    run(CardRows(10), changed(plan, key=begun))
    with pytest.raises(SettingsError, match="the run that is resumed has"):
        run(CardRows(20), changed(plan, key=resumed, resume=True))


def test_a_compacted_topic_takes_no_keyed_rows(plan: ProducePlan, new_topic: Callable[..., str]) -> None:
    topic = new_topic(**{"cleanup.policy": "compact"})
    compacted = changed(plan, cluster=Cluster(plan.cluster.bootstrap_servers, KafkaSettings(topic_transactions=topic)))
    with pytest.raises(KafkaFailure, match="is compacted: of all transactions with the same key"):
        run(CardRows(10), changed(compacted, key="card"))


def test_a_row_too_large_is_refused_and_the_rows_after_it_flow(broker: RunningBroker, plan: ProducePlan) -> None:
    produced = run(Rows(300, huge=frozenset({0, 150})), plan)
    assert rows_of(records(broker, plan.topic)) == [row for row in range(300) if row not in (0, 150)]
    assert [refusal.partition(" was refused")[0] for refusal in produced.refusals] == ["row 0", "row 150"]
    assert "too large" in produced.refusals[0]
    assert not produced.delivered
    assert (produced.acknowledged, produced.failed, produced.unacknowledged) == (298, 2, 0)
    assert run(Rows(300), changed(plan, resume=True)).sent == 0


def test_a_resumed_run_goes_on_after_the_last_acknowledged_row(broker: RunningBroker, plan: ProducePlan) -> None:
    first = run(Rows(100), changed(plan, limit=40))
    second = run(Rows(100), changed(plan, resume=True, limit=70))
    third = run(Rows(100), changed(plan, resume=True))
    assert [session.sent for session in (first, second, third)] == [40, 30, 30]
    assert first.run.run_id == second.run.run_id == third.run.run_id
    assert rows_of(records(broker, plan.topic)) == list(range(100))
    assert read_progress(plan.progress, FINGERPRINT) == third.run


def test_a_fresh_run_has_new_ids(broker: RunningBroker, plan: ProducePlan) -> None:
    for _ in range(2):
        run(Rows(10), plan)
    assert len({header(message, Header.EVENT_ID) for message in records(broker, plan.topic)}) == 20


def test_each_pass_of_a_loop_has_its_own_ids(broker: RunningBroker, plan: ProducePlan) -> None:
    produced = run(Rows(10), changed(plan, loop=True, limit=25))
    arrived = records(broker, plan.topic)
    assert (produced.run.pass_number, produced.run.next_row, produced.run.settled) == (2, 5, 25)
    assert len({header(message, Header.EVENT_ID) for message in arrived}) == 25
    resumed = run(Rows(10), changed(plan, loop=True, limit=30, resume=True))
    assert (resumed.sent, resumed.run.settled) == (5, 30)
    assert rows_of(records(broker, plan.topic)) == sorted([*range(10)] * 3)


def test_a_rate_is_kept(plan: ProducePlan) -> None:
    produced = run(Rows(200), changed(plan, interval=0.005))
    # 200 rows take 199 pauses of 5 ms; each may leave a millisecond early.
    assert 0.99 <= produced.seconds < 10


def test_stopping_ends_early_and_the_rest_is_sent_on_resume(broker: RunningBroker, plan: ProducePlan) -> None:
    stopped = threading.Event()

    def stop_after_some(produced: SessionProgress) -> None:
        if produced.acknowledged >= 10:
            stopped.set()

    paced = changed(plan, interval=0.005)
    first = produce(cast(DataSource, Rows(2000)), paced, stopped=stopped, show=stop_after_some)
    assert first.interrupted
    assert first.delivered
    assert 10 <= first.sent < 2000
    run(Rows(2000), changed(plan, resume=True))
    assert rows_of(records(broker, plan.topic)) == list(range(2000))


def test_the_rows_before_a_broken_one_are_sent_and_counted(broker: RunningBroker, plan: ProducePlan) -> None:
    with pytest.raises(BrokenRow):
        run(Rows(100, broken=60), plan)
    assert rows_of(records(broker, plan.topic)) == list(range(60))
    assert run(Rows(100), changed(plan, resume=True)).sent == 40


def test_a_second_producer_on_the_same_progress_is_refused(plan: ProducePlan) -> None:
    with (
        exclusive_lock(plan.progress.with_suffix(".lock")),
        pytest.raises(KafkaFailure, match="another producer"),
    ):
        run(Rows(1), plan)


def test_a_topic_that_is_not_there_is_said_so(plan: ProducePlan) -> None:
    with pytest.raises(TopicMissing):
        run(Rows(1), changed(plan, cluster=Cluster(plan.cluster.bootstrap_servers, KafkaSettings(topic_prefix="no."))))


@pytest.mark.nightly  # tests/e2e/test_bad_input.py has it in every change
def test_a_broker_that_is_not_there_is_said_so(plan: ProducePlan) -> None:
    with pytest.raises(BrokerUnreachable):
        run(Rows(1), changed(plan, cluster=Cluster(f"127.0.0.1:{free_port()}")))


def test_refused_rows_are_spooled_once_even_after_a_resume(plan: ProducePlan) -> None:
    huge = frozenset({0, 150, 299})
    produced = run(Rows(300, huge=huge), plan)
    assert produced.spool is not None
    text = summary(produced, "kafka")
    assert f"3 rows are stored, with the reason, in {produced.spool}" in text
    # As after a kill at the very beginning: the mark stands before all of them.
    write_progress(plan.progress, dataclasses.replace(produced.run, settled=0, next_row=0))
    run(Rows(300, huge=huge), changed(plan, resume=True))
    spooled = [orjson.loads(line) for line in produced.spool.read_bytes().splitlines()]
    assert sorted(line["row"] for line in spooled) == sorted(huge)
    for line in spooled:
        payload = next(Rows(300, huge=huge).json_rows(line["row"]))
        assert line["payload"].encode() == payload
        assert line["bytes"] == len(payload)
        assert line["pass"] == 0
        assert "too large" in line["reason"]
        assert line["event_id"] == event_id(produced.run.run_id, FINGERPRINT, 0, line["row"])


@pytest.mark.nightly
def test_killed_again_and_again_at_any_moment_no_row_is_missing_and_none_has_two_ids(
    broker: RunningBroker, tmp_path: Path
) -> None:
    rows, huge = 20_000, {7, 5_000, 19_999}
    data, progress, log = tmp_path / "data.csv", tmp_path / "progress.json", tmp_path / "log"
    large = "x" * 1_100_000
    data.write_text("a,b,Class\n" + "".join(f"{n},{large if n in huge else 1},0\n" for n in range(rows)))
    before = end_offsets(broker.bootstrap_servers, Topic.TRANSACTIONS)
    command = [
        *(sys.executable, "-m", "fraudstream", "produce", "--data", str(data), "--progress-file", str(progress)),
        *("--bootstrap-servers", broker.bootstrap_servers, "--resume", "--rate", "4000"),
    ]
    seed = int(time.time())
    moments = random.Random(seed)
    fingerprint = open_data(data).fingerprint
    for kill in range(5):
        killed = spawn(command, log=log, env=dict(os.environ))
        try:
            # The first at once: before the first report of the first session.
            assert wait_until(progress.exists, 60), log.read_text()
            progress_state = read_progress(progress, fingerprint)
            assert progress_state is not None
            if kill:
                assert wait_until(functools.partial(went_on, progress, fingerprint, progress_state.settled), 60), (
                    log.read_text()
                )
            time.sleep(moments.uniform(0, 0.7))
        finally:
            killed.kill()
            killed.wait()
    resumed = spawn(command, log=log, env=dict(os.environ))
    try:
        assert resumed.wait(60) in (0, 1), log.read_text()
    finally:
        stop(resumed, grace=1)

    ids = defaultdict(set)
    arrived = records(broker, Topic.TRANSACTIONS, since=before)
    for message in arrived:
        ids[int(header(message, Header.SOURCE_ROW))].add(header(message, Header.EVENT_ID))
    assert sorted({*range(rows)} - set(ids)) == sorted(huge), f"seed {seed}"
    assert all(len(of_row) == 1 for of_row in ids.values()), f"seed {seed}"
    spooled = [orjson.loads(line)["row"] for line in spool_path(progress).read_bytes().splitlines()]
    assert sorted(spooled) == sorted(huge), f"seed {seed}"
    # What was on its way, and what was acknowledged since the last report, comes twice: 0.25 s of rows for a kill.
    assert len(arrived) - len(ids) < 5 * 4_000, f"seed {seed}"


def went_on(progress: Path, fingerprint: str, settled: int) -> bool:
    state = read_progress(progress, fingerprint)
    return state is not None and state.settled > settled


FULL_DISK = """
import resource, signal, sys
from fraudstream.cli import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.mark.parametrize(("limit", "what"), [(100, "cannot write the progress"), (5_000, "cannot store a row")])
def test_a_disk_that_takes_no_more_ends_in_one_clear_message(
    broker: RunningBroker, tmp_path: Path, limit: int, what: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("a,Class\n1,0\n" + "x" * 1_100_000 + ",1\n2,0\n")
    process = subprocess.run(
        [
            *(sys.executable, "-c", FULL_DISK, str(limit), "produce", "--data", str(data)),
            *("--progress-file", str(tmp_path / "p.json"), "--bootstrap-servers", broker.bootstrap_servers),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 1
    assert what in process.stderr
    assert "remedy:" in process.stderr
    assert "Traceback" not in process.stderr
    assert "unexpected" not in process.stderr


def test_after_a_kill_the_command_goes_on_and_no_row_is_missing_or_has_two_ids(
    broker: RunningBroker, tmp_path: Path
) -> None:
    data, progress, log = tmp_path / "data.csv", tmp_path / "progress.json", tmp_path / "log"
    data.write_text("a,Class\n" + "".join(f"{number},0\n" for number in range(6000)))
    fingerprint = open_data(data).fingerprint
    before = end_offsets(broker.bootstrap_servers, Topic.TRANSACTIONS)
    command = [
        *(sys.executable, "-m", "fraudstream", "produce", "--data", str(data), "--progress-file", str(progress)),
        *("--bootstrap-servers", broker.bootstrap_servers),
    ]

    def some_are_acknowledged() -> bool:
        state = read_progress(progress, fingerprint)
        return state is not None and state.settled > 500

    killed = spawn([*command, "--rate", "1000"], log=log, env=dict(os.environ))
    try:
        assert wait_until(some_are_acknowledged, 60), log.read_text()
    finally:
        killed.kill()
        killed.wait()
    state = read_progress(progress, fingerprint)
    assert state is not None
    assert state.settled < 6000
    resumed = spawn([*command, "--resume"], log=log, env=dict(os.environ))
    try:
        assert resumed.wait(60) == 0, log.read_text()
    finally:
        stop(resumed, grace=1)

    ids = defaultdict(set)
    arrived = records(broker, Topic.TRANSACTIONS, since=before)
    for message in arrived:
        ids[int(header(message, Header.SOURCE_ROW))].add(header(message, Header.EVENT_ID))
    assert sorted(ids) == list(range(6000))
    assert all(len(of_row) == 1 for of_row in ids.values())
    # What was sent twice is what was on its way when the progress was last written: not the whole file.
    assert len(arrived) < 7000
