"""Reads from where on a topic was not copied yet, and refuses to continue a copy that was made in another way."""

from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.reading import READ_SECONDS, partitions_of, read_topics, retry, watermarks_of

log = structlog.get_logger(__name__)

_NO_COORDINATOR: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
"""Of the group, for a moment after the start of a broker."""


def copy_positions(consumer: Consumer, source: str, target: str, note: str) -> tuple[dict[int, int], int, bool]:
    """Return by partition the offset at which a copy begins, how many records were deleted before, whether it is new.

    `note` describes the copy: it is the metadata of its positions, which the consumer's group has committed. Raises
    KafkaFailure if the target has other records or another copy, KafkaException.
    """
    partitions = [TopicPartition(source, each) for each in partitions_of(consumer, source)]
    committed = retry(lambda: consumer.committed(partitions, timeout=READ_SECONDS), READ_SECONDS, _NO_COORDINATOR)
    watermarks = {each.partition: watermarks_of(consumer, source, each.partition) for each in committed}
    begins = {partition: first for partition, (first, _) in watermarks.items()}
    if all(each.offset < 0 for each in committed):
        if any(True for _ in read_topics(consumer, target)):
            what = f"the topic {target} has records, but no position up to which {source} was copied to it"
            remedy = "name another topic with --to; Kafka forgets a position that nobody commits for a week"
            raise KafkaFailure(what, where=f"topic {target}", remedy=remedy)
        return begins, 0, True
    if any(each.offset > begins[each.partition] for each in committed):
        # None where the broker does not list the topic yet: to begin anew would then double everything.
        ends = [watermarks_of(consumer, target, each)[1] for each in partitions_of(consumer, target)]
        if ends and not any(ends):
            log.warning("the topic was created again, or never had a record; the copy begins anew", topic=target)
            return begins, 0, True
    lost = 0
    for each in committed:
        first, end = watermarks[each.partition]
        position = f"{source}[{each.partition}] {each.offset}"
        if each.metadata not in (None, "", note):
            what = f"{source} was copied to {target} as '{each.metadata}', not as '{note}'"
            remedy = "repeat the options of that copy; if the topic was created again, name another one with --to"
            raise KafkaFailure(what, where=position, remedy=remedy)
        if each.offset > end:
            what = f"the topic {source} ends before the position up to which it was copied: it was created again"
            raise KafkaFailure(what, where=position, remedy="name another topic with --to")
        if 0 <= each.offset < first:
            lost += first - each.offset
            log.warning("retention has deleted records before they were copied", record=position, until=first)
        begins[each.partition] = max(each.offset, first)
    return begins, lost, False
