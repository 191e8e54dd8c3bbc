"""The candidates, fitted before the validation period and compared on it; what one is made of is `recipe.py`'s."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.model.evaluation.bootstrap import Floats, average_precision, draw_paired, interval
from fraudstream.model.evaluation.evaluate import ScoredPeriod
from fraudstream.model.evaluation.record import Candidate, Estimate
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.training.recipe import Algorithm, RowScores, fit_classifier, fit_scaler, scores
from fraudstream.model.training.split import Part

WITHIN: Final = 0.005
"""A smaller model of the best one's kind that is behind it by no more than this is preferred: the interval of such a
difference was wider on the folds of real payments, and a smaller one is scored sooner."""


@dataclass(frozen=True)
class Stopwatch:
    """Shows the time since it was started."""

    now: Callable[[], datetime]
    started: datetime

    def __str__(self) -> str:
        """Minutes and seconds, as in "1 min 05 s"."""
        minutes, seconds = divmod(int((self.now() - self.started).total_seconds()), 60)
        return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


@dataclass(frozen=True)
class Found:
    """What the search gave: the algorithm to fit on all rows but the test's, and all candidates, the best first.

    `validated` are the validation rows as the chosen candidate scored them, which had not seen them; None where there
    is no such period.
    """

    algorithm: Algorithm
    validated: ScoredPeriod | None
    candidates: tuple[Candidate, ...]
    why: str


@dataclass(frozen=True)
class Round:
    """One comparison: fitted on the rows up to one part, judged on a later one."""

    fitted_to: Part
    evaluated_on: Part


EARLIER: Final = Round(Part.FIT, Part.COMPARISON)
LAST: Final = Round(Part.COMPARISON, Part.VALIDATION)


@dataclass(frozen=True)
class _Tried:
    """A candidate with its verdicts on each period, the latest last."""

    algorithm: Algorithm
    judged: tuple[ScoredPeriod, ...]

    @property
    def by_period(self) -> tuple[float, ...]:
        return tuple(average_precision(each.raw) for each in self.judged)

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_period))


def search(
    frame: DataFrame,
    algorithms: Sequence[Algorithm],
    rounds: Sequence[Round],
    *,
    judged: Callable[[RowScores], ScoredPeriod],
    slots: int,
    seed: int,
    report: Callable[[str], None],
    stopwatch: Stopwatch,
) -> Found:
    """Fit each on the rows before a period and judge it on that period, for each of the rounds."""
    if not rounds:
        why = "no validation period to compare candidates on: the simplest was taken"
        only = algorithms[0]
        return Found(only, None, (_candidate(only, slots, None, (), None, why, chosen=True),), why)
    verdicts: list[list[ScoredPeriod]] = [[] for _ in algorithms]
    part = F.col(TrainingColumn.PART)
    for number, each in enumerate(rounds, 1):
        early = frame.filter(part <= int(each.fitted_to))
        scaler = fit_scaler(early)
        fitted_on = scaler.transform(early).cache()
        evaluated_on = scaler.transform(frame.filter(part == int(each.evaluated_on))).cache()
        period = f", period {number} of {len(rounds)}" if len(rounds) > 1 else ""
        try:
            for place, algorithm in enumerate(algorithms, 1):
                report(f"candidate {place} of {len(algorithms)}{period}: {algorithm.shown} ({stopwatch})")
                classifier = fit_classifier(fitted_on, algorithm, seed)
                verdicts[place - 1].append(judged(scores(classifier, evaluated_on)))
                report(f"  average precision {average_precision(verdicts[place - 1][-1].raw):.4f} ({stopwatch})")
        finally:
            fitted_on.unpersist()
            evaluated_on.unpersist()
    tried = [_Tried(algorithm, tuple(found)) for algorithm, found in zip(algorithms, verdicts, strict=True)]
    return _compared(tried, slots, seed)


def _compared(tried: Sequence[_Tried], slots: int, seed: int) -> Found:
    ranked = sorted(tried, key=lambda each: -each.mean)
    best = ranked[0]
    near = [each for each in ranked if each.algorithm.name == best.algorithm.name and best.mean - each.mean <= WITHIN]
    chosen = min(near, key=lambda each: each.algorithm.predictions(slots))
    draws = _mean_draws(ranked, seed)
    why = _why(chosen, best, len(ranked), slots)
    candidates = []
    for each, drawn in zip(ranked, draws, strict=True):
        ends, gap = interval(drawn), interval(drawn - draws[0])
        behind = Estimate(each.mean - best.mean, gap.low, gap.high) if each is not best else None
        said = why if each is chosen else _why_not(each, best, chosen)
        own = Estimate(each.mean, ends.low, ends.high)
        candidates.append(_candidate(each.algorithm, slots, own, each.by_period, behind, said, chosen=each is chosen))
    return Found(chosen.algorithm, chosen.judged[-1], tuple(candidates), why)


def _mean_draws(ranked: Sequence[_Tried], seed: int) -> list[Floats]:
    """By candidate, the mean average precision by round of the bootstrap, the same rows drawn for all."""
    periods = range(len(ranked[0].judged))
    drawn = [draw_paired([each.judged[period].raw for each in ranked], seed) for period in periods]
    return [
        np.mean([by_candidate[place].average_precision for by_candidate in drawn], axis=0)
        for place in range(len(ranked))
    ]


def _why(chosen: _Tried, best: _Tried, count: int, slots: int) -> str:
    on = "on the validation period" if len(chosen.by_period) == 1 else "on the average of two later periods"
    figure = f"average precision {chosen.mean:.4f} {on}"
    if count == 1:
        return f"the only one asked for; {figure}"
    if chosen is best:
        return f"the best of {count}: {figure}"
    return (
        f"{figure}, within {WITHIN} of the best of {count} ({best.algorithm.shown}: {best.mean:.4f}), "
        f"and a score takes {chosen.algorithm.predictions(slots):,} steps at the most and not "
        f"{best.algorithm.predictions(slots):,}"
    )


def _why_not(each: _Tried, best: _Tried, chosen: _Tried) -> str:
    if each.mean > chosen.mean:
        return f"as good within {WITHIN} as {chosen.algorithm.shown}, but slower to score with"
    return f"{best.mean - each.mean:.4f} behind the best"


def _candidate(
    algorithm: Algorithm,
    slots: int,
    own: Estimate | None,
    by_period: tuple[float, ...],
    behind: Estimate | None,
    why: str,
    *,
    chosen: bool,
) -> Candidate:
    return Candidate(
        name=algorithm.shown,
        algorithm=algorithm.name,
        parameters=algorithm.described,
        average_precision=own,
        by_period=by_period,
        difference=behind,
        predictions=algorithm.predictions(slots),
        chosen=chosen,
        why=why,
    )


def importances(classifier: object, slots: Sequence[str]) -> tuple[tuple[tuple[str, float], ...], str]:
    """How much each slot matters to a fitted classifier, the greatest first, and what that figure is."""
    if hasattr(classifier, "featureImportances"):
        values = np.asarray(classifier.featureImportances.toArray(), dtype=np.float64)
        note = "share of the gain in purity over all splits of the trees (Spark's featureImportances)"
    else:
        values = np.abs(np.asarray(classifier.coefficients.toArray(), dtype=np.float64))  # type: ignore[attr-defined]
        note = "share of the sum of the absolute coefficients of the standardised slots"
    whole = float(values.sum()) or 1.0
    ranked = sorted(zip(slots, (values / whole).tolist(), strict=True), key=lambda pair: -pair[1])
    return tuple(ranked), note
