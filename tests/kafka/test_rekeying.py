"""A topic is copied to a keyed one: each record once, as it is, in the order of time, whenever the copy is killed."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from chaos.hostile import Hostile, RawProducer
from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from structlog.testing import capture_logs

from brokers import broker_plan, running_broker
from commands import Command
from fraudstream.config import Settings
from fraudstream.errors import FraudstreamError, KafkaAccessDenied, KafkaFailure, SettingsError, TopicMissing
from fraudstream.kafka import merging, rekeying
from fraudstream.kafka.avro import AvroEncoder, key_reader
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import headers_of, open_reader, read_topics
from fraudstream.kafka.rekeying import RekeyPlan, RekeyProgress, rekey
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of
from fraudstream.kafka.topics import open_admin, topic_layout
from fraudstream.runtime import processes
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import spawn, wait_until
from fraudstream.transactions.wire import Topic
from offsets import end_offsets
from registries import fake_registry

pytestmark = pytest.mark.kafka

CARDS = 7
BEGIN_MS = 1_790_000_000_000

Headers = list[tuple[str, str | bytes | None]]


def send(cluster: Cluster, topic: str, numbers: range) -> None:
    """Send payments of cards in turn to two partitions in turn, as `produce` without a key does."""
    producer, errors = Producer(cluster.producer() | {"batch.size": 8_000}), list[object]()
    for number in numbers:
        value = orjson.dumps({"n": number, "card": f"C-{number % CARDS}"})
        headers: Headers = [("event_id", f"id-{number}"), ("source_row", str(number))]
        producer.produce(
            *(topic, value),
            partition=number % 2,
            headers=headers,
            timestamp=BEGIN_MS + number // 50,
            on_delivery=lambda error, _: errors.append(error),
        )
    assert producer.flush(60) == 0
    assert not any(errors)


def send_one(
    cluster: Cluster, topic: str, value: bytes | None, headers: Headers | None = None, key: bytes | None = None
) -> None:
    producer = Producer(cluster.producer())
    producer.produce(topic, value, key=key, partition=0, headers=headers or [])
    assert producer.flush(30) == 0


def records(cluster: Cluster, topic: str) -> list[Message]:
    with closing(open_reader(cluster)) as reader:
        return list(read_topics(reader, topic))


def number_of(message: Message) -> int:
    return int(orjson.loads(message.value() or b"")["n"])


def numbers_in(cluster: Cluster, topic: str) -> list[int]:
    return sorted(map(number_of, records(cluster, topic)))


def copy(plan: RekeyPlan) -> RekeyProgress:
    return rekey(plan, threading.Event())


@pytest.fixture
def plan(cluster: Cluster, new_topic: Callable[..., str]) -> RekeyPlan:
    source = new_topic(partitions=2, **{"max.message.bytes": "20000", "retention.ms": "-1"})
    return RekeyPlan(cluster, source, f"{source}_keyed", key_reader("card", "", None))


def test_each_record_is_copied_once_as_it_is_with_its_key(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(1_000))
    progress = copy(plan)
    assert (progress.copied, progress.keyed, progress.lost) == (1_000, 1_000, 0)
    copies = records(cluster, plan.target)
    assert sorted(map(number_of, copies)) == list(range(1_000))
    for message in copies:
        number = number_of(message)
        assert message.key() == b"C-%d" % (number % CARDS)
        assert headers_of(message) == [("event_id", b"id-%d" % number), ("source_row", b"%d" % number)]
        assert message.timestamp()[1] == BEGIN_MS + number // 50


def test_the_transactions_of_a_card_are_in_one_partition_in_order(
    cluster: Cluster, plan: RekeyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small enough for a partition to be paused while it waits for the other.
    monkeypatch.setattr(merging, "MOST_BUFFERED", 40_000)
    monkeypatch.setattr(rekeying, "MOST_TOGETHER", 300)
    send(cluster, plan.source, range(5_000))
    copy(replace(plan, partitions=3))
    by_card = defaultdict(list)
    for message in records(cluster, plan.target):
        by_card[message.key()].append((message.partition(), number_of(message)))
    assert len(by_card) == CARDS
    assert sum(map(len, by_card.values())) == 5_000
    for copies in by_card.values():
        assert len({partition for partition, _ in copies}) == 1
        assert [number for _, number in copies] == sorted(number for _, number in copies)


def test_a_copy_continues_where_it_ended(cluster: Cluster, plan: RekeyPlan) -> None:
    for numbers in (range(300), range(300, 500), range(0)):
        send(cluster, plan.source, numbers)
        assert copy(plan).copied == len(numbers)
    assert numbers_in(cluster, plan.target) == list(range(500))


def test_the_id_of_a_record_without_one_is_the_position_of_the_original(cluster: Cluster, plan: RekeyPlan) -> None:
    invalid: list[Headers] = [[], [("event_id", None)], [("event_id", b"\xff")], [("event_id", "x" * 201)]]
    for headers in invalid:
        send_one(cluster, plan.source, b'{"card": 1}', [("other", b"1"), *headers])
    copy(plan)
    copies = [headers_of(message) for message in records(cluster, plan.target)]
    assert copies == [[("other", b"1"), ("event_id", f"{plan.source}/0/{at}".encode())] for at in range(len(invalid))]


def test_records_without_the_column_are_copied_as_they_are_without_key(cluster: Cluster, plan: RekeyPlan) -> None:
    values = (b'{"card": 1', None, b'{"card": null}', b"", b'{"card": "C-1"}', b"\0\0\0\0\7x", b'{"amount": 5}')
    for value in values:
        send_one(cluster, plan.source, value, key=b"of the original")
    progress = copy(plan)
    assert (progress.copied, progress.keyed) == (7, 1)
    assert "7 records copied" in progress.summary(plan.target)
    assert "6 of them without a key" in progress.summary(plan.target)
    copies = records(cluster, plan.target)
    assert {message.value() for message in copies if message.key() is None} == {*values} - {values[4]}
    assert [message.value() for message in copies if message.key() == b"C-1"] == [values[4]]
    for message in copies:
        offset = int((dict(headers_of(message))["event_id"] or b"").rpartition(b"/")[2])
        assert message.key() is not None or message.partition() == offset % 2


def test_a_header_that_no_client_can_copy_costs_no_record(cluster: Cluster, plan: RekeyPlan) -> None:
    with closing(RawProducer(cluster.bootstrap_servers)) as raw:
        raw.produce(plan.source, 0, "id", Hostile("", b'{"card": 1}', False, headers=[(b"\xff", b"1")]))
    with capture_logs() as logs:
        assert copy(plan).copied == 1
    assert f"{plan.source}/0/0" in {each.get("record") for each in logs}
    (message,) = records(cluster, plan.target)
    assert headers_of(message) == [("event_id", f"{plan.source}/0/0".encode())]


def test_the_target_has_the_partitions_and_limits_of_the_source(cluster: Cluster, plan: RekeyPlan) -> None:
    copy(plan)
    assert topic_layout(cluster, plan.target) == (2, 20_000 + 4_496)
    admin, resource = open_admin(cluster), ConfigResource(ResourceType.TOPIC, plan.target)
    config = admin.describe_configs([resource])[resource].result(timeout=30)
    assert (config["retention.ms"].value, config["cleanup.policy"].value) == ("-1", "delete")


def test_a_record_at_the_limit_of_the_source_fits_with_its_key(cluster: Cluster, plan: RekeyPlan) -> None:
    card = "\u20ac" * 1_024
    send_one(cluster, plan.source, orjson.dumps({"card": card, "pad": "x" * 16_700}))
    copy(plan)
    (message,) = records(cluster, plan.target)
    assert message.key() == card.encode()


def test_a_record_too_large_for_the_target_is_named_and_copied_later(
    cluster: Cluster, plan: RekeyPlan, new_topic: Callable[..., str]
) -> None:
    target = new_topic(**{"max.message.bytes": "2000"})
    narrow = replace(plan, target=target)
    send(cluster, plan.source, range(10))
    send_one(cluster, plan.source, orjson.dumps({"n": 10, "card": 1, "pad": "x" * 3_000}))
    with pytest.raises(KafkaFailure, match="Kafka refuses the copy of a record") as raised:
        copy(narrow)
    assert raised.value.where == f"{plan.source}/0/5"
    assert records(cluster, target) == []
    larger = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
    alter = ConfigResource(ResourceType.TOPIC, target, incremental_configs=[larger])
    admin = open_admin(cluster)
    admin.incremental_alter_configs([alter])[alter].result(timeout=30)
    assert wait_until(lambda: topic_layout(cluster, target)[1] == 20_000, 30)
    assert copy(narrow).copied == 11
    assert numbers_in(cluster, target) == list(range(11))


def test_a_column_that_no_record_has_is_refused_before_anything_is_written(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(200))
    with pytest.raises(SettingsError, match=r"none of the first \d+ records has a value"):
        copy(replace(plan, key=key_reader("Card", "", None)))
    assert records(cluster, plan.target) == []
    assert copy(plan).copied == 200


@pytest.mark.parametrize("count", [3, 99])
def test_a_column_that_no_record_of_a_small_topic_has_is_refused_too(
    cluster: Cluster, plan: RekeyPlan, count: int
) -> None:
    send(cluster, plan.source, range(count))
    with pytest.raises(SettingsError, match=r"none of the first \d+ records has a value"):
        copy(replace(plan, key=key_reader("Card", "", None)))
    assert _end(cluster, plan) == 0
    assert copy(plan).copied == count


def test_a_copy_that_follows_writes_nothing_before_a_record_has_a_key(cluster: Cluster, plan: RekeyPlan) -> None:
    send_one(cluster, plan.source, b"no JSON")
    with following(plan) as errors:
        assert not wait_until(lambda: _end(cluster, plan) > 0, 2, every=0.2)
        send_one(cluster, plan.source, b'{"card": 1}')
        assert wait_until(lambda: _count(cluster, plan) == 2, 30, every=0.2)
    assert errors == []


def delete_topic(cluster: Cluster, topic: str) -> None:
    admin = open_admin(cluster)
    admin.delete_topics([topic])[topic].result(timeout=30)
    assert wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, every=0.1)


def test_a_target_that_was_created_again_gets_all_records_anew(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(10))
    copy(plan)
    delete_topic(cluster, plan.target)
    with capture_logs() as logs:
        assert copy(replace(plan, options="--key other")).copied == 10
    assert "the copy begins anew" in str(logs)
    assert numbers_in(cluster, plan.target) == list(range(10))
    assert copy(replace(plan, options="--key other")).copied == 0


def test_a_copy_is_not_continued_with_another_key(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(10))
    copy(replace(plan, options="--key card"))
    send(cluster, plan.source, range(10, 20))
    with pytest.raises(KafkaFailure, match=r"as 'topic \S+ with --key card', not as 'topic \S+ with --key n'"):
        copy(replace(plan, options="--key n"))
    assert copy(replace(plan, options="--key card")).copied == 10


def test_a_source_with_another_id_that_has_grown_past_the_position_is_an_error(
    cluster: Cluster, plan: RekeyPlan
) -> None:
    send(cluster, plan.source, range(4))
    copy(plan)
    # Kafka forgets the positions in a topic that is deleted, but later, and not every version.
    with closing(Consumer(cluster.client() | {"group.id": plan.name})) as consumer:
        earlier = TopicPartition(plan.source, 0, 1, metadata="topic of-before with ")
        consumer.commit(offsets=[earlier], asynchronous=False)
    with pytest.raises(KafkaFailure, match=f"{plan.source} was copied to {plan.target} as 'topic of-before"):
        copy(plan)
    assert numbers_in(cluster, plan.target) == list(range(4))


def test_markers_of_transactions_behind_the_last_record_are_not_lost_records(cluster: Cluster, plan: RekeyPlan) -> None:
    sender = Producer(cluster.producer() | {"transactional.id": f"{plan.source}-sender"})
    sender.init_transactions(30)
    for _ in range(2):
        sender.begin_transaction()
        sender.produce(plan.source, b'{"card": 1}', partition=0)
        sender.commit_transaction(30)
    assert copy(plan).copied == 2
    admin = open_admin(cluster)
    for deleted in admin.delete_records([TopicPartition(plan.source, 0, OFFSET_END)]).values():
        assert deleted.result(timeout=30).low_watermark == 4
    progress = copy(plan)
    assert (progress.copied, progress.lost) == (0, 0)


@contextmanager
def stopped_at_once() -> Iterator[threading.Event]:
    stopped = threading.Event()
    stopped.set()
    yield stopped


def test_an_interrupted_copy_says_so_and_is_continued(
    cluster: Cluster, plan: RekeyPlan, run_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(cluster, plan.source, range(10))
    command = ("rekey", "--from", plan.source, "--key", "card", "--bootstrap-servers", cluster.bootstrap_servers)
    with monkeypatch.context() as patch:
        patch.setattr(processes, "stop_signals", stopped_at_once)
        interrupted = run_here(*command)
        follows = run_here(*command, "--follow")
    assert (interrupted.returncode, follows.returncode) == (130, 0)
    assert "interrupted; the same command continues the copy" in interrupted.stdout
    assert "interrupted" not in follows.stdout
    assert run_here(*command).returncode == 0
    assert numbers_in(cluster, plan.target) == list(range(10))


def failing_once(code: int) -> type[Producer]:
    """A producer whose third record fails with an error of the client."""

    class Failing(Producer):
        calls = 0

        def produce(self, *args: Any, **options: Any) -> None:
            Failing.calls += 1
            if Failing.calls == 3:
                raise KafkaException(KafkaError(code))
            super().produce(*args, **options)

    return Failing


@pytest.mark.parametrize("code", [-172, -150])  # _STATE, _FATAL
def test_a_broken_transaction_is_begun_again(
    cluster: Cluster, plan: RekeyPlan, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(rekeying, "Producer", failing_once(code))
    send(cluster, plan.source, range(10))
    assert copy(plan).copied == 10
    assert numbers_in(cluster, plan.target) == list(range(10))


def test_an_error_that_concerns_the_topic_is_no_refusal_of_a_record(
    cluster: Cluster, plan: RekeyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekeying, "Producer", failing_once(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    send(cluster, plan.source, range(10))
    with pytest.raises(KafkaAccessDenied, match=plan.target):
        copy(plan)


def test_a_target_with_records_of_another_origin_is_refused(
    cluster: Cluster, plan: RekeyPlan, new_topic: Callable[..., str]
) -> None:
    target = new_topic()
    send_one(cluster, target, b"{}")
    with pytest.raises(KafkaFailure, match=f"{target} has records, but no position"):
        copy(replace(plan, target=target))


def test_what_a_killed_first_transaction_left_is_no_obstacle(
    cluster: Cluster, plan: RekeyPlan, new_topic: Callable[..., str]
) -> None:
    target = new_topic()
    send(cluster, plan.source, range(10))
    killed = Producer(cluster.producer() | {"transactional.id": f"{target}-rekey"})
    killed.init_transactions(30)
    killed.begin_transaction()
    killed.produce(target, b'{"n": 0}')
    killed.flush(30)
    assert copy(replace(plan, target=target)).copied == 10
    assert numbers_in(cluster, target) == list(range(10))


@pytest.mark.parametrize(
    ("source", "target", "error", "what"),
    [
        ("no-such-topic", "x", TopicMissing, "the topic no-such-topic does not exist"),
        ("same", "same", SettingsError, "a topic cannot be copied to itself"),
    ],
)
def test_impossible_topics_are_refused(
    plan: RekeyPlan, source: str, target: str, error: type[FraudstreamError], what: str
) -> None:
    with pytest.raises(error, match=what):
        copy(replace(plan, source=source, target=target))


def test_a_compacted_target_is_refused(plan: RekeyPlan, new_topic: Callable[..., str]) -> None:
    target = new_topic(**{"cleanup.policy": "compact"})
    with pytest.raises(KafkaFailure, match=f"the topic {target} is compacted"):
        copy(replace(plan, target=target))


def test_records_that_retention_deleted_before_are_counted(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(20))
    copy(plan)
    send(cluster, plan.source, range(20, 40))
    admin = open_admin(cluster)
    for deleted in admin.delete_records([TopicPartition(plan.source, 0, 15)]).values():
        deleted.result(timeout=30)
    progress = copy(plan)
    assert (progress.copied, progress.lost) == (15, 5)
    assert "up to 5 records were deleted" in progress.summary(plan.target)


def test_a_source_that_was_created_again_is_an_error(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(4))
    copy(plan)
    with closing(Consumer(cluster.client() | {"group.id": plan.name})) as consumer:
        consumer.commit(offsets=[TopicPartition(plan.source, 0, 5_000)], asynchronous=False)
    with pytest.raises(KafkaFailure, match="it was created again"):
        copy(plan)


@contextmanager
def following(plan: RekeyPlan) -> Iterator[list[BaseException]]:
    """A copy that follows its source in a thread, with the errors that ended it."""
    stopped, errors = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            rekey(replace(plan, follow=True), stopped)
        except BaseException as e:
            errors.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        stopped.set()
        thread.join(60)


def test_a_copy_that_follows_copies_new_records_and_partitions(
    cluster: Cluster, plan: RekeyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekeying, "_COMMIT_SECONDS", 0.2)
    send(cluster, plan.source, range(10))
    with following(plan) as errors:
        assert wait_until(lambda: _count(cluster, plan) == 10, 60, every=0.2)
        send(cluster, plan.source, range(10, 20))
        assert wait_until(lambda: _count(cluster, plan) == 20, 60, every=0.2)
        admin = open_admin(cluster)
        for grown in admin.create_partitions([NewPartitions(plan.source, 3)]).values():
            grown.result(timeout=30)
        producer = Producer(cluster.producer())

        def sent() -> bool:
            """A broker may not know the new partition yet."""
            return 2 in producer.list_topics(plan.source, timeout=10).topics[plan.source].partitions

        assert wait_until(sent, 30)
        producer.produce(plan.source, b'{"n": 20, "card": 1}', partition=2)
        assert producer.flush(30) == 0
        assert wait_until(lambda: _count(cluster, plan) == 21, 60, every=0.2)
    assert errors == []
    assert numbers_in(cluster, plan.target) == list(range(21))


def _count(cluster: Cluster, plan: RekeyPlan) -> int:
    return len(records(cluster, plan.target))


def test_a_second_process_takes_the_copy_over_and_the_first_ends(cluster: Cluster, plan: RekeyPlan) -> None:
    send(cluster, plan.source, range(10))
    with following(plan) as errors:
        assert wait_until(lambda: _count(cluster, plan) == 10, 60, every=0.2)
        send(cluster, plan.source, range(10, 11))
        copy(plan)
        send(cluster, plan.source, range(11, 20))
        assert wait_until(lambda: bool(errors), 60)
    assert "another process copies to" in str(errors[0])
    copy(plan)
    assert numbers_in(cluster, plan.target) == list(range(20))


@pytest.mark.nightly
def test_a_copy_that_follows_outlives_a_kill_of_kafka(
    java: Java, jars: Jars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekeying, "MOST_TOGETHER", 100)
    own = broker_plan(tmp_path, java, jars)
    cluster, source = Cluster(own.bootstrap_servers), Topic.TRANSACTIONS.value
    plan = RekeyPlan(cluster, source, "keyed", key_reader("card", "", None))
    with ExitStack() as stack:
        with running_broker(own) as broker:
            send(cluster, source, range(20_000))
            errors = stack.enter_context(following(plan))
            assert wait_until(lambda: _end(cluster, plan) > 0, 60)
            broker.process.kill()
            broker.process.wait()
        stack.enter_context(running_broker(own))
        assert wait_until(lambda: _count(cluster, plan) == 20_000 or bool(errors), 120, every=1.0)
        assert errors == []
        assert numbers_in(cluster, "keyed") == list(range(20_000))


SLOW = """
import sys, time
from fraudstream.cli import main
from fraudstream.kafka import rekeying

rekeying.MOST_TOGETHER = 50
main()
"""


def kill_again_and_again(cluster: Cluster, plan: RekeyPlan, log: Path, kills: int, seed: int) -> None:
    """Kill the command that copies after it has committed something, at a random moment; then let it end."""
    command = [
        *(sys.executable, "-c", SLOW, "rekey", "--from", plan.source, "--key", "card"),
        *("--bootstrap-servers", cluster.bootstrap_servers),
    ]
    moments = random.Random(seed)
    for _ in range(kills):
        before = _end(cluster, plan)
        killed = spawn(command, log=log, env=dict(os.environ))
        try:
            assert wait_until(partial(_has_grown, cluster, plan, before), 60), log.read_text()
            threading.Event().wait(moments.uniform(0, 0.2))
            assert killed.poll() is None, log.read_text()
        finally:
            killed.kill()
            killed.wait()
    assert spawn(command, log=log, env=dict(os.environ)).wait(120) == 0, log.read_text()


def _has_grown(cluster: Cluster, plan: RekeyPlan, before: int) -> bool:
    return _end(cluster, plan) > before


def _end(cluster: Cluster, plan: RekeyPlan) -> int:
    try:
        return sum(end_offsets(cluster.bootstrap_servers, plan.target).values())
    except TopicMissing:
        return 0


def test_after_a_kill_the_command_goes_on_and_nothing_is_lost_or_doubled(
    cluster: Cluster, plan: RekeyPlan, tmp_path: Path
) -> None:
    send(cluster, plan.source, range(10_000))
    kill_again_and_again(cluster, plan, tmp_path / "log", kills=1, seed=1)
    assert numbers_in(cluster, plan.target) == list(range(10_000))


@pytest.mark.nightly
def test_killed_again_and_again_the_copy_is_equal_and_in_order(
    cluster: Cluster, plan: RekeyPlan, tmp_path: Path
) -> None:
    send(cluster, plan.source, range(30_000))
    seed = random.randrange(1_000_000)
    kill_again_and_again(cluster, plan, tmp_path / "log", kills=8, seed=seed)
    last = dict[bytes | None, int]()
    for message in records(cluster, plan.target):
        assert last.get(message.key(), -1) < number_of(message), f"seed {seed}"
        last[message.key()] = number_of(message)
    assert numbers_in(cluster, plan.target) == list(range(30_000)), f"seed {seed}"


def test_the_command_reports_what_it_copied_and_how_to_read_it(
    cluster: Cluster, plan: RekeyPlan, run_here: Command
) -> None:
    send(cluster, plan.source, range(100))
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    done = run_here("rekey", "--from", plan.source, "--key", "card", *servers)
    assert done.returncode == 0, done.stderr
    assert f"100 records copied to {plan.target}" in done.stdout
    assert f"FRAUDSTREAM_KAFKA_TOPIC_TRANSACTIONS={plan.target}" in done.stdout
    missing = run_here("rekey", "--from", "no-such-topic", "--key", "card", *servers)
    assert (missing.returncode, "remedy:" in missing.stderr) == (1, True)


OF_NO_BYTES = {
    "type": "record",
    "name": "Transaction",
    "fields": [
        {"name": "card", "type": "string"},
        {"name": "list", "type": {"type": "array", "items": "null"}},
    ],
}


def test_the_key_of_avro_records_is_that_of_their_rows() -> None:
    row = json.dumps({"card": 596, "amount": 1.5}).encode()
    with fake_registry() as fake:
        registry = SchemaRegistry.of(Settings(schema_registry=fake.url))
        encode = AvroEncoder({"card": True, "amount": True}, lambda schema: registry.register("s", schema))
        key_of = key_reader("card", "", registry)
        assert key_of(encode(row)) == "596"
        assert key_of(row) == "596"
        assert key_of(encode(row)[:7]) is None
        assert key_of(prefix_of(77) + encode(row)[5:]) is None
        fake.schemas[78] = '{"type": "string"}'
        assert key_of(prefix_of(78) + b"\x02a") is None
        # A list of them may have a trillion in ten bytes.
        fake.schemas[79] = json.dumps(OF_NO_BYTES)
        assert key_of(prefix_of(79) + b"\x02a\x80\x80\x80\x80\x80\x80\x80\x80\x7f") is None
        requests = len(fake.requests)
        assert key_of(prefix_of(77) + b"x") is None
        assert len(fake.requests) == requests
