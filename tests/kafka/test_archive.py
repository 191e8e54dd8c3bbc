"""The archive against a real Kafka: killed at random moments it has each record once, as the topic has them."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import orjson
import pytest
from confluent_kafka import Message, Producer, TopicCollection, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from urllib3 import request

from archives import NOON, archiving, await_archived, converter, held, rows_of, value
from commands import command_line
from fraudstream.archive import service
from fraudstream.archive.rows import Row
from fraudstream.archive.writer import Archive
from fraudstream.errors import ArchiveError
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks, open_reader, read_topics
from fraudstream.kafka.topics import open_admin, topic_id
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.processes import free_port, spawn, wait_until
from fraudstream.transactions.archive_files import archive_files
from fraudstream.transactions.data_source import open_data

pytestmark = pytest.mark.kafka

NewTopic = Callable[..., str]


def of_topic(cluster: Cluster, topic: str) -> Cluster:
    return Cluster(cluster.bootstrap_servers, KafkaSettings(topic_transactions=topic))


def send(cluster: Cluster, partitions: int, numbers: range, topic: str) -> None:
    producer = Producer(cluster.client())
    for number in numbers:
        content = orjson.dumps({"number": number, "amount": number + 0.25, "card_id": f"card {number % 7}"})
        producer.produce(topic, content, partition=number % partitions, headers={"event_id": f"e{number}"})
        if number % 10_000 == 9_999:
            producer.flush(60)
    assert producer.flush(60) == 0


def in_kafka(cluster: Cluster, topic: str) -> list[tuple[int, int]]:
    with open_reader(cluster) as consumer:
        records = ((each.partition() or 0, each.offset() or 0) for each in read_topics(consumer, topic))
        return sorted(records)


def ends(cluster: Cluster, topic: str) -> dict[int, int]:
    return {partition: end for partition, (_, end) in Watermarks(cluster, topic).read().items()}


def test_the_archive_has_each_record_once_with_its_ids(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic(2)
    send(cluster, 2, range(100), topic)
    own = of_topic(cluster, topic)
    with archiving(own, tmp_path) as archiver:
        await_archived(archiver, ends(cluster, topic))
        send(cluster, 2, range(100, 150), topic)
        await_archived(archiver, ends(cluster, topic))
    assert held(tmp_path) == in_kafka(cluster, topic)
    rows = rows_of(tmp_path)
    assert sorted(each["event_id"] for each in rows) == sorted(f"e{number}" for number in range(150))
    one = next(each for each in rows if each["event_id"] == "e41")
    assert orjson.loads(one["text"]) == {"number": 41, "amount": 41.25, "card_id": "card 6"}
    assert one["entity_ids"] == [("card_id", "card 6")]
    assert one["timestamp"] == one["event_time"]


def test_an_archive_is_read_as_data_by_kafka_s_time(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic(3)
    producer = Producer(cluster.client())
    for number in range(60):
        content = orjson.dumps({"number": number, "class": number % 2})
        producer.produce(topic, content, partition=number * 7 % 3, timestamp=1_700_000_000_000 + number)
    producer.produce(topic, b"no object", partition=0)
    assert producer.flush(60) == 0
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, ends(cluster, topic))
    source = open_data(tmp_path)
    assert source.columns == ("number", "class", "event_id")
    assert [orjson.loads(each)["number"] for each in source.json_rows()] == list(range(60))
    assert len(held(tmp_path)) == 61


def test_aborted_records_are_not_archived(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHECK_SECONDS", 0.2)
    topic = new_topic(1)
    producer = Producer(cluster.client() | {"transactional.id": topic})
    producer.init_transactions(30)
    for number in range(4):
        producer.begin_transaction()
        producer.produce(topic, b'{"number":%d}' % number)
        producer.flush(30)
        producer.abort_transaction(30) if number % 2 else producer.commit_transaction(30)
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, {0: 3})
        # Beyond the markers, so that nothing counts as lost once Kafka deletes them.
        await_archived(archiver, {0: 8})
        assert wait_until(lambda: value(archiver.lag) == 0, 20)
    assert [orjson.loads(each["text"])["number"] for each in rows_of(tmp_path)] == [0, 2]


def test_an_added_partition_is_archived(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka.admin import NewPartitions

    monkeypatch.setattr(service, "CHECK_SECONDS", 0.2)
    topic = new_topic(1)
    send(cluster, 1, range(5), topic)
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, {0: 5})
        admin = open_admin(cluster)
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        assert wait_until(lambda: ends(cluster, topic) == {0: 5, 1: 0}, 30)
        send(cluster, 2, range(5, 10), topic)
        await_archived(archiver, ends(cluster, topic))
    assert held(tmp_path) == in_kafka(cluster, topic)


def test_a_topic_that_was_created_again_is_refused(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
    from confluent_kafka.admin import NewTopic as Created

    topic = new_topic(1)
    send(cluster, 1, range(5), topic)
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, {0: 5})
    admin = open_admin(cluster)
    admin.delete_topics([topic])[topic].result(30)

    def is_gone() -> bool:
        (described,) = admin.describe_topics(TopicCollection([topic])).values()
        return described.exception(10) is not None

    assert wait_until(is_gone, 30)
    admin.create_topics([Created(topic, num_partitions=1)])[topic].result(30)
    send(cluster, 1, range(5), topic)
    with pytest.raises(ArchiveError, match="of another topic"), archiving(of_topic(cluster, topic), tmp_path):
        pass
    assert len(held(tmp_path)) == 5


def test_a_topic_that_is_created_again_meanwhile_ends_the_archive(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHECK_SECONDS", 0.2)
    topic, is_asked = new_topic(1), threading.Event()

    def another(*_: object) -> str:
        is_asked.set()
        return "another"

    def archive() -> None:
        with archiving(of_topic(cluster, topic), tmp_path) as archiver:
            assert wait_until(lambda: archiver.archive.positions == {0: 0}, 20)
            monkeypatch.setattr(service, "topic_id", another)
            assert is_asked.wait(20)

    with pytest.raises(ArchiveError, match="the topic was created again"):
        archive()


def test_records_that_the_client_has_are_not_lost_when_kafka_deletes_them(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHECK_SECONDS", 0.0)
    topic, is_reading, deleted = new_topic(1), threading.Event(), threading.Event()
    send(cluster, 1, range(50), topic)
    using = converter()
    original = using.rows

    def rows(message: Message) -> list[Row]:
        if message.offset() == 5:
            is_reading.set()
            assert deleted.wait(30)
        return original(message)

    monkeypatch.setattr(using, "rows", rows)
    with archiving(of_topic(cluster, topic), tmp_path, converter=using) as archiver:
        assert is_reading.wait(30)
        admin = open_admin(cluster)
        for future in admin.delete_records([TopicPartition(topic, 0, 40)]).values():
            future.result(30)
        deleted.set()
        await_archived(archiver, {0: 50})
        assert value(archiver.lost) == 0
    assert held(tmp_path) == [(0, offset) for offset in range(50)]


@pytest.mark.parametrize(("limit", "most"), [("MOST_ROWS", 3), ("MOST_BYTES", 2_000)])
def test_a_full_buffer_is_written_before_the_next_record_is_read(
    limit: str, most: int, cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, limit, most)
    topic, producer = new_topic(1), Producer(cluster.client())
    for _ in range(4):
        producer.produce(topic, b'{"items":[{},{},{},{},{}]}')
    assert producer.flush(60) == 0
    using = replace(converter(), envelope="items[]")
    with archiving(of_topic(cluster, topic), tmp_path, interval=600, converter=using) as archiver:
        await_archived(archiver, {0: 4})
    assert len(archive_files(tmp_path)) == 4
    assert len(rows_of(tmp_path)) == 20


def test_a_last_write_that_fails_is_an_error(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, is_reading, using = new_topic(1), threading.Event(), converter()
    send(cluster, 1, range(5), topic)
    original = using.rows

    def rows(message: Message) -> list[Row]:
        is_reading.set()
        return original(message)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(using, "rows", rows)

    def archive() -> None:
        with archiving(of_topic(cluster, topic), tmp_path, interval=600, converter=using):
            assert is_reading.wait(20)  # the record is buffered before the archive looks for its end
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ArchiveError, match="the last records cannot be written"):
        archive()
    assert held(tmp_path) == []


def test_records_of_a_day_that_is_removed_are_named(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic(1)
    producer = Producer(cluster.client())
    producer.produce(topic, b"{}", timestamp=NOON)
    assert producer.flush(60) == 0
    with capture_logs() as logs, archiving(of_topic(cluster, topic), tmp_path, days=3) as archiver:
        await_archived(archiver, {0: 1})
    assert [each["days"] for each in logs if "--days" in each["event"]] == [["2024-10-04"]]


def test_records_that_kafka_deleted_first_are_reported(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic(1)
    send(cluster, 1, range(5), topic)
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, {0: 5})
    send(cluster, 1, range(5, 20), topic)
    admin = open_admin(cluster)
    for future in admin.delete_records([TopicPartition(topic, 0, 12)]).values():
        future.result(30)
    with capture_logs() as logs, archiving(of_topic(cluster, topic), tmp_path) as archiver:
        await_archived(archiver, {0: 20})
        assert value(archiver.lost) == 7
    assert [each["first"] for each in logs if "deleted records" in each["event"]] == [12]
    assert [offset for _, offset in held(tmp_path)] == [*range(5), *range(12, 20)]


def test_on_a_full_disk_the_archive_waits_and_then_has_everything(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(service, "MOST_ROWS", 500)
    topic, full = new_topic(2), threading.Event()
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    own = of_topic(cluster, topic)
    with Archive.open(tmp_path, topic, topic_id(own, topic)):
        full.set()
    send(cluster, 2, range(5_000), topic)
    with archiving(own, tmp_path) as archiver:
        assert wait_until(lambda: value(archiver.failing) == 1, 30)
        assert held(tmp_path) == []
        full.clear()
        await_archived(archiver, ends(cluster, topic))
        assert value(archiver.failing) == 0
    assert held(tmp_path) == in_kafka(cluster, topic)


def command(cluster: Cluster, topic: str, folder: Path, *options: object) -> Popen[bytes]:
    """An archive process that writes every tenth of a second."""
    environment = {**os.environ, "FRAUDSTREAM_KAFKA_TOPIC_TRANSACTIONS": topic}
    arguments = ("--bootstrap-servers", cluster.bootstrap_servers, "--archive", folder / "archive", *options)
    line = command_line("archive", "--interval", "0.1s", *arguments)
    environment |= {"FRAUDSTREAM_READY_FILE": str(folder / "ready"), "FRAUDSTREAM_ENTITY_KEY": str(folder / "key")}
    return spawn(line, log=folder / "log", env=environment, cwd=folder)


def kill_at_random(cluster: Cluster, topic: str, folder: Path, kills: int, rows: int, seed: int) -> None:
    """Kill the process again and again while records are sent, and compare the archive with the topic."""
    rng, folder_of = random.Random(seed), folder / "archive"
    sender = threading.Thread(target=send, args=(cluster, 3, range(rows), topic))
    sender.start()
    try:
        for _ in range(kills):
            process = command(cluster, topic, folder)
            assert wait_until((folder / "ready").exists, 60), (folder / "log").read_text()
            with suppress(TimeoutExpired):
                pytest.fail(f"ended with {process.wait(rng.uniform(0, 0.6))}: {(folder / 'log').read_text()}")
            process.kill()
            process.wait()
            (folder / "ready").unlink()
            # Even before it is started again, what the killed process left is doubled nowhere.
            assert len(held(folder_of)) == len(set(held(folder_of)))
    finally:
        sender.join()
    port, archived_before = free_port(), len(held(folder_of))
    process = command(cluster, topic, folder, "--metrics-port", port)
    expected = in_kafka(cluster, topic)
    assert len(expected) == rows

    def metrics() -> dict[str, float]:
        text = request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
        return {each.name: each.samples[0].value for each in text_string_to_metric_families(text)}

    try:
        assert wait_until((folder / "ready").exists, 60), (folder / "log").read_text()
        assert wait_until(lambda: len(held(folder_of)) >= rows, 120, every=0.5), (folder / "log").read_text()
        # Counted when the files are in place.
        assert wait_until(lambda: metrics()["fraudstream_archived"] == rows - archived_before, 10), metrics()
        by_name = metrics()
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert held(folder_of) == expected
    assert not list(folder_of.rglob("*.partial"))
    assert (by_name["fraudstream_archive_failing"], by_name["fraudstream_archive_lost"]) == (0, 0)


def test_killed_at_random_moments_the_archive_has_each_record_once(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path
) -> None:
    kill_at_random(cluster, new_topic(3), tmp_path, kills=2, rows=6_000, seed=1)


@pytest.mark.nightly
def test_killed_thirty_times_the_archive_has_each_record_once(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path
) -> None:
    kill_at_random(cluster, new_topic(3), tmp_path, kills=30, rows=150_000, seed=2)
