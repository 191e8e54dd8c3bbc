"""Describes an evaluated model in detail: what its features do, where its results hold, and what has drifted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.model.evaluation.bootstrap import Floats, ScoredPeriod, ScoredRows, average_precision
from fraudstream.model.evaluation.breakdown import Breakdown, by_amount, by_category, by_time
from fraudstream.model.evaluation.inputs import FeatureDrift, Influence, drift
from fraudstream.model.explanation.classifier import margins, read_classifier
from fraudstream.model.features.reading import Projected, TrainingColumn
from fraudstream.model.manifest import Feature, FeatureType, by_component
from fraudstream.model.training.plan import TrainingPlan
from fraudstream.model.training.split import Part

_MOST_FRAUDS, _MOST_LEGITIMATE = 200, 1_000
_MOST_NUMBERS: Final = 20_000_000
"""Of all shuffled copies of the sample together: 160 MB."""
_MOST_EXPLAINED: Final = 100
"""Rows of each class whose Shapley values are computed, one by one."""


def influences(
    algorithm: str, scaler: Path, classifier: Path, plan: TrainingPlan, vectors: DataFrame, test: ScoredPeriod
) -> tuple[Influence, ...]:
    """Measure each feature on a sample of the test rows, the one that matters most first.

    The saved model scores them without Spark: a job, and a frame of the shuffled copies, would take longer.
    """
    rng, is_fraud = np.random.default_rng(plan.settings.seed), test.raw.is_fraud
    chosen, scale = [], np.ones(len(is_fraud))
    limit = max(_MOST_NUMBERS // len(plan.components) // len(plan.choice.features) - _MOST_FRAUDS, _MOST_FRAUDS)
    for is_class, most in ((is_fraud, _MOST_FRAUDS), (~is_fraud, min(_MOST_LEGITIMATE, limit))):
        rows = np.flatnonzero(is_class)
        chosen.append(rng.choice(rows, min(most, len(rows)), replace=False))
        scale[rows] = len(rows) / len(chosen[-1])
    at = np.concatenate(chosen)
    weight, matrix = (test.raw.weight * scale)[at], _matrix(vectors, test.rows[at])
    features = by_component(plan.choice.features)
    column = np.array([number for number, feature in enumerate(features) for _ in feature.components])
    copies = [matrix]
    for number in range(len(features)):
        # As many frauds as in the period, not as in the sample, give their values to others.
        donors = rng.choice(len(at), len(at), p=weight / weight.sum())
        copies.append(np.where(column == number, matrix[donors], matrix))
    ranked = margins(algorithm, scaler, classifier, np.vstack(copies)).reshape(len(copies), -1)
    precision = np.array([average_precision(ScoredRows(each, is_fraud[at], weight)) for each in ranked])
    lost = precision[0] - precision[1:]
    saved = read_classifier(algorithm, features, scaler, classifier)
    explained = np.concatenate([np.flatnonzero(is_fraud[at] == each)[:_MOST_EXPLAINED] for each in (True, False)])
    parts = np.array([saved.parts(matrix[row]).contributions for row in explained])
    measured = [
        Influence(feature.name, float(lost[i]), float(np.abs(parts[:, i]).mean()), direction)
        for i, feature in enumerate(features)
        for direction in [_direction(feature, matrix[explained][:, column == i], parts[:, i])]
    ]
    return tuple(sorted(measured, key=lambda each: (-each.permutation, -each.shapley)))


def _matrix(vectors: DataFrame, rows: NDArray[np.int64]) -> Floats:
    """Collect the vectors of some rows, in their order."""
    # As text: `isin` would call the JVM for every number.
    of_rows = vectors.where(f"{TrainingColumn.ROW} IN ({', '.join(map(str, rows.tolist()))})")
    table = of_rows.select(
        TrainingColumn.ROW, vector_to_array(F.col(Projected.FEATURES)).alias(Projected.FEATURES)
    ).toArrow()
    values = table.column(Projected.FEATURES).combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    order = np.argsort(table.column(TrainingColumn.ROW).to_numpy())
    ordered: Floats = values[order][np.argsort(np.argsort(rows))]
    return ordered


def _direction(feature: Feature, values: Floats, contribution: Floats) -> str:
    """Say which values of a feature speak for fraud."""
    if not np.ptp(contribution) > 0:
        return "no effect in the sample"
    if feature.type is FeatureType.CATEGORY:
        means = [contribution[rows > 0].mean() if rows.any() else -np.inf for rows in values.T]
        return f"most for fraud: {[*feature.values, 'other'][int(np.argmax(means))]}"
    if not np.ptp(values[:, 0]) > 0:
        return ""
    together = float(np.corrcoef(values[:, 0], contribution)[0, 1])
    name = "later hours" if feature.type is FeatureType.TIME else "values"
    return "no clear direction" if abs(together) < 0.3 else f"{'higher' if together > 0 else 'lower'} {name}"


def breakdowns(
    plan: TrainingPlan, test: ScoredPeriod, scored: ScoredRows, threshold: float, ranked: Sequence[Influence]
) -> Iterator[Breakdown]:
    """Break the test period down by time, by amount, and by the category that the model uses most."""
    time = plan.profile.time
    if time is None:
        yield by_time(None, lambda row: f"row {test.rows[int(row)]}", scored, threshold)
    else:
        moments, a_day = time.values[test.rows], time.units_per_second * 86_400
        first = float(moments.min())
        yield by_time((moments - first) / a_day, lambda day: time.format(round(first + day * a_day)), scored, threshold)
    if (amount := plan.labelled.losses.column) is not None:
        yield by_amount(amount, test.loss, scored, threshold)
    columns = {column.name: column.categories for column in plan.profile.columns if column.categories is not None}
    for each in ranked:
        if (categories := columns.get(each.feature)) is not None:
            yield by_category(each.feature, categories.values, categories.codes[test.rows], scored, threshold)
            return


def drifts(plan: TrainingPlan) -> tuple[FeatureDrift, ...]:
    """Compare each number and category in the training and in the test period, what moved most first."""
    periods = (plan.split.is_train, plan.split.part == Part.TEST)
    columns = {column.name: column for column in plan.profile.columns}
    moved = [
        drift(feature, columns[feature.name], periods, plan.labelled.weight)
        for feature in plan.choice.features
        if feature.type in (FeatureType.NUMBER, FeatureType.CATEGORY) and all(rows.any() for rows in periods)
    ]
    return tuple(sorted(moved, key=lambda each: -each.index))
