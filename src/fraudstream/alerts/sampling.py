"""Samples of the stream and how many transactions each stands for: the one estimator of counts from samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fraudstream.alerts.positions import Place, reports
from fraudstream.alerts.sight import Sight, sight_of_sample
from fraudstream.alerts.validation import instant
from fraudstream.transactions.wire import EventField, EventType


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled transaction; `event` is the whole record, `rows` how many transactions it stands for."""

    event: Mapping[str, Any]
    place: Place
    offset: int
    produced_us: int | None
    sight: Sight | None
    rows: int = 0


def check_sample(event: Mapping[str, Any]) -> Sample | None:
    """The sample in an event, its weight not known yet; None for any other event.

    Raises:
        Unfit: A value in it cannot be used.
    """
    if event.get(EventField.TYPE) != EventType.SAMPLE:
        return None
    (report,) = reports(event)
    offset = (report.position or 0) - 1
    return Sample(event, report.place, offset, instant(event, EventField.PRODUCED_AT), sight_of_sample(event))


class SampleWeights:
    """How many transactions a sample stands for: those since the sample before it on its partition."""

    REPLAY_US: Final = 5_000_000
    """A smaller offset of a transaction produced so much later is no replay: the topic was made anew."""

    def __init__(self, last: Mapping[Place, tuple[int, int]] | None = None) -> None:
        """Start from the last offset and time of each partition."""
        self._last = dict(last or {})

    def copy(self) -> SampleWeights:
        """Another one in the same state."""
        return SampleWeights(self._last)

    def weigh(self, place: Place, offset: int, produced_us: int | None) -> int:
        """The weight of a sample: 1 for the first of its partition, 0 for a transaction that was read again."""
        at_us = produced_us or 0
        known = self._last.get(place)
        if known is not None and offset <= known[0] and at_us <= known[1] + self.REPLAY_US:
            return 0
        self._last[place] = (offset, at_us)
        return 1 if known is None or offset <= known[0] else offset - known[0]
