"""How far the query has read, by partition; exact at a batch's end, live from the consumers' own lag in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError

_BEAN = "kafka.consumer:type=consumer-fetch-manager-metrics,client-id=*,topic={topic},partition=*"
_LAG = "records-lag"


class ConsumerLag:
    """Asks the Kafka consumers in the driver's JVM (where they are on one machine) for their lag, through JMX.

    Real-time Mode tells its offsets only at a batch's end, minutes apart.
    """

    def __init__(self, gateway: JavaGateway, topic: str) -> None:
        self._gateway = gateway
        jvm = gateway.jvm
        self._server = jvm.java.lang.management.ManagementFactory.getPlatformMBeanServer()
        self._interface = jvm.java.lang.Class.forName("javax.management.MBeanServer")
        self._pattern = jvm.javax.management.ObjectName(_BEAN.format(topic=topic))

    def partitions(self) -> frozenset[int]:
        """The partitions that have a consumer in this JVM."""
        return frozenset(int(name.getKeyProperty("partition")) for name in self._names())

    def positions(self, ends: Mapping[int, int]) -> dict[int, int]:
        """The next offset that each partition's consumer will read: the end less the lag that it reports.

        Args:
            ends: End offsets by partition, read just before.

        Returns:
            Positions of the partitions that have a consumer in this JVM; none on a cluster.
        """
        positions: dict[int, int] = {}
        # The newest consumer of a partition last: one of a query before stays for minutes, with the lag it had then.
        for name in sorted(self._names(), key=_number):
            try:
                lag = float(self._call("getAttribute", ("javax.management.ObjectName", name), _TEXT_LAG))
                partition = int(name.getKeyProperty("partition"))
            except (Py4JError, ValueError):
                continue  # a consumer that is being closed takes its bean away between the two calls
            if partition in ends and lag >= 0:
                positions[partition] = ends[partition] - int(lag)
        return positions

    def _names(self) -> list[Any]:
        return list(self._call("queryNames", ("javax.management.ObjectName", self._pattern), _NO_QUERY))

    def _call(self, method: str, *arguments: tuple[str, object]) -> Any:
        """Call a method of the interface MBeanServer: the server's own class is hidden from py4j by its module."""
        jvm = self._gateway.jvm
        types = self._gateway.new_array(jvm.java.lang.Class, len(arguments))
        values = self._gateway.new_array(jvm.java.lang.Object, len(arguments))
        for index, (kind, value) in enumerate(arguments):
            types[index] = jvm.java.lang.Class.forName(kind)
            values[index] = value
        return self._interface.getMethod(method, types).invoke(self._server, values)


def _number(name: Any) -> int:
    """Kafka numbers the consumers of a JVM at the end of their client ids."""
    number = str(name.getKeyProperty("client-id")).strip('"').rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


_NO_QUERY = ("javax.management.QueryExp", None)
_TEXT_LAG = ("java.lang.String", _LAG)


def committed_positions(progress: Mapping[str, Any], topic: str) -> dict[int, int]:
    """The end offsets of the last finished batch, from the query's progress."""
    positions: dict[int, int] = {}
    for source in progress.get("sources", []):
        end = source.get("endOffset") or {}
        by_topic = orjson.loads(end) if isinstance(end, str) else end
        for partition, offset in by_topic.get(topic, {}).items():
            positions[int(partition)] = int(offset)
    return positions
