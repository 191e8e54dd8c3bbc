"""Computes thresholds and metrics from the scores on the validation and test periods."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.calibration import Calibration
from fraudstream.model.evaluation import curves, thresholds
from fraudstream.model.evaluation.bootstrap import (
    RELIABLE_FRAUDS,
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


@dataclass(frozen=True)
class ScoredPeriod:
    """Rows of one period as scored by a model, by their numbers in the file, in ascending order.

    `raw` has the classifier's own scores; `loss` is the loss of a row if it is a missed fraud; `days` is the span of
    the period, None without a time column.
    """

    rows: NDArray[np.int64]
    raw: ScoredRows
    loss: NDArray[np.float64]
    days: float | None

    def calibrated(self, calibration: Calibration) -> ScoredRows:
        """Return the same rows with calibrated scores."""
        return replace(self.raw, score=calibration.of(self.raw.score))


@dataclass(frozen=True)
class ThresholdConstraints:
    """The user's constraints on the threshold; `review_cost` is that of a false alarm, None for the default."""

    review_cost: float | None = None
    max_alerts_per_day: float | None = None


NO_CONSTRAINTS: Final = ThresholdConstraints()


_EVERY_ROW: Final = "; every row of it would be an alert: --review-cost and --max-alerts-per-day decide otherwise"


def choose_threshold(
    chosen_on: ScoredPeriod,
    test: ScoredPeriod | None,
    calibration: Calibration,
    losses: RowLosses,
    constraints: ThresholdConstraints,
    *,
    is_validated: bool,
) -> tuple[ThresholdChoice, tuple[ThresholdRow, ...]]:
    """Return the cheapest threshold and its table, the highest first; SettingsError if none meets the limit.

    `chosen_on` is the validation period (`is_validated`), scored by a model not fitted on it, else the training rows.
    `test`, scored by the final model, is for information and never used for the choice.
    """
    expected = chosen_on.calibrated(calibration)
    tested = test.calibrated(calibration) if test is not None else None
    rows = tuple(
        ThresholdRow(
            threshold=float(threshold),
            expected=thresholds.operating(expected, chosen_on.loss, threshold, chosen_on.days),
            test=thresholds.operating(tested, test.loss, threshold, test.days)
            if test is not None and tested is not None
            else None,
        )
        for threshold in thresholds.candidate_thresholds(expected)
    )
    review_cost = thresholds.DEFAULT_REVIEW_COST if constraints.review_cost is None else constraints.review_cost
    row = thresholds.cheapest(rows, review_cost, constraints.max_alerts_per_day)
    return (
        ThresholdChoice(
            threshold=row.threshold,
            rule=_rule(review_cost, constraints.max_alerts_per_day, expected, is_validated=is_validated)
            + (_EVERY_ROW if (expected.score >= row.threshold).all() else ""),
            review_cost=review_cost,
            review_cost_note="given" if constraints.review_cost is not None else thresholds.REVIEW_COST_NOTE,
            max_alerts_per_day=constraints.max_alerts_per_day,
            amount_column=losses.column,
            amount_note=losses.note,
            row=row if is_validated else None,
        ),
        rows,
    )


def _rule(review_cost: float, limit: float | None, rows: ScoredRows, *, is_validated: bool) -> str:
    where = (
        f"the validation period ({len(rows.score):,} rows, {int(rows.is_fraud.sum()):,} frauds) with a model fitted on "
        "the rows before it"
        if is_validated
        else "the training rows themselves (no validation period: likely too high)"
    )
    limited = f", at most {limit:g} alerts per day" if limit is not None else ""
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
