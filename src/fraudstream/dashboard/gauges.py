"""The dashboard's counters as Prometheus reads them; `stats.py` counts, `metrics.py` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fraudstream import metrics
from fraudstream.transactions.problems import ProblemKind
from fraudstream.transactions.wire import DetectorState


class Gauges(Collector):
    """The counters as Prometheus reads them, taken when it asks."""

    _SHOWN: Final = (
        ("payments_seen", metrics.PAYMENTS_SEEN),
        ("scored", metrics.PAYMENTS_SCORED),
        ("lag", metrics.LAG),
        ("rate", metrics.RATE),
        ("alerts", metrics.ALERTS),
        ("unscorable", metrics.UNSCORABLE),
        ("dead_letters", metrics.DEAD_LETTERS),
        ("rejected", metrics.REJECTED),
        ("conflicts", metrics.CONFLICTS),
        ("duplicates", metrics.DUPLICATES),
        ("viewers", metrics.VIEWERS),
    )

    def __init__(self, current: Callable[[], Mapping[str, Any]]) -> None:
        """Take what tells the counters: `Statistics.current`."""
        self._current = current

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names alone, so that registering asks the store nothing."""
        for _, metric in self._SHOWN:
            yield GaugeMetricFamily(*metric)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The counters now."""
        current = self._current()
        for key, metric in self._SHOWN:
            yield GaugeMetricFamily(*metric, value=current[key])


class SystemGauges(Collector):
    """The state of the whole system, as `/api/system` tells it."""

    def __init__(self, document: Callable[[], Mapping[str, Any]]) -> None:
        """Take what tells the state: `SystemState.document`."""
        self._document = document

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names alone, so that registering asks the store nothing."""
        for metric in (metrics.PROBLEMS, metrics.PROCESS_RUNNING, metrics.TASK_SLOTS, metrics.PARTITION_LAG,
                       metrics.PARTITION_STARVED, metrics.LOST_UNACKNOWLEDGED):  # fmt: skip
            yield GaugeMetricFamily(*metric)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The state now."""
        document = self._document()
        problems = GaugeMetricFamily(*metrics.PROBLEMS, labels=["kind"])
        for kind in ProblemKind:
            problems.add_metric([kind.value], sum(each["kind"] == kind for each in document["problems"]))
        running = GaugeMetricFamily(*metrics.PROCESS_RUNNING, labels=["process"])
        for process in document["processes"]:
            running.add_metric([process["process"]], process["state"] == DetectorState.RUNNING)
        lag = GaugeMetricFamily(*metrics.PARTITION_LAG, labels=["topic", "partition"])
        starved = GaugeMetricFamily(*metrics.PARTITION_STARVED, labels=["topic", "partition"])
        for each in document["partitions"]:
            place = [each["topic"], str(each["partition"])]
            lag.add_metric(place, each["lag"])
            starved.add_metric(place, each["starved_since"] is not None)
        yield from (problems, running, lag, starved)
        if document["task_slots"] is not None:
            yield GaugeMetricFamily(*metrics.TASK_SLOTS, value=document["task_slots"])
        yield GaugeMetricFamily(*metrics.LOST_UNACKNOWLEDGED, value=document["losses"]["records"])
