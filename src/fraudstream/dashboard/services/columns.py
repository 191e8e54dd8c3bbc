"""Compares sampled transactions with the model's schema contract, and suggests aliases for missing features."""

import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from fraudstream.messages import posted as messages
from fraudstream.store.positions import TopicPartition
from fraudstream.store.reading import StoredSchema
from fraudstream.store.schemas import SchemaObservation, observation_of_sample
from fraudstream.transactions.drift import NUMBER_TYPE, Contract, Drift, drift_of
from fraudstream.transactions.wire import Outcome

MIN_VALUES: Final = 30
MAX_DISTANCE: Final = 0.2
MIN_LEAD: Final = 0.05
"""The runner-up, among the missing features as among the new columns, must be farther away by this much."""


@dataclass(slots=True)
class AliasCandidate:
    """A numeric column outside the contract: its newest sampled `values`, and its `first` observation.

    `never_beside` are the features that were missing in every transaction that had it; the latest was at `last_us`.
    """

    values: deque[float]
    first: SchemaObservation
    never_beside: frozenset[str]
    last_us: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggested alias of the missing feature `old`, with the evidence.

    Attributes:
        distance: Kolmogorov-Smirnov distance of the sampled values from the training quantiles, 0 to 1.
        runner_up: Distance of the next best pair of either; None without one.
    """

    new: str
    old: str
    distance: float
    values: int
    runner_up: float | None
    first: SchemaObservation


def distance(values: Sequence[float], quantiles: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of values from a distribution given by evenly spaced quantiles.

    The shares of both are compared at the quantiles, on both sides of each: several equal ones are a jump.
    """
    sample, shares = np.sort(np.asarray(values, dtype=float)), np.linspace(0.0, 1.0, len(quantiles))
    points, first, counts = np.unique(quantiles, return_index=True, return_counts=True)
    below = np.searchsorted(sample, points, side="left") / len(sample) - shares[first]
    up_to = np.searchsorted(sample, points, side="right") / len(sample) - shares[first + counts - 1]
    return float(np.abs([below, up_to]).max())


def suggest(
    candidates: Mapping[str, AliasCandidate],
    quantiles: Mapping[str, Sequence[float]],
    missing: Set[str],
    refused: Set[tuple[str, str]],
) -> list[Suggestion]:
    """Return the best pairs of a new column and a missing feature, the closest first; each is in one pair at most.

    `refused` are the pairs (new, old) that an analyst refused.
    """
    distances = {
        (new, old): distance(candidate.values, quantiles[old])
        for new, candidate in candidates.items()
        if len(candidate.values) >= MIN_VALUES
        for old in sorted(missing & candidate.never_beside)
        if len(quantiles.get(old, ())) > 1
    }
    suggestions = []
    for (new, old), far in sorted(distances.items(), key=lambda pair: pair[1]):
        others = [d for (n, o), d in distances.items() if (n == new) != (o == old)]
        runner_up = min(others, default=None)
        leads = runner_up is None or runner_up >= far + MIN_LEAD
        if far <= MAX_DISTANCE and leads and (new, old) not in refused:
            candidate = candidates[new]
            suggestions.append(Suggestion(new, old, far, len(candidate.values), runner_up, candidate.first))
    return suggestions


WINDOW_US: Final = 20_000_000
"""The recent transactions: those produced in the 20 s before the newest sample, `MAX_SAMPLES` samples at most."""

MAX_SAMPLES: Final = 1_000
MAX_CANDIDATES: Final = 64
MAX_VALUES: Final = 500


@dataclass(frozen=True, slots=True)
class ColumnSample:
    """A sampled transaction as it was scored; it represents `rows` transactions."""

    observation: SchemaObservation
    drift: Drift
    imputed: frozenset[str]
    scored_by: tuple[object, object]
    unscorable: bool
    rows: int


class Shares(NamedTuple):
    """The shares of the recent transactions that were not scored as in training, estimated from samples.

    Attributes:
        imputed: By feature, the share of transactions without a value for it.
        unscored: By feature, the part of that share that was unscorable: no median was used there.
        absent: By feature, the share of transactions without such a column.
        retyped: By feature, the unexpected type, from the newest transaction with one.
        since: By imputed feature, the first observation of this period.
        columns: The type of every column, from the newest transaction with it.
    """

    rows: int
    imputed: dict[str, float]
    unscored: dict[str, float]
    absent: dict[str, float]
    retyped: dict[str, str]
    unscorable: float
    since: dict[str, SchemaObservation]
    columns: dict[str, str]
    newest: ColumnSample | None


class ColumnWatch:
    """Watches the samples of one stream; every method may be called from any thread."""

    def __init__(self, first_observation: Callable[[str], StoredSchema | None]) -> None:
        """Start without samples; `first_observation` reads a schema's first observation, even by an earlier process."""
        self._first_observation = first_observation
        self._lock = threading.Lock()
        self._samples: deque[ColumnSample] = deque(maxlen=MAX_SAMPLES)
        self._since: dict[str, SchemaObservation] = {}
        self._unknown: OrderedDict[str, AliasCandidate] = OrderedDict()
        self._known_positions: set[TopicPartition | None] = set()

    def observe(self, samples: Iterable[tuple[messages.Sample, int]], contract: Contract | None) -> None:
        """Add posted samples with their weights; a transaction that was read again has the weight 0."""
        for sample, weight in samples:
            if contract is not None and weight and (observation := observation_of_sample(sample)) is not None:
                with self._lock:
                    self._add(sample, observation, weight, contract)

    def shares(self) -> Shares:
        """Return how the recent transactions were scored."""
        with self._lock:
            samples, since = list(self._samples), dict(self._since)
        rows = sum(sample.rows for sample in samples)
        imputed, absent, unscored = (defaultdict[str, float](float) for _ in range(3))
        retyped: dict[str, str] = {}
        columns: dict[str, str] = {}
        for sample in samples:
            columns |= sample.observation.columns
            for name in sample.imputed:
                imputed[name] += sample.rows / rows
                unscored[name] += sample.unscorable * sample.rows / rows
            for name in sample.drift.missing:
                absent[name] += sample.rows / rows
            retyped |= sample.drift.retyped
        unscorable = sum(sample.rows for sample in samples if sample.unscorable) / rows if rows else 0.0
        newest = samples[-1] if samples else None
        return Shares(rows, imputed, unscored, absent, retyped, unscorable, since, columns, newest)

    def suggestions(self, contract: Contract | None, refused: set[tuple[str, str]]) -> list[Suggestion]:
        """Return the aliases that the samples suggest."""
        if contract is None:
            return []
        missing = {name for name, share in self.shares().absent.items() if share > 0.5}
        with self._lock:
            oldest_us = min((sample.observation.produced_us or 0 for sample in self._samples), default=0)
            candidates = {
                name: replace(unknown, values=unknown.values.copy())
                for name, unknown in self._unknown.items()
                if unknown.last_us >= oldest_us and name not in contract.features and name not in contract.aliases
            }
        return suggest(candidates, contract.quantiles, missing, refused)

    def _add(self, posted: messages.Sample, observation: SchemaObservation, rows: int, contract: Contract) -> None:
        drift = drift_of(observation.columns, contract, is_whole=observation.is_whole)
        imputed = frozenset(drift.missing if posted.imputed is None else contract.features.keys() & posted.imputed)
        sample = ColumnSample(
            observation=observation,
            drift=drift,
            imputed=imputed,
            scored_by=(posted.model_id, posted.revision),
            unscorable=posted.outcome == Outcome.UNSCORABLE,
            rows=rows,
        )
        if self._samples and self._samples[-1].scored_by != sample.scored_by:
            self._samples.clear()  # samples of a former model, or of other aliases, no longer apply
        start = self._schema_start(observation)
        for name in sample.imputed - self._since.keys():
            self._since[name] = start if name in drift.missing else observation
        self._add_unknown(posted.values or {}, observation, drift, start)
        self._samples.append(sample)
        self._forget_old()
        self._known_positions.add(observation.partition)

    def _schema_start(self, observation: SchemaObservation) -> SchemaObservation:
        """Return the first observation of the schema, maybe before this process started."""
        if observation.partition in self._known_positions:
            return observation
        stored = self._first_observation(observation.schema_id)
        if stored is None or stored.first_topic is None or stored.first_partition is None:
            return observation
        place = TopicPartition(stored.first_topic, stored.first_partition)
        return SchemaObservation(observation.schema_id, {}, 0, place, stored.first_offset, stored.first_us)

    def _add_unknown(
        self, values: Mapping[str, Any], observation: SchemaObservation, drift: Drift, start: SchemaObservation
    ) -> None:
        for name in drift.added:
            if observation.columns[name] != NUMBER_TYPE:
                continue
            candidate = AliasCandidate(deque(maxlen=MAX_VALUES), start, frozenset(drift.missing))
            unknown = self._unknown.setdefault(name, candidate)
            unknown.never_beside &= candidate.never_beside
            unknown.last_us = observation.produced_us or 0
            if isinstance(value := values.get(name), int | float):
                unknown.values.append(float(value))
            self._unknown.move_to_end(name)
        while len(self._unknown) > MAX_CANDIDATES:
            self._unknown.popitem(last=False)

    def _forget_old(self) -> None:
        newest_us = self._samples[-1].observation.produced_us or 0
        while (self._samples[0].observation.produced_us or 0) < newest_us - WINDOW_US:
            self._samples.popleft()
        if self._since:
            imputed = frozenset[str]().union(*(sample.imputed for sample in self._samples))
            self._since = {name: observation for name, observation in self._since.items() if name in imputed}
