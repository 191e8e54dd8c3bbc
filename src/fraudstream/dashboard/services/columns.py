"""How the newest rows stand to the model's contract, from samples, in memory; what lasts is in the store (`sights`)."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from fraudstream.messages import posted as messages
from fraudstream.store.positions import SchemaObservation, TopicPartition, observation_of_sample
from fraudstream.store.reading import StoredSchema
from fraudstream.transactions.drift import NUMBER_TYPE, Contract, Drift, drift_of
from fraudstream.transactions.wire import Outcome

LEAST_VALUES: Final = 30
LARGEST_DISTANCE: Final = 0.2
LEAST_LEAD: Final = 0.05
"""The runner-up, among the missing features as among the new columns, must be so much farther away."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column of numbers that the contract does not know: the newest sampled `values`, and where it was `first` seen.

    `never_beside` are the features that were missing in every row that had it.
    """

    values: Sequence[float]
    first: SchemaObservation
    never_beside: Set[str]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An alias of the missing feature `old` that the data speak for, with the evidence.

    Attributes:
        distance: Kolmogorov-Smirnov distance of the sampled values from the training quantiles, 0 to 1.
        values: How many sampled values it rests on.
        runner_up: Distance of the next best pair of either; None where there is none.
        first: Where the new column was first seen.
    """

    new: str
    old: str
    distance: float
    values: int
    runner_up: float | None
    first: SchemaObservation


def distance(values: Sequence[float], quantiles: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov distance of values from a distribution known by evenly spaced quantiles.

    Between two quantiles the distribution is taken as even; where several are equal it jumps, and both sides of each
    jump are compared.
    """
    sample, known = np.sort(np.asarray(values, dtype=float)), np.asarray(quantiles, dtype=float)
    shares = np.linspace(0.0, 1.0, len(known))
    at, first = np.unique(known, return_index=True)
    last = np.append(first[1:], len(known)) - 1
    points = np.unique(np.concatenate([sample, at]))
    # Each value twice, with the shares before and after its jump.
    jumps = np.column_stack([shares[first], shares[last]]).ravel()
    # Between quantiles that are a subnormal apart the slope overflows: no share is above 1 all the same.
    below = np.clip(np.nan_to_num(np.interp(points, np.repeat(at, 2), jumps, left=0.0, right=1.0)), 0.0, 1.0)
    up_to = below.copy()
    is_jump = np.isin(points, at)
    below[is_jump], up_to[is_jump] = shares[first], shares[last]
    counted = len(sample)
    here_below = np.searchsorted(sample, points, side="left") / counted
    here_up_to = np.searchsorted(sample, points, side="right") / counted
    return float(max(np.abs(here_below - below).max(), np.abs(here_up_to - up_to).max()))


def suggest(
    candidates: Mapping[str, Candidate],
    quantiles: Mapping[str, Sequence[float]],
    missing: Set[str],
    refused: Set[tuple[str, str]],
) -> list[Suggestion]:
    """The best pairs of a new column and a missing feature, the closest first; each is in one pair at most.

    `refused` are the pairs (new, old) that a person has refused.
    """
    distances = {
        (new, old): distance(candidate.values, quantiles[old])
        for new, candidate in candidates.items()
        if len(candidate.values) >= LEAST_VALUES
        for old in sorted(missing & candidate.never_beside)
        if len(quantiles.get(old, ())) > 1
    }
    found = []
    for (new, old), far in sorted(distances.items(), key=lambda pair: pair[1]):
        others = [d for (n, o), d in distances.items() if (n == new) != (o == old)]
        runner_up = min(others, default=None)
        leads = runner_up is None or runner_up >= far + LEAST_LEAD
        if far <= LARGEST_DISTANCE and leads and (new, old) not in refused:
            candidate = candidates[new]
            found.append(Suggestion(new, old, far, len(candidate.values), runner_up, candidate.first))
    return found


WINDOW_US: Final = 20_000_000
"""The last rows: those produced in the twenty seconds before the newest sample, and no more than the next figure."""

MOST_SAMPLES: Final = 1_000
MOST_CANDIDATES: Final = 64
MOST_VALUES: Final = 500


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled row as it was judged; `rows` is how many it stands for."""

    observation: SchemaObservation
    drift: Drift
    imputed: frozenset[str]
    scored_by: tuple[object, object]
    unscorable: bool
    rows: int


class Shares(NamedTuple):
    """What share of the last rows was not scored as trained, as far as samples tell.

    Attributes:
        rows: Rows that the samples stand for.
        imputed: By feature, the share of rows in which the median was used (or that were unscorable for it).
        absent: By feature, the share of rows without such a column.
        retyped: By feature, the type that came in its place, from the newest row with one.
        since: By imputed feature, the first row of this spell.
    """

    rows: int
    imputed: dict[str, float]
    absent: dict[str, float]
    retyped: dict[str, str]
    unscorable: float
    since: dict[str, SchemaObservation]
    newest: Sample | None


@dataclass
class _Unknown:
    first: SchemaObservation
    last_us: int
    never_beside: set[str]
    values: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_VALUES))


class ColumnWatch:
    """Watches the samples of one stream; every method may be called from any thread."""

    def __init__(self, first_observation: Callable[[str], StoredSchema | None]) -> None:
        """Begin without samples; `first_sight` gives a schema's first observation, maybe by an earlier process."""
        self._first_observation = first_observation
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._since: dict[str, SchemaObservation] = {}
        self._unknown: OrderedDict[str, _Unknown] = OrderedDict()
        self._met: set[TopicPartition | None] = set()

    def observe(self, samples: Iterable[tuple[messages.Sample, int]], contract: Contract | None) -> None:
        """Take posted samples with their weights; a transaction that was read again says nothing new."""
        for sample, weight in samples:
            if contract is not None and weight and (observation := observation_of_sample(sample)) is not None:
                with self._lock:
                    self._take(sample, observation, weight, contract)

    def shares(self) -> Shares:
        """How the last rows were judged."""
        with self._lock:
            samples, since = list(self._samples), dict(self._since)
        rows = sum(sample.rows for sample in samples)
        imputed: dict[str, float] = {}
        absent: dict[str, float] = {}
        retyped: dict[str, str] = {}
        for sample in samples:
            for name in sample.imputed:
                imputed[name] = imputed.get(name, 0.0) + sample.rows / rows
            for name in sample.drift.missing:
                absent[name] = absent.get(name, 0.0) + sample.rows / rows
            retyped |= sample.drift.retyped
        unscorable = sum(sample.rows for sample in samples if sample.unscorable) / rows if rows else 0.0
        return Shares(rows, imputed, absent, retyped, unscorable, since, samples[-1] if samples else None)

    def suggestions(self, contract: Contract | None, refused: set[tuple[str, str]]) -> list[Suggestion]:
        """The aliases that the samples speak for."""
        if contract is None:
            return []
        missing = {name for name, share in self.shares().absent.items() if share > 0.5}
        with self._lock:
            oldest_us = min((sample.observation.produced_us or 0 for sample in self._samples), default=0)
            candidates = {
                name: Candidate(list(unknown.values), unknown.first, frozenset(unknown.never_beside))
                for name, unknown in self._unknown.items()
                if unknown.last_us >= oldest_us and name not in contract.features and name not in contract.aliases
            }
        return suggest(candidates, contract.quantiles, missing, refused)

    def _take(self, posted: messages.Sample, observation: SchemaObservation, rows: int, contract: Contract) -> None:
        drift = drift_of(observation.columns, contract, is_whole=observation.is_whole)
        imputed = frozenset(drift.missing if posted.imputed is None else contract.features.keys() & posted.imputed)
        sample = Sample(
            observation=observation,
            drift=drift,
            imputed=imputed,
            scored_by=(posted.model_id, posted.revision),
            unscorable=posted.outcome == Outcome.UNSCORABLE,
            rows=rows,
        )
        if self._samples and self._samples[-1].scored_by != sample.scored_by:
            self._samples.clear()  # how a former model, or other aliases, judged says nothing of now
        began = self._began(observation)
        for name in sample.imputed - self._since.keys():
            self._since[name] = began if name in drift.missing else observation
        self._note_unknown(posted.values or {}, observation, drift, began)
        self._samples.append(sample)
        self._forget_old()
        self._met.add(observation.partition)

    def _began(self, observation: SchemaObservation) -> SchemaObservation:
        """Where the row's set of columns began: before this process did, when it meets it in its first rows."""
        if observation.partition in self._met:
            return observation
        stored = self._first_observation(observation.schema_id)
        if stored is None or stored.first_topic is None or stored.first_partition is None:
            return observation
        place = TopicPartition(stored.first_topic, stored.first_partition)
        return SchemaObservation(observation.schema_id, {}, 0, place, stored.first_offset, stored.first_us)

    def _note_unknown(
        self, values: Mapping[str, Any], observation: SchemaObservation, drift: Drift, began: SchemaObservation
    ) -> None:
        for name in drift.added:
            if observation.columns[name] != NUMBER_TYPE:
                continue
            unknown = self._unknown.get(name)
            if unknown is None:
                unknown = self._unknown[name] = _Unknown(began, 0, set(drift.missing))
            unknown.never_beside &= set(drift.missing)
            unknown.last_us = observation.produced_us or 0
            if isinstance(value := values.get(name), int | float):
                unknown.values.append(float(value))
            self._unknown.move_to_end(name)
        while len(self._unknown) > MOST_CANDIDATES:
            self._unknown.popitem(last=False)

    def _forget_old(self) -> None:
        newest_us = self._samples[-1].observation.produced_us or 0
        while (self._samples[0].observation.produced_us or 0) < newest_us - WINDOW_US:
            self._samples.popleft()
        if self._since:
            still = frozenset[str]().union(*(sample.imputed for sample in self._samples))
            self._since = {name: observation for name, observation in self._since.items() if name in still}
