"""Watermarks of a partition whose leader is not ready."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from fraudstream.kafka.reading import watermarks_of


class Starting:
    """A consumer that answers with errors first; the real race lasts some milliseconds, after one start of ten."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def get_watermark_offsets(self, partition: TopicPartition, **options: Any) -> tuple[int, int]:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return 3, 7


def consumer(*codes: int) -> Consumer:
    return cast(Consumer, Starting(*codes))


def test_a_broker_that_is_not_yet_the_leader_is_asked_again() -> None:
    starting = consumer(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert watermarks_of(starting, "payments", 0) == (3, 7)


def test_after_the_deadline_its_error_is_raised() -> None:
    with pytest.raises(KafkaException, match="NOT_LEADER_FOR_PARTITION"):
        watermarks_of(consumer(*[KafkaError.NOT_LEADER_FOR_PARTITION] * 9), "payments", 0, seconds=0.0)


def test_any_other_error_is_raised_at_once() -> None:
    denied = Starting(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        watermarks_of(cast(Consumer, denied), "payments", 0)
    assert len(denied.codes) == 1
