"""The dashboard's counters as Prometheus reads them; `stats.py` counts, `metrics.py` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fraudstream import metrics


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
