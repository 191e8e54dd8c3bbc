"""Summarizes a training as JSON or as a table for the terminal."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fraudstream.messages.base import Object
from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.evaluation.inputs import STRONGLY_SHIFTED
from fraudstream.model.evaluation.record import Evaluation, Operating
from fraudstream.model.evaluation.thresholds import require_evaluation
from fraudstream.model.manifest import Feature, FeatureType, Manifest, Period
from fraudstream.model.report import words
from fraudstream.model.report.page import report_of
from fraudstream.model.report.words import SPACE, cautions, operating_summary
from fraudstream.model.training.declaration import suggested_entities
from fraudstream.model.training.training import TrainingResult

_MANIFEST_FIELDS: Final = ("model_id", "algorithm", "label", "threshold", "threshold_rule", "requested")
_MOST_REASONS: Final = 5


def as_json(result: TrainingResult) -> Object:
    """Return the result as one JSON object: the manifest's figures, the artifact's path and the active deployment."""
    manifest, report = result.artifact.manifest, report_of(result.artifact.path)
    evaluation = require_evaluation(result.artifact.path)
    choice, row = evaluation.threshold, evaluation.threshold.row
    return {
        **{name: getattr(manifest, name) for name in (*_MANIFEST_FIELDS, "name", "note", "tags")},
        "path": str(result.artifact.path),
        "report": None if report is None else str(report),
        "reused": result.reused,
        "rows": manifest.training_data.rows,
        "frauds": manifest.training_data.frauds,
        "features": [feature.name for feature in manifest.features],
        "excluded": dict(manifest.excluded),
        "dialect": manifest.training_data.dialect,
        "notes": dict(manifest.training_data.notes),
        "columns": [dict(zip(("name", "becomes", "detail"), each, strict=True)) for each in _decisions(manifest)],
        "split": asdict(manifest.split),
        "refit": asdict(manifest.refit) if manifest.refit else None,
        "metrics": asdict(manifest.metrics),
        **{name: getattr(manifest.metrics, name) for name in ("average_precision", "roc_auc", "calibration_error")},
        "calibration": asdict(manifest.calibration),
        "candidates": [asdict(candidate) for candidate in evaluation.candidates],
        "choice": evaluation.choice,
        "review_cost": choice.review_cost,
        "expected": None if row is None else operating_as_json(row.expected, choice.review_cost),
        "on_test": None if row is None else operating_as_json(row.test, choice.review_cost),
        "duplicates_removed": evaluation.timeline.duplicates_removed,
        "label_delay_seconds": evaluation.timeline.label_delay_seconds,
        "leaks": [asdict(leak) for leak in evaluation.leaks],
        "influences": [asdict(influence) for influence in evaluation.influences],
        "drifts": [asdict(drift) for drift in evaluation.drifts],
        "previous": None if evaluation.previous is None else asdict(evaluation.previous),
        "warnings": [*cautions(evaluation), *manifest.warnings],
        "in_force": {"model_id": result.deployment.model_id, "revision": result.deployment.revision},
        "deployed": result.is_deployed,
        "history": None if manifest.history is None else asdict(manifest.history),
        "suggested_entities": [asdict(entity) for entity in suggested_entities(manifest)],
    }


def operating_as_json(operating: Operating | None, review_cost: float) -> Object | None:
    """Return what a threshold catches and costs, with the derived rates."""
    if operating is None:
        return None
    rates = {name: getattr(operating, name) for name in ("alerts_per_day", "recall", "precision")}
    return asdict(operating) | rates | {"cost": operating.cost(review_cost), "saved": operating.saved(review_cost)}


def render(result: TrainingResult) -> RenderableType:
    """Render what `fraudstream train` prints: a line of cautions, then data, selection, test and threshold."""
    manifest, evaluation = result.artifact.manifest, require_evaluation(result.artifact.path)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    blocks = {
        "Data": [*_data(manifest), *_quality(evaluation)],
        "Selection": _selection(manifest, evaluation),
        "Test": _test(manifest, evaluation),
        "Threshold": [*_threshold(manifest, evaluation), *_results(result)],
    }
    for title, lines in blocks.items():
        table.add_row(Text(title, style="bold not dim"))
        for name, value in lines:
            table.add_row(f"  {name}", Text(value.replace(SPACE, " ")))
    notes = cautions(evaluation)
    first = [Text(f"warning: {'; '.join(notes)}", style="yellow")] if notes else []
    rest = [Text(f"warning: {warning}", style="yellow") for warning in manifest.warnings]
    return Group(Text(manifest.model_id, style="bold"), *first, *rest, table)


Lines = Iterator[tuple[str, str]]


def _data(manifest: Manifest) -> Lines:
    data, split = manifest.training_data, manifest.split
    dialect = f" ({data.dialect})" if data.dialect else ""
    share = f"{data.frauds:,} frauds ({data.frauds / data.rows:.3%}), label {manifest.label}"
    yield "rows", f"{data.rows:,} in {data.name}{dialect}; {share}"
    if data.notes:
        yield "read as", "; ".join(f"{name}: {note}" for name, note in data.notes.items())
    if manifest.legitimate_share < 1:
        yield "weights", f"each legitimate row represents {1 / manifest.legitimate_share:.3f}"
    yield "split by", split.ordered_by
    for name, period in (("fitted on", split.train), ("tuned on", split.validation), ("tested on", split.test)):
        if period is not None or name == "tested on":
            yield name, "n/a" if period is None else _period(period)
    if (history := manifest.history) is not None:
        names = ", ".join(f"{entity.kind} by {entity.column}" for entity in history.entities)
        yield "history of", f"{names}; {history.key.kind} is the stream's key; {len(history.names)} features"
    kinds = Counter(feature.type.value for feature in manifest.features)
    by_kind = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    yield "features", f"{len(manifest.features)} columns ({by_kind})"
    for number, (name, reason) in enumerate(manifest.excluded.items()):
        if number == _MOST_REASONS:
            yield "", f"and {len(manifest.excluded) - number} others: fraudstream inspect lists them"
            return
        yield "left out" if not number else "", f"{name}: {reason}"


def _quality(evaluation: Evaluation) -> Lines:
    timeline, moved = evaluation.timeline, [each for each in evaluation.drifts if each.index >= STRONGLY_SHIFTED]
    if timeline.label_delay_seconds:
        yield "labels arrive", f"{timeline.label_delay_seconds / 86_400:g} days after the payment"
    if timeline.duplicates_removed:
        yield "duplicates", f"{timeline.duplicates_removed:,} test rows equal a training row: not tested on"
    if moved:
        names = ", ".join(f"{each.feature} ({each.index:.2f})" for each in moved[:_MOST_REASONS])
        yield "drift", f"{len(moved)} of {len(evaluation.drifts)} features differ strongly in the test period: {names}"


def _selection(manifest: Manifest, evaluation: Evaluation) -> Lines:
    for candidate in evaluation.candidates:
        figure = candidate.average_precision
        text = "" if figure is None else f": average precision {estimate(figure)}"
        yield "chosen" if candidate.chosen else "", f"{candidate.name}{text}"
    yield "because", evaluation.choice
    if manifest.refit is not None:
        yield "deployed fit", manifest.refit.note


def _test(manifest: Manifest, evaluation: Evaluation) -> Lines:
    test = evaluation.test
    if test is None:
        yield "average precision", manifest.metrics.measured_on
        return
    yield "average precision", estimate(test.average_precision)
    yield "ROC AUC", estimate(test.roc_auc)
    for each in test.recall_at_rates:
        yield "recall", f"{estimate(each.recall, percent=True)} at {each.false_positive_rate:.1%} false alarms"
    errors = test.calibration
    without = "" if manifest.calibration.is_identity else f" ({errors.error_before:.5f} without)"
    yield "calibration", f"{errors.method}; error {errors.error_after:.5f}{without}"
    top = evaluation.influences[:_MOST_REASONS]
    if top:
        yield "most important", "; ".join(f"{each.feature} ({each.direction})" for each in top)
    if evaluation.previous is not None:
        yield from _comparison(evaluation.previous)


def _threshold(manifest: Manifest, evaluation: Evaluation) -> Lines:
    yield "threshold", f"{manifest.threshold:.6g}: {manifest.threshold_rule}"
    choice, row = evaluation.threshold, evaluation.threshold.row
    if row is None:
        return
    if not choice.amount_column:
        yield "amounts", choice.amount_note
    yield "expected", operating_summary(row.expected, choice.review_cost)
    if row.test is not None:
        yield "in the test", operating_summary(row.test, choice.review_cost)
        yield "  recall", estimate(row.test.recall_estimate, percent=True)
        if row.test.alerts:
            yield "  precision", estimate(row.test.precision_estimate(1 / evaluation.legitimate_share), percent=True)


def _results(result: TrainingResult) -> Lines:
    path, deployment = result.artifact.path, result.deployment
    yield "artifact", f"{path}{' (existed already)' if result.reused else ''}"
    if (report := report_of(path)) is not None:
        yield "report", str(report)
    active = f"{deployment.model_id}, threshold {deployment.threshold:.6g}, revision {deployment.revision}"
    yield "active model", active
    if entities := suggested_entities(result.artifact.manifest):
        yield "history", f"none; {', '.join(each.column for each in entities)} recur, and a model can learn from it:"
        yield "", suggestion(result.artifact.manifest)
    if not result.is_deployed:
        yield "not deployed", "this model is a candidate, compared above"


def suggestion(manifest: Manifest) -> str:
    """Return the command that trains on the same files with the history of the entities that recur."""
    entities = suggested_entities(manifest)
    data = [f"--data {shlex.quote(path)}" for path in manifest.training_data.paths]
    declared = [f"--entity {shlex.quote(f'{each.kind}={each.column}')}" for each in entities]
    return " ".join(["fraudstream train", *data, *declared])


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


def _period(period: Period) -> str:
    return f"{period.rows:,} rows, {period.frauds:,} frauds, {period.start} to {period.end}"


def _comparison(former: Comparison) -> Lines:
    """Yield each figure beside that of the former model, with the difference."""
    yield "compared with", f"{former.model_id} on {former.rows:,} rows; it was {former.note}"
    for name, new, old, difference in map(words.compared, former.measures):
        yield f"  {name}", f"{new} instead of {old}: {difference}"


def estimate(figure: Estimate, *, percent: bool = False) -> str:
    """Format a figure with its interval, or with the reason why there is none."""
    form = ".1%" if percent else ".4f"
    ends = figure.interval
    if ends is None:
        return f"{figure.value:{form}} (no interval: {figure.note})"
    return f"{figure.value:{form}} (95 % interval {ends.low:{form}} to {ends.high:{form}})"
