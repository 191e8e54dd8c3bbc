"""The new model against the one in force before it, on the same test rows; the new one's figures are `judging.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.errors import ModelError
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.assembled import load_fitted
from fraudstream.model.bootstrap import draw_paired, interval
from fraudstream.model.current import CURRENT_FILE, resolve
from fraudstream.model.evaluation import Scored, average_precision
from fraudstream.model.evaluation_record import Comparison, Estimate
from fraudstream.model.manifest import Manifest
from fraudstream.model.projection import project
from fraudstream.model.reading import Projected
from fraudstream.model.recipe import RowScores, TrainingColumn
from fraudstream.model.slots import text_columns


def model_before(models_dir: Path) -> tuple[ModelArtifact, Mapping[str, str]] | None:
    """The artifact in force and its aliases; None where there is none that can be read."""
    try:
        artifact, in_force = resolve(models_dir / CURRENT_FILE)
    except ModelError:
        return None
    return artifact, in_force.aliases


def scores_of(spark: SparkSession, artifact: ModelArtifact, aliases: Mapping[str, str], texts: DataFrame) -> RowScores:
    """The rows that a model could judge, in rising order, and its calibrated scores of them.

    Args:
        spark: The session.
        artifact: The model.
        aliases: New column name to the feature's name.
        texts: Rows with their number and their JSON.
    """
    manifest, fitted = artifact.manifest, load_fitted(artifact)
    vectors = project(texts, manifest.features, aliases=aliases)
    judgeable = vectors.where(
        F.col(Projected.IS_OBJECT) & (F.size(Projected.IMPUTED) <= F.lit(manifest.missing_limit))
    ).select(TrainingColumn.ROW, Projected.FEATURES)
    rows, raw = fitted.scores(judgeable)
    return rows, manifest.calibration.of(raw)


def why_not_comparable(before: Manifest, columns: tuple[str, ...], aliases: Mapping[str, str]) -> str:
    """Why a model cannot judge the rows of a CSV with these columns; empty where it can."""
    renamed = set(aliases.values())
    missing = [
        name for feature in before.features for name in text_columns([feature]) if name not in {*columns, *renamed}
    ]
    if len(missing) > before.missing_limit:
        shown = ", ".join(map(repr, missing[:5]))
        return f"it cannot judge these rows: the CSV lacks its columns {shown}{' and others' if missing[5:] else ''}"
    return ""


def compare(new: Scored, former: Scored, model_id: str, note: str, seed: int) -> Comparison:
    """The difference of average precision with its paired bootstrap interval. Needs both classes.

    Args:
        new: The test rows that both could judge, with the new model's scores.
        former: The same rows with the former model's.
        model_id: Of the former model.
        note: What limits the comparison.
        seed: Of the bootstrap.
    """
    mine, theirs = (draws.average_precision for draws in draw_paired([new, former], seed))
    value, own, gap = average_precision(former), interval(theirs), interval(mine - theirs)
    return Comparison(
        model_id=model_id,
        average_precision=Estimate(value, own.low, own.high),
        difference=Estimate(average_precision(new) - value, gap.low, gap.high),
        rows=len(new.score),
        note=note,
    )
