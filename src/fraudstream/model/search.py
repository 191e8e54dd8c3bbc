"""The candidates, fitted before the validation period and compared on it; what one is made of is `recipe.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.model.bootstrap import draw_paired, interval
from fraudstream.model.evaluation import average_precision
from fraudstream.model.evaluation_record import Candidate, Estimate
from fraudstream.model.judging import Judged
from fraudstream.model.progress import Stopwatch
from fraudstream.model.recipe import Algorithm, RowScores, TrainingColumn, fit_classifier, fit_scaler, scores
from fraudstream.model.split import Part

WITHIN: Final = 0.005
"""A candidate that is behind the best by no more than this and takes less to score with is preferred: the interval of
such a difference was ten times as wide on every fold of real payments."""


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        algorithm: The one to fit on all rows but the test's.
        validated: The validation rows as the chosen candidate scored them, which had not seen them; None where there is
            no such period.
        candidates: All that were tried, the best first.
        why: Why the chosen one was, in one sentence.
    """

    algorithm: Algorithm
    validated: Judged | None
    candidates: tuple[Candidate, ...]
    why: str


@dataclass(frozen=True)
class _Tried:
    algorithm: Algorithm
    judged: Judged
    average_precision: float


def search(
    frame: DataFrame,
    algorithms: Sequence[Algorithm],
    *,
    judged: Callable[[RowScores], Judged],
    is_validated: bool,
    slots: int,
    seed: int,
    report: Callable[[str], None],
    stopwatch: Stopwatch,
) -> Found:
    """Fit each on the earliest rows and judge it on the validation period.

    Args:
        frame: The rows with their `part` and `features`.
        algorithms: What to try; the first is taken where there is nothing to compare on.
        judged: Puts labels, weights and losses to rows and their scores.
        is_validated: Whether there is a validation period.
        slots: Of the vector.
        seed: Of everything random.
        report: Takes one line on each step.
        stopwatch: Tells how long it has been.
    """
    if not is_validated:
        why = "no validation period to compare candidates on: the simplest was taken"
        only = algorithms[0]
        return Found(only, None, (_candidate(only, slots, None, None, why, chosen=True),), why)
    part = F.col(TrainingColumn.PART)
    early = frame.filter(part == int(Part.FIT))
    scaler = fit_scaler(early)
    fitted_on = scaler.transform(early).cache()
    judged_on = scaler.transform(frame.filter(part == int(Part.VALIDATION))).cache()
    tried = []
    try:
        for number, algorithm in enumerate(algorithms, 1):
            report(f"candidate {number} of {len(algorithms)}: {algorithm.shown} ({stopwatch})")
            classifier = fit_classifier(fitted_on, algorithm, seed)
            rows = judged(scores(classifier, judged_on))
            tried.append(_Tried(algorithm, rows, average_precision(rows.raw)))
            report(f"  average precision {tried[-1].average_precision:.4f} on the validation period ({stopwatch})")
    finally:
        fitted_on.unpersist()
        judged_on.unpersist()
    return _compared(tried, slots, seed)


def _compared(tried: Sequence[_Tried], slots: int, seed: int) -> Found:
    ranked = sorted(tried, key=lambda each: -each.average_precision)
    best = ranked[0]
    near = [each for each in ranked if best.average_precision - each.average_precision <= WITHIN]
    chosen = min(near, key=lambda each: each.algorithm.predictions(slots))
    draws = [each.average_precision for each in draw_paired([each.judged.raw for each in ranked], seed)]
    why = _why(chosen, best, len(ranked), slots)
    candidates = []
    for each, drawn in zip(ranked, draws, strict=True):
        value, ends = each.average_precision, interval(drawn)
        gap = interval(drawn - draws[0])
        behind = Estimate(value - best.average_precision, gap.low, gap.high) if each is not best else None
        said = why if each is chosen else _why_not(each, best, chosen)
        own = Estimate(value, ends.low, ends.high)
        candidates.append(_candidate(each.algorithm, slots, own, behind, said, chosen=each is chosen))
    return Found(chosen.algorithm, chosen.judged, tuple(candidates), why)


def _why(chosen: _Tried, best: _Tried, count: int, slots: int) -> str:
    figure = f"average precision {chosen.average_precision:.4f} on the validation period"
    if count == 1:
        return f"the only one asked for; {figure}"
    if chosen is best:
        return f"the best of {count}: {figure}"
    return (
        f"{figure}, within {WITHIN} of the best of {count} ({best.algorithm.shown}: {best.average_precision:.4f}), "
        f"and a score takes {chosen.algorithm.predictions(slots):,} steps and not "
        f"{best.algorithm.predictions(slots):,}"
    )


def _why_not(each: _Tried, best: _Tried, chosen: _Tried) -> str:
    behind = best.average_precision - each.average_precision
    if behind <= WITHIN:
        return f"as good within {WITHIN}, but slower to score with than {chosen.algorithm.shown}"
    return f"{behind:.4f} behind the best"


def _candidate(
    algorithm: Algorithm, slots: int, own: Estimate | None, behind: Estimate | None, why: str, *, chosen: bool
) -> Candidate:
    return Candidate(
        name=algorithm.shown,
        algorithm=algorithm.name,
        parameters=algorithm.described,
        average_precision=own,
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
