"""A small evaluation, measured with the project's own figures on made-up scores, without Spark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from columns import manifest
from fraudstream.model.calibration import fit_calibration
from fraudstream.model.evaluation.bootstrap import Estimate, ScoredPeriod, ScoredRows
from fraudstream.model.evaluation.breakdown import by_amount, by_category, by_time
from fraudstream.model.evaluation.comparison import compare
from fraudstream.model.evaluation.evaluate import choose_threshold, measure
from fraudstream.model.evaluation.inputs import FeatureDrift, Importance, Influence
from fraudstream.model.evaluation.record import Candidate, Evaluation, LeakSuspicion, Stage, Timeline
from fraudstream.model.evaluation.thresholds import RowLosses
from fraudstream.model.manifest import Manifest

WEIGHT = 4.0
HOSTILE = "<script>alert('x')</script>\"&"


def scored_period(seed: int, rows: int = 1200) -> ScoredPeriod:
    """Rows of which a twentieth are frauds, with raw scores that are right more often than not."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(rows) < 0.05
    score = 1 / (1 + np.exp(-(rng.normal(size=rows) * 1.5 + 4 * is_fraud - 4)))
    weight = np.where(is_fraud, 1.0, WEIGHT)
    return ScoredPeriod(np.arange(rows), ScoredRows(score, is_fraud, weight), rng.gamma(2, 60, rows), 2.0)


def small_evaluation(feature: str = "V14", data: str = "payments.csv") -> tuple[Evaluation, Manifest]:
    """An evaluation with every part, and a manifest that goes with it; a column and the file have the given names."""
    validation, test, former = scored_period(1), scored_period(2), scored_period(3)
    raw = validation.raw
    calibration = fit_calibration(raw.score, raw.is_fraud, raw.weight)
    losses = RowLosses(validation.loss, feature, "")
    choice, rows = choose_threshold(validation, test, calibration, losses, is_validated=True)
    scored = test.calibrated(calibration)
    figures = measure(test, calibration, f"beta calibration on {feature}", 1)
    before = replace(test.raw, score=np.minimum(test.raw.score, former.raw.score))
    evaluated_manifest = manifest()
    evaluation = Evaluation(
        model_id=evaluated_manifest.model_id,
        algorithm=evaluated_manifest.algorithm,
        data=data,
        legitimate_share=1 / WEIGHT,
        seed=1,
        measured_on="the test period: the last 1,200 rows by time column 'Time', not seen in training",
        timeline=Timeline(
            ordered_by=f"time column '{feature}'",
            stages=(
                Stage("fit", 2400, 130, "0", "345600", 4.0),
                Stage("gap", 40, 2, "345601", "350000", 0.05),
                Stage("comparison", 1200, 61, "350001", "500000", 1.7),
                Stage("validation", 1200, int(raw.is_fraud.sum()), "500001", "672800", 2.0),
                Stage("test", 1203, int(test.raw.is_fraud.sum()), "672801", "845600", 2.0),
            ),
            label_delay_seconds=4400.0,
            duplicates_removed=3,
            duplicates_note="",
            unit_note="",
        ),
        candidates=(
            Candidate(
                name="gbt 40 x 4",
                algorithm="gbt",
                parameters={"maxDepth": 4},
                average_precision=Estimate(0.71, 0.62, 0.79),
                by_period=(0.7, 0.72),
                difference=None,
                predictions=160,
                chosen=True,
                why="the best",
            ),
            Candidate(
                name=f"logistic regression on {feature}",
                algorithm="logistic-regression",
                parameters={},
                average_precision=Estimate(0.6, 0.5, 0.7),
                by_period=(0.55, 0.65),
                difference=Estimate(-0.11, -0.2, -0.03),
                predictions=5,
                chosen=False,
                why="worse",
            ),
        ),
        choice="average precision 0.7100 on the average of two later periods, the best of 2",
        test=figures,
        threshold=choice,
        thresholds=rows,
        importances=(Importance(feature, 0.6), Importance("Amount", 0.4)),
        influences=(
            Influence(feature, 0.21, 1.4, "lower values"),
            Influence("Amount", -0.001, 0.2, "no clear direction"),
        ),
        breakdowns=(
            by_time(np.linspace(0, 2, 1200), lambda day: f"{672801 + 86400 * day:.0f}", scored, choice.threshold),
            by_amount("Amount", test.loss, scored, choice.threshold),
            by_category(
                feature, (feature, "other shop"), np.arange(1200, dtype=np.int32) % 2, scored, choice.threshold
            ),
        ),
        drifts=(FeatureDrift(feature, "number", (0.0, 0.0004), ("0.1", "0.9"), 0.31),),
        importance_note="share of the impurity decrease",
        leaks=(LeakSuspicion(feature, 0.995, 0.93, f"{feature!r} alone gives the label away: does it leak?"),),
        previous=compare(
            (replace(test, raw=test.calibrated(calibration)), replace(test, raw=before)),
            (choice.threshold, 0.5),
            review_cost=2.5,
            model_id="logistic-regression-ba9876543210",
            note="trained on the same file",
            seed=1,
        ),
    )
    return evaluation, replace(
        evaluated_manifest,
        label=feature,
        legitimate_share=1 / WEIGHT,
        excluded={"Time": "orders the rows", f"{feature} too": f"equals {feature}"},
        warnings=(f"{feature!r} alone gives the label away: does it leak?",),
        threshold=choice.threshold,
        calibration=calibration,
        training_data=replace(evaluated_manifest.training_data, name=data, rows=6043, frauds=300),
    )
