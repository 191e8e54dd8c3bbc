"""Partitions read together: how much of one waits for the others."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from fraudstream.kafka import merging
from fraudstream.kafka.merging import TopicMerge

LIMIT = 100_000


class Record:
    """A record of 9,500 bytes, without its content."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def __len__(self) -> int:
        return 9_500

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 0, self._offset


class Records:
    """A consumer that returns what is added to it, and notes which partitions are paused and resumed."""

    def __init__(self) -> None:
        self.arrived: list[Message] = []
        self.calls: list[str] = []

    def add(self, partition: int, offsets: range) -> None:
        self.arrived += [cast(Message, Record(partition, offset)) for offset in offsets]

    def assign(self, partitions: list[TopicPartition]) -> None:
        pass

    def consume(self, *args: Any) -> list[Message]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.calls += [f"pause {each.partition}" for each in partitions]

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.calls += [f"resume {each.partition}" for each in partitions]


def test_a_paused_partition_is_resumed_below_half_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_BUFFERED", LIMIT)
    records = Records()
    merge = TopicMerge(cast(Consumer, records), "topic", {0: 0, 1: 0})
    records.add(0, range(11))
    merge.fetch()
    assert records.calls == ["pause 0"]
    for offsets in (range(2), range(2, 6)):
        records.add(1, offsets)
        merge.fetch()
        list(merge.in_order())
    merge.fetch()
    assert records.calls == ["pause 0"]
    records.add(1, range(6, 8))
    merge.fetch()
    list(merge.in_order())
    merge.fetch()
    assert records.calls == ["pause 0", "resume 0"]
