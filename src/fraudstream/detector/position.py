"""How far the query has read, by partition; exact at a batch's end, live from the consumers' own lag in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from py4j.java_gateway import JVMView
from py4j.protocol import Py4JError

_BEAN = "kafka.consumer:type=consumer-fetch-manager-metrics,client-id=*,topic={topic},partition=*"


def live_positions(jvm: JVMView, topic: str, ends: Mapping[int, int]) -> dict[int, int]:
    """The next offset that each partition's consumer will read: its end less the lag that the consumer reports.

    Real-time Mode tells its offsets only at a batch's end, minutes apart; Kafka's consumers in the driver's JVM
    (that is where they are on one machine) keep their lag as a JMX attribute.

    Args:
        jvm: The driver's JVM.
        topic: The input topic.
        ends: End offsets by partition, read just before.

    Returns:
        Positions of the partitions that have a consumer in this JVM; none on a cluster.
    """
    server = jvm.java.lang.management.ManagementFactory.getPlatformMBeanServer()
    positions: dict[int, int] = {}
    for name in server.queryNames(jvm.javax.management.ObjectName(_BEAN.format(topic=topic)), None):
        try:
            lag = float(server.getAttribute(name, "records-lag"))
            partition = int(name.getKeyProperty("partition"))
        except (Py4JError, ValueError):
            continue  # a consumer that is being closed takes its bean away between the two calls
        if partition in ends and lag >= 0:
            positions[partition] = max(positions.get(partition, 0), ends[partition] - int(lag))
    return positions


def committed_positions(progress: Mapping[str, Any], topic: str) -> dict[int, int]:
    """The end offsets of the last finished batch, from the query's progress."""
    positions: dict[int, int] = {}
    for source in progress.get("sources", []):
        end = source.get("endOffset") or {}
        by_topic = orjson.loads(end) if isinstance(end, str) else end
        for partition, offset in by_topic.get(topic, {}).items():
            positions[int(partition)] = int(offset)
    return positions
