"""What the tests with a broker share: where the partitions of a topic end."""

from __future__ import annotations

from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks


def end_offsets(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """The offset after the last acknowledged record of each partition."""
    return {partition: end for partition, (_, end) in Watermarks(Cluster(bootstrap_servers), topic).read().items()}
