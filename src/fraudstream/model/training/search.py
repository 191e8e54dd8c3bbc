"""Searches for the best candidate by fitting before the validation period and comparing on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.model.evaluation.bootstrap import (
    Estimate,
    Floats,
    ScoredPeriod,
    average_precision,
    draw_paired,
    estimate,
)
from fraudstream.model.evaluation.inputs import Importance
from fraudstream.model.evaluation.record import Candidate
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.training.recipe import Algorithm, RowScores, fit_classifier, fit_scaler, scores
from fraudstream.model.training.split import Part

MARGIN: Final = 0.005
"""A smaller model of the best one's algorithm is preferred if it is behind by no more than this: the interval of such
a difference was wider on the folds of real payments, and a smaller model scores faster."""


@dataclass(frozen=True)
class Winner:
    """The algorithm to fit on all rows except the test period's, and all candidates, the best first.

    `periods` have the rows of each round as scored by the chosen candidate, which was not fitted on them; the last one
    is the validation period, and there is none without one.
    """

    algorithm: Algorithm
    periods: tuple[ScoredPeriod, ...]
    candidates: tuple[Candidate, ...]
    why: str

    @property
    def validated(self) -> ScoredPeriod | None:
        """The validation period; None if there is none."""
        return self.periods[-1] if self.periods else None


Round = tuple[Part, Part]
"""One comparison: candidates are fitted on the rows up to the first part, and evaluated on the second."""
EARLIER: Final[Round] = (Part.FIT, Part.COMPARISON)
LAST: Final[Round] = (Part.COMPARISON, Part.VALIDATION)


@dataclass(frozen=True)
class _Evaluated:
    """A candidate with its scored rows for each period, the latest last."""

    algorithm: Algorithm
    periods: tuple[ScoredPeriod, ...]

    @property
    def by_period(self) -> tuple[float, ...]:
        return tuple(average_precision(each.raw) for each in self.periods)

    @property
    def mean(self) -> float:
        return float(np.mean(self.by_period))


def search(
    frame: DataFrame,
    algorithms: Sequence[Algorithm],
    rounds: Sequence[Round],
    *,
    score_period: Callable[[RowScores], ScoredPeriod],
    components: int,
    seed: int,
    report: Callable[[str], None],
) -> Winner:
    """Fit each algorithm on the rows before a period and evaluate it on that period, for each round."""
    if not rounds:
        why = "no validation period to compare candidates on: the simplest was chosen"
        only = _Evaluated(algorithms[0], ())
        return Winner(only.algorithm, (), (_candidate(only, components, None, None, why, chosen=True),), why)
    periods: list[list[ScoredPeriod]] = [[] for _ in algorithms]
    part = F.col(TrainingColumn.PART)
    for number, (fitted_to, later) in enumerate(rounds, 1):
        early = frame.filter(part <= int(fitted_to))
        scaler = fit_scaler(early)
        fitted_on = scaler.transform(early).cache()
        evaluated_on = scaler.transform(frame.filter(part == int(later))).cache()
        period = f", period {number} of {len(rounds)}" if len(rounds) > 1 else ""
        try:
            for index, algorithm in enumerate(algorithms):
                report(f"candidate {index + 1} of {len(algorithms)}{period}: {algorithm.label}")
                classifier = fit_classifier(fitted_on, algorithm, seed)
                periods[index].append(score_period(scores(classifier, evaluated_on)))
                report(f"  average precision {average_precision(periods[index][-1].raw):.4f}")
        finally:
            fitted_on.unpersist()
            evaluated_on.unpersist()
    evaluated = [_Evaluated(algorithm, tuple(scored)) for algorithm, scored in zip(algorithms, periods, strict=True)]
    return _compare(evaluated, components, seed)


def _compare(evaluated: Sequence[_Evaluated], components: int, seed: int) -> Winner:
    ranked = sorted(evaluated, key=lambda each: -each.mean)
    best = ranked[0]
    near = [each for each in ranked if each.algorithm.name == best.algorithm.name and best.mean - each.mean <= MARGIN]
    chosen = min(near, key=lambda each: each.algorithm.predictions(components))
    by_period = zip(*([period.raw for period in each.periods] for each in ranked), strict=True)
    drawn = [[draws.average_precision for draws in draw_paired(rows, seed)] for rows in by_period]
    means: Floats = np.mean(drawn, axis=0)  # by candidate and round; the same rows are drawn for all candidates
    frauds = sum(int(period.raw.is_fraud.sum()) for period in best.periods)
    why = _why(chosen, best, len(ranked), components)
    candidates = []
    for each, rounds in zip(ranked, means, strict=True):
        behind = estimate(each.mean - best.mean, rounds - means[0], frauds) if each is not best else None
        reason = why if each is chosen else f"{best.mean - each.mean:.4f} behind the best"
        if each.mean > chosen.mean:
            reason = f"within {MARGIN} of {chosen.algorithm.label}, but slower to score with"
        own = estimate(each.mean, rounds, frauds)
        candidates.append(_candidate(each, components, own, behind, reason, chosen=each is chosen))
    return Winner(chosen.algorithm, chosen.periods, tuple(candidates), why)


def _why(chosen: _Evaluated, best: _Evaluated, count: int, components: int) -> str:
    on = "on the validation period" if len(chosen.by_period) == 1 else "on the average of two later periods"
    figure = f"average precision {chosen.mean:.4f} {on}"
    if count == 1:
        return f"the only one requested; {figure}"
    if chosen is best:
        return f"the best of {count}: {figure}"
    return (
        f"{figure}, within {MARGIN} of the best of {count} ({best.algorithm.label}: {best.mean:.4f}), "
        f"and a score takes at most {chosen.algorithm.predictions(components):,} steps instead of "
        f"{best.algorithm.predictions(components):,}"
    )


def _candidate(
    each: _Evaluated, components: int, own: Estimate | None, behind: Estimate | None, why: str, *, chosen: bool
) -> Candidate:
    algorithm = each.algorithm
    return Candidate(
        name=algorithm.label,
        algorithm=algorithm.name,
        parameters=algorithm.all_parameters,
        average_precision=own,
        by_period=each.by_period,
        difference=behind,
        predictions=algorithm.predictions(components),
        chosen=chosen,
        why=why,
    )


def importances(classifier: object, components: Sequence[str]) -> tuple[tuple[Importance, ...], str]:
    """Return each component's importance to a fitted classifier, the greatest first, and how it is measured."""
    if hasattr(classifier, "featureImportances"):
        values = np.asarray(classifier.featureImportances.toArray(), dtype=np.float64)
        note = "share of the impurity decrease over all splits of the trees (Spark's featureImportances)"
    else:
        values = np.abs(np.asarray(classifier.coefficients.toArray(), dtype=np.float64))  # type: ignore[attr-defined]
        note = "share of the sum of the absolute coefficients of the standardised components"
    total = float(values.sum()) or 1.0
    shares = map(Importance, components, (values / total).tolist())
    return tuple(sorted(shares, key=lambda each: -each.share)), note
