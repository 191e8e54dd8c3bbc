"""The dashboard's counters as Prometheus reads them; `stats.py` counts, `metrics.py` names."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fraudstream import metrics
from fraudstream.transactions.ledger import ProblemKind
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

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The state now."""
        state, place = self._document(), ("topic", "partition")
        kinds = Counter(each["kind"] for each in state["problems"])
        yield _labelled(metrics.PROBLEMS, ["kind"], {(kind.value,): kinds[kind.value] for kind in ProblemKind})
        running: dict[tuple[str, ...], float] = {
            (each["process"],): each["state"] == DetectorState.RUNNING for each in state["processes"]
        }
        yield _labelled(metrics.PROCESS_RUNNING, ["process"], running)
        partitions: dict[tuple[str, ...], Any] = {
            (each["topic"], str(each["partition"])): each for each in state["partitions"]
        }
        yield _labelled(metrics.PARTITION_LAG, place, {at: each["lag"] for at, each in partitions.items()})
        starved: dict[tuple[str, ...], float] = {
            at: each["starved_since"] is not None for at, each in partitions.items()
        }
        yield _labelled(metrics.PARTITION_STARVED, place, starved)
        if state["task_slots"] is not None:
            yield GaugeMetricFamily(*metrics.TASK_SLOTS, value=state["task_slots"])
        yield GaugeMetricFamily(*metrics.LOST_UNACKNOWLEDGED, value=state["losses"]["records"])


def _labelled(metric: metrics.Metric, labels: Sequence[str], values: dict[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(*metric, labels=labels)
    for names, value in values.items():
        family.add_metric(names, value)
    return family
