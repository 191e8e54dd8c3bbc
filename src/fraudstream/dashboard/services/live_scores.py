"""Estimates the score distribution of live traffic from samples, in a histogram per hour for a day.

A sample represents the transactions since the previous one on its partition, so every figure is an estimate and comes
with its number of samples. A small file beside the store keeps it: a restart loses half a minute at most.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from fraudstream.messages.base import Object
from fraudstream.messages.posted import Sample
from fraudstream.runtime.files import replace_json
from fraudstream.times import microseconds
from fraudstream.transactions.wire import Outcome

log = structlog.get_logger(__name__)

LOGIT_END: Final = 16.0
BINS: Final = 320
"""Even steps of a tenth in the log odds of the score: the same resolution at 0.0001, at 0.5 and at 0.9999."""

HOURS: Final = 24
SAVE_SECONDS: Final = 30.0
FORMAT: Final = 1
EDGES: Final = 1.0 / (1.0 + np.exp(-np.linspace(-LOGIT_END, LOGIT_END, BINS + 1)))


@dataclass
class _Hour:
    """The transactions of one hour; `bins`: their number, its squares (for the error) and their scores, by score."""

    first_us: int
    last_us: int
    samples: int = 0
    threshold: float = 0.0
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, BINS)))


@dataclass(frozen=True)
class Traffic:
    """The scored transactions of the last day, estimated from samples: their number and sum of scores, by score.

    Attributes:
        size: The number of unweighted samples that would say as much.
        since_us: When the oldest was produced.
        threshold: The highest active threshold meanwhile: at and above it the store has every transaction as an alert.
    """

    rows: NDArray[np.float64]
    scores: NDArray[np.float64]
    size: float
    samples: int
    days: float
    since_us: int
    threshold: float

    def between(self, low: float, high: float) -> tuple[float, float]:
        """Estimate the transactions with a score from `low` to below `high`, and the sum of their scores."""
        # Within a bin the transactions count as uniform.
        inside = np.minimum(EDGES[1:], high) - np.maximum(EDGES[:-1], low)
        shares = np.clip(inside / np.diff(EDGES), 0.0, 1.0)
        return float(self.rows @ shares), float(self.scores @ shares)


class LiveScores:
    """Keeps the histograms of the active model; every method may be called from any thread."""

    def __init__(self, file: Path | None, clock: Callable[[], datetime]) -> None:
        """Load the histograms from a file; None keeps them in memory only."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._model_id: str | None = None
        self._hours: dict[int, _Hour] = {}
        self._saved_at: datetime | None = None
        if file is not None:
            self._load(file)

    def observe(self, samples: Iterable[tuple[Sample, int]]) -> None:
        """Add samples with their weights; a transaction that was read again has the weight 0."""
        with self._lock:
            if any([self._take(sample, weight) for sample, weight in samples]):
                self._save()

    def traffic(self, model_id: str) -> Traffic | None:
        """Return the traffic of the last day; None without a sample of this model."""
        with self._lock:
            if model_id != self._model_id or not self._hours:
                return None
            hours = list(self._hours.values())
            rows, squares, scores = sum((hour.bins for hour in hours), np.zeros((3, BINS)))
        return Traffic(
            rows=rows,
            scores=scores,
            size=float(rows.sum() ** 2 / squares.sum()),
            samples=sum(hour.samples for hour in hours),
            days=sum(max(hour.last_us - hour.first_us, 0) for hour in hours) / 86_400e6,
            since_us=min(hour.first_us for hour in hours),
            threshold=max(hour.threshold for hour in hours),
        )

    def _take(self, sample: Sample, rows: int) -> bool:
        produced_us, score, model_id = sample.produced_us, sample.score, sample.model_id
        scored = sample.outcome in (Outcome.CLEAR, Outcome.ALERT)
        if not rows or not scored or score is None or model_id is None or produced_us is None:
            return False
        if model_id != self._model_id:  # scores of two models are not comparable
            self._model_id, self._hours = model_id, {}
        hour_number = produced_us // 3_600_000_000
        hour = self._hours.setdefault(hour_number, _Hour(produced_us, produced_us))
        index = min(max(int(np.searchsorted(EDGES, score, side="right")) - 1, 0), BINS - 1)
        hour.bins[:, index] += rows, rows**2, rows * score
        hour.samples += 1
        hour.threshold = max(hour.threshold, sample.threshold or 0.0)
        hour.first_us, hour.last_us = min(hour.first_us, produced_us), max(hour.last_us, produced_us)
        newest = max(self._hours)
        for old in [each for each in self._hours if each <= newest - HOURS]:
            del self._hours[old]
        return True

    def _save(self) -> None:
        now = self._clock()
        if self._file is None or (
            self._saved_at is not None and 0 <= (now - self._saved_at).total_seconds() < SAVE_SECONDS
        ):
            return
        self._saved_at = now
        hours = {str(each): _hour_as_json(hour) for each, hour in self._hours.items()}
        try:
            replace_json(self._file, {"format": FORMAT, "model_id": self._model_id, "hours": hours})
        except OSError as e:
            log.warning("cannot save the score distribution", file=str(self._file), reason=e.strerror)

    def _load(self, file: Path) -> None:
        oldest = microseconds(self._clock().astimezone(UTC)) // 3_600_000_000 - HOURS
        try:
            saved = orjson.loads(file.read_bytes())
            if saved["format"] == FORMAT:
                self._hours = {int(at): _hour_from(hour) for at, hour in saved["hours"].items() if int(at) > oldest}
                self._model_id = saved["model_id"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            log.warning("cannot read the saved score distribution: starting a new one", file=str(file), reason=str(e))


_HOUR_FIELDS: Final = ("first_us", "last_us", "samples", "threshold")


def _hour_as_json(hour: _Hour) -> Object:
    """Return the non-empty bins only: most are empty."""
    bins = [[at, *hour.bins[:, at].tolist()] for at in np.flatnonzero(hour.bins[0]).tolist()]
    return {name: getattr(hour, name) for name in _HOUR_FIELDS} | {"bins": bins}


def _hour_from(saved: Object) -> _Hour:
    first_us, last_us, samples = (int(saved[name]) for name in _HOUR_FIELDS[:3])
    hour = _Hour(first_us, last_us, samples, float(saved.get("threshold", 0.0)))
    for at, *figures in saved["bins"]:
        hour.bins[:, at] = figures
    return hour
