"""Computes thresholds and metrics from the scores on the validation and test periods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.calibration import Calibration
from fraudstream.model.evaluation import curves, thresholds
from fraudstream.model.evaluation.bootstrap import (
    RELIABLE_FRAUDS,
    ScoredPeriod,
    ScoredRows,
    average_precision,
    draw,
    estimate,
    roc_auc,
)
from fraudstream.model.evaluation.record import (
    CalibrationReport,
    TestFigures,
    ThresholdChoice,
    ThresholdRow,
)
from fraudstream.model.evaluation.thresholds import RowLosses
from fraudstream.model.manifest import Metrics
from fraudstream.transactions.label import CsvProfile


@dataclass(frozen=True)
class LabelledData:
    """What is known of each row of some files besides its score: label, time, weight, and loss if it is missed.

    `weight` is how many rows of the full data each row represents.
    """

    profile: CsvProfile
    weight: NDArray[np.float64]
    losses: RowLosses

    @classmethod
    def of(cls, profile: CsvProfile, legitimate_share: float) -> LabelledData:
        """Weigh the legitimate rows of a sample by 1 / share, and take the losses from the amounts."""
        weight = np.where(profile.label.is_fraud, 1.0, 1.0 / legitimate_share)
        return cls(profile, weight, thresholds.losses(profile))

    def days(self, rows: NDArray[np.int64]) -> float | None:
        """Return the span of some rows in days; None without a time column, or if all times are equal."""
        time = self.profile.time
        if time is None or not len(rows):
            return None
        return float(np.ptp(time.values[rows])) / time.units_per_second / 86_400 or None

    def period(
        self, scores: tuple[NDArray[np.int64], NDArray[np.float64]], excluded: NDArray[np.bool_] | None = None
    ) -> ScoredPeriod:
        """Join labels, weights and losses to rows and their scores, without the excluded rows."""
        rows, score = scores
        if excluded is not None:
            included = ~excluded[rows]
            rows, score = rows[included], score[included]
        scored = ScoredRows(score, self.profile.label.is_fraud[rows], self.weight[rows])
        return ScoredPeriod(rows, scored, self.losses.by_row[rows], self.days(rows))


FRAUDS_FOR_COST: Final = 20
"""With fewer frauds a false-alarm rate decides on the threshold: the cheapest of so few was dearer (decision 41)."""
FALLBACK_RATE: Final = 0.001
_EVERY_ROW: Final = "; every row of it would be an alert: --review-cost and --max-alerts-per-day decide otherwise"


def choose_threshold(
    chosen_on: ScoredPeriod,
    test: ScoredPeriod | None,
    calibration: Calibration,
    losses: RowLosses,
    *,
    is_validated: bool,
    review_cost: float | None = None,
    max_alerts_per_day: float | None = None,
) -> tuple[ThresholdChoice, tuple[ThresholdRow, ...]]:
    """Return the threshold and the table to choose from, the highest first; SettingsError if none meets the limit.

    The cheapest, or that of a false-alarm rate of `FALLBACK_RATE` if there are fewer than `FRAUDS_FOR_COST` frauds.

    `chosen_on` is the validation period (`is_validated`), scored by a model not fitted on it, else the training rows.
    `test`, scored by the final model, is for information and never used for the choice. `review_cost` is that of a
    false alarm, None for the default.
    """
    expected = chosen_on.calibrated(calibration)
    is_rough = is_validated and int(expected.is_fraud.sum()) < FRAUDS_FOR_COST
    least = curves.threshold_at_rate(expected, FALLBACK_RATE) if is_rough else None
    candidates = thresholds.candidate_thresholds(expected)
    candidates = np.unique([*candidates, *([] if least is None else [least])])[::-1]
    tested = test.calibrated(calibration) if test is not None else None
    rows = tuple(
        ThresholdRow(
            threshold=float(threshold),
            expected=thresholds.operating(expected, chosen_on.loss, threshold, chosen_on.days),
            test=thresholds.operating(tested, test.loss, threshold, test.days)
            if test is not None and tested is not None
            else None,
        )
        for threshold in candidates
    )
    cost = thresholds.DEFAULT_REVIEW_COST if review_cost is None else review_cost
    row = thresholds.cheapest(rows, cost, max_alerts_per_day, least=least)
    return (
        ThresholdChoice(
            threshold=row.threshold,
            rule=_rule(cost, max_alerts_per_day, expected, is_validated=is_validated, is_rough=is_rough)
            + (_EVERY_ROW if (expected.score >= row.threshold).all() else ""),
            review_cost=cost,
            review_cost_note="given" if review_cost is not None else thresholds.REVIEW_COST_NOTE,
            max_alerts_per_day=max_alerts_per_day,
            amount_column=losses.column,
            amount_note=losses.note,
            row=row if is_validated else None,
        ),
        rows,
    )


def _rule(review_cost: float, limit: float | None, rows: ScoredRows, *, is_validated: bool, is_rough: bool) -> str:
    where = (
        f"{len(rows.score):,} rows ({int(rows.is_fraud.sum()):,} frauds) scored by a model fitted before them"
        if is_validated
        else "the training rows themselves (no validation period: likely too high)"
    )
    limited = f", at most {limit:g} alerts per day" if limit is not None else ""
    if is_rough:
        return (
            f"a false-alarm rate of {FALLBACK_RATE:.1%} on {where}{limited}; fewer than {FRAUDS_FOR_COST} frauds are "
            "too few for cost to decide"
        )
    return f"lowest cost on {where}: amounts of missed frauds, {review_cost:g} per false alarm{limited}"


def measure(test: ScoredPeriod, calibration: Calibration, method: str, seed: int) -> TestFigures:
    """Compute every metric on the test period; both classes are required."""
    scored = test.calibrated(calibration)
    draws = draw(scored, seed)
    before, after = curves.reliability(test.raw), curves.reliability(scored)
    frauds, weight = int(scored.is_fraud.sum()), float(scored.weight.sum())
    return TestFigures(
        rows=len(scored.score),
        frauds=frauds,
        weighted_rows=weight,
        fraud_share=float(scored.weight[scored.is_fraud].sum()) / weight,
        days=test.days,
        reliable=frauds >= RELIABLE_FRAUDS,
        average_precision=estimate(average_precision(scored), draws.average_precision, frauds),
        roc_auc=estimate(roc_auc(scored), draws.roc_auc, frauds),
        recall_at_rates=curves.recall_at_rates(scored, draws),
        at_alerts_per_day=curves.at_alerts_per_day(scored, test.days),
        precision_recall=curves.precision_recall_curve(scored, draws),
        roc=curves.roc_curve(scored),
        calibration=CalibrationReport(
            method=method,
            error_before=curves.expected_calibration_error(before),
            error_after=curves.expected_calibration_error(after),
            bins_before=before,
            bins_after=after,
        ),
        histogram=curves.histogram(scored),
    )


def metrics_of(
    test: ScoredPeriod | None, calibration: Calibration, figures: TestFigures | None, threshold: float, measured_on: str
) -> Metrics:
    """Return the manifest's summary of the metrics."""
    if test is None:
        return Metrics(measured_on, reliable=False)
    scored = test.calibrated(calibration)
    at = thresholds.operating(scored, test.loss, threshold, test.days)
    legitimate = float(scored.weight[~scored.is_fraud].sum())
    metrics = Metrics(
        measured_on,
        reliable=False,
        frauds=at.frauds,
        frauds_caught=at.frauds_caught,
        false_alarms=at.false_alarms,
        false_alarms_per_1000=1000 * at.false_alarms / legitimate if legitimate else 0.0,
    )
    if figures is None:
        return metrics
    return replace(
        metrics,
        reliable=figures.reliable,
        average_precision=figures.average_precision.value,
        average_precision_low=figures.average_precision.low,
        average_precision_high=figures.average_precision.high,
        roc_auc=figures.roc_auc.value,
        recall=at.recall,
        precision=at.precision,
        calibration_error=figures.calibration.error_after,
    )
