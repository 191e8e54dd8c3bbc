"""The archive against a real Kafka: killed at random moments it has each record once, as the topic has them."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import orjson
import pytest
from confluent_kafka import Producer, TopicCollection, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from urllib3 import request

from archives import archiving, await_archived, held, rows_of, value
from commands import command_line
from fraudstream.archive import service
from fraudstream.errors import ArchiveError
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks, open_reader, read_topics
from fraudstream.kafka.topics import open_admin
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.processes import free_port, spawn, wait_until
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


def test_aborted_records_are_not_archived(cluster: Cluster, new_topic: NewTopic, tmp_path: Path) -> None:
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
        assert wait_until(lambda: archiver._next == {0: 8}, 20)  # noqa: SLF001 - beyond the markers
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
        assert value(archiver.gauges.lost) == 7
    assert [each["first"] for each in logs if "deleted records" in each["event"]] == [12]
    assert [offset for _, offset in held(tmp_path)] == [*range(5), *range(12, 20)]


def test_on_a_full_disk_the_archive_waits_and_then_has_everything(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(service, "MOST_ROWS", 1)
    topic, full = new_topic(2), threading.Event()
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    full.set()
    send(cluster, 2, range(5_000), topic)
    with archiving(of_topic(cluster, topic), tmp_path) as archiver:
        assert wait_until(lambda: value(archiver.gauges.failing) == 1, 30)
        assert held(tmp_path) == []
        full.clear()
        await_archived(archiver, ends(cluster, topic))
        assert value(archiver.gauges.failing) == 0
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
    port = free_port()
    process = command(cluster, topic, folder, "--metrics-port", port)
    expected = in_kafka(cluster, topic)
    assert len(expected) == rows
    try:
        assert wait_until((folder / "ready").exists, 60), (folder / "log").read_text()
        assert wait_until(lambda: len(held(folder_of)) >= rows, 120, every=0.5), (folder / "log").read_text()
        text = request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert held(folder_of) == expected
    assert not list(folder_of.rglob("*.partial"))
    by_name = {each.name: each.samples[0].value for each in text_string_to_metric_families(text)}
    assert (by_name["fraudstream_archive_failing"], by_name["fraudstream_archive_lost"]) == (0, 0)
    assert 0 < by_name["fraudstream_archived"] <= rows


def test_killed_at_random_moments_the_archive_has_each_record_once(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path
) -> None:
    kill_at_random(cluster, new_topic(3), tmp_path, kills=2, rows=6_000, seed=1)


@pytest.mark.nightly
def test_killed_thirty_times_the_archive_has_each_record_once(
    cluster: Cluster, new_topic: NewTopic, tmp_path: Path
) -> None:
    kill_at_random(cluster, new_topic(3), tmp_path, kills=30, rows=150_000, seed=2)
