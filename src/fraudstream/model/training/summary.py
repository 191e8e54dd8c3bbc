"""Summarizes a training as JSON or as a table for the terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from fraudstream.messages.base import Object
from fraudstream.model.evaluation.record import Operating
from fraudstream.model.evaluation.thresholds import require_evaluation
from fraudstream.model.manifest import Feature, FeatureType, Manifest
from fraudstream.model.report.page import report_of
from fraudstream.model.report.terminal import text_table
from fraudstream.model.report.words import cautions
from fraudstream.model.training.declaration import suggested_entities
from fraudstream.model.training.training import TrainingResult

_OF_MANIFEST: Final = (
    "model_id", "algorithm", "label", "threshold", "threshold_rule", "requested", "name", "note", "tags", "excluded",
    "split", "refit", "metrics", "calibration", "history",
)  # fmt: skip
_OF_DATA: Final = ("rows", "frauds", "dialect", "notes")
_OF_METRICS: Final = ("average_precision", "roc_auc", "calibration_error")
_OF_EVALUATION: Final = ("candidates", "choice", "leaks", "influences", "drifts", "previous")
_OF_TIMELINE: Final = ("duplicates_removed", "label_delay_seconds")


def as_json(result: TrainingResult) -> Object:
    """Return the result as one JSON object: the manifest's figures, the artifact's path and the active deployment."""
    manifest, report = result.artifact.manifest, report_of(result.artifact.path)
    evaluation = require_evaluation(result.artifact.path)
    choice, row = evaluation.threshold, evaluation.threshold.row
    about, figures = asdict(manifest), asdict(evaluation)
    return {
        **{name: about[name] for name in _OF_MANIFEST},
        **{name: about["training_data"][name] for name in _OF_DATA},
        **{name: about["metrics"][name] for name in _OF_METRICS},
        **{name: figures[name] for name in _OF_EVALUATION},
        **{name: figures["timeline"][name] for name in _OF_TIMELINE},
        "path": str(result.artifact.path),
        "report": None if report is None else str(report),
        "reused": result.reused,
        "features": [feature.name for feature in manifest.features],
        "columns": [dict(zip(("name", "becomes", "detail"), each, strict=True)) for each in _decisions(manifest)],
        "review_cost": choice.review_cost,
        "expected": None if row is None else operating_as_json(row.expected, choice.review_cost),
        "on_test": None if row is None else operating_as_json(row.test, choice.review_cost),
        "warnings": [*cautions(evaluation), *manifest.warnings],
        "in_force": {"model_id": result.deployment.model_id, "revision": result.deployment.revision},
        "deployed": result.is_deployed,
        "suggested_entities": [asdict(entity) for entity in suggested_entities(manifest)],
    }


def operating_as_json(operating: Operating | None, review_cost: float) -> Object | None:
    """Return what a threshold catches and costs, with the derived rates."""
    if operating is None:
        return None
    rates = {name: getattr(operating, name) for name in ("alerts_per_day", "recall", "precision")}
    return asdict(operating) | rates | {"cost": operating.cost(review_cost), "saved": operating.saved(review_cost)}


def render(result: TrainingResult) -> RenderableType:
    """Render what `fraudstream train` prints: cautions and warnings, then data, selection, test and threshold."""
    manifest, evaluation = result.artifact.manifest, require_evaluation(result.artifact.path)
    notes = cautions(evaluation)
    warnings = [*(["; ".join(notes)] if notes else []), *manifest.warnings]
    table = text_table(
        "train.txt",
        result=result,
        manifest=manifest,
        evaluation=evaluation,
        report=report_of(result.artifact.path),
        entities=suggested_entities(manifest),
    )
    lines = (Text(f"warning: {warning}", style="yellow") for warning in warnings)
    return Group(Text(manifest.model_id, style="bold"), *lines, table)


def _decisions(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yield each column of the CSV with what it becomes and a detail or the reason, in file order."""
    features, notes = {feature.name: feature for feature in manifest.features}, manifest.training_data.notes
    for name in manifest.columns or (*features, *manifest.excluded):
        note = f"; read as: {notes[name]}" if name in notes else ""
        if name in features:
            yield name, features[name].type.value, _detail(features[name]) + note
        elif name == manifest.label:
            values = manifest.label_values
            yield name, "label", f"{values.fraud!r} is fraud, {values.legitimate!r} is not{note}"
        else:
            yield name, "left out", manifest.excluded.get(name, "") + note


def _detail(feature: Feature) -> str:
    match feature.type:
        case FeatureType.CATEGORY:
            number = len(feature.values)
            return f"{number} value{'s' if number != 1 else ''}, most often {feature.values[0]!r}; the rest is other"
        case FeatureType.TIME:
            return f"hour of the day (median {feature.median:.1f}) and weekday"
        case FeatureType.ELAPSED:
            return f"days to {feature.reference}, median {feature.median:,.0f}"
        case FeatureType.NUMBER:
            return f"median {feature.median:.6g}, from {feature.minimum:.6g} to {feature.maximum:.6g}"
