"""Summarizes a training as JSON or as a table for the terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fraudstream.messages.base import Object
from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.record import (
    Comparison,
    Evaluation,
    Operating,
    TestFigures,
    ThresholdChoice,
    read_evaluation,
)
from fraudstream.model.manifest import Feature, FeatureType, Manifest, Metrics, Period
from fraudstream.model.report.page import report_of
from fraudstream.model.training.training import TrainingResult

_MANIFEST_FIELDS: Final = ("model_id", "algorithm", "label", "threshold", "threshold_rule", "requested")


def as_json(result: TrainingResult) -> Object:
    """Return the result as one JSON object: the manifest's figures, the artifact's path and the active deployment."""
    manifest, report = result.artifact.manifest, report_of(result.artifact.path)
    return {
        **{name: getattr(manifest, name) for name in _MANIFEST_FIELDS},
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
        **_evaluation_json(read_evaluation(result.artifact.path)),
        "warnings": list(manifest.warnings),
        "in_force": {"model_id": result.deployment.model_id, "revision": result.deployment.revision},
    }


def _evaluation_json(evaluation: Evaluation | None) -> Object:
    """Return the fields from the evaluation; the curves stay in its file."""
    if evaluation is None:
        return {}
    row = evaluation.threshold.row
    return {
        "candidates": [asdict(candidate) for candidate in evaluation.candidates],
        "choice": evaluation.choice,
        "review_cost": evaluation.threshold.review_cost,
        "expected": None if row is None else operating_as_json(row.expected, evaluation.threshold.review_cost),
        "on_test": None if row is None else operating_as_json(row.test, evaluation.threshold.review_cost),
        "duplicates_removed": evaluation.timeline.duplicates_removed,
        "label_delay_seconds": evaluation.timeline.label_delay_seconds,
        "leaks": [asdict(leak) for leak in evaluation.leaks],
        "previous": None if evaluation.previous is None else asdict(evaluation.previous),
    }


def operating_as_json(operating: Operating | None, review_cost: float) -> Object | None:
    """Return what a threshold catches and costs, with the derived rates."""
    if operating is None:
        return None
    rates = {name: getattr(operating, name) for name in ("alerts_per_day", "recall", "precision")}
    return asdict(operating) | rates | {"cost": operating.cost(review_cost), "saved": operating.saved(review_cost)}


def render(result: TrainingResult) -> RenderableType:
    """Render the table that `fraudstream train` prints."""
    manifest = result.artifact.manifest
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    evaluation = read_evaluation(result.artifact.path)
    for name, value in (*_lines(manifest), *(evaluation_lines(evaluation) if evaluation is not None else ())):
        table.add_row(name, value)
    table.add_row("artifact", str(result.artifact.path) + (" (existed already)" if result.reused else ""))
    if (report := report_of(result.artifact.path)) is not None:
        table.add_row("report", str(report))
    deployment = result.deployment
    table.add_row(
        "active model", f"{deployment.model_id}, threshold {deployment.threshold:.6g}, revision {deployment.revision}"
    )
    columns = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("column", "becomes", ""):
        columns.add_column(heading, overflow="fold")
    for decision in _decisions(manifest):
        columns.add_row(*map(Text, decision))
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in manifest.warnings]
    return Group(Text(f"{manifest.algorithm}: {manifest.model_id}", style="bold"), *warnings, table, Text(), columns)


def _lines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    data, split, metrics = manifest.training_data, manifest.split, manifest.metrics
    yield "rows", f"{data.rows:,} in {data.name}" + (f" ({data.dialect})" if data.dialect else "")
    yield "frauds", f"{data.frauds:,} ({data.frauds / data.rows:.3%} of the rows), label {manifest.label}"
    if manifest.legitimate_share < 1:
        weight = 1 / manifest.legitimate_share
        yield "weights", f"each legitimate row represents {weight:.3f} (by their share in the file)"
    yield "split by", split.ordered_by
    yield "  trained on", _period(split.train)
    if split.validation is not None:
        yield "  threshold on", _period(split.validation) + ", the last part of it"
    yield "  tested on", "n/a" if split.test is None else _period(split.test) + ", not used in that fit"
    if manifest.refit is not None:
        yield "  deployed fit", manifest.refit.note
    yield "average precision", _average_precision(metrics)
    yield "ROC AUC", "n/a" if metrics.roc_auc is None else f"{metrics.roc_auc:.4f}"
    yield "threshold", f"{manifest.threshold:.6g}: {manifest.threshold_rule}"
    yield "  catches", _catches(metrics)
    yield "  costs", _costs(metrics)
    components = sum(len(feature.components) for feature in manifest.features)
    yield "features", f"{len(manifest.features)} columns, {components} vector components"


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


def _average_precision(metrics: Metrics) -> str:
    if metrics.average_precision is None:
        return metrics.measured_on
    low, high = metrics.average_precision_low, metrics.average_precision_high
    interval = "" if low is None or high is None else f" (95 % interval {low:.4f} to {high:.4f})"
    return f"{metrics.average_precision:.4f}{interval}{'' if metrics.reliable else ', unreliable: few frauds'}"


def _catches(metrics: Metrics) -> str:
    if metrics.frauds_caught is None or metrics.frauds is None:
        return metrics.measured_on
    recall = "" if metrics.recall is None else f" ({metrics.recall:.1%})"
    return f"{metrics.frauds_caught:,} of {metrics.frauds:,} frauds{recall}"


def _costs(metrics: Metrics) -> str:
    if metrics.false_alarms is None:
        return metrics.measured_on
    precision = "" if metrics.precision is None else f"; {metrics.precision:.1%} of the alerts are frauds"
    rate = metrics.false_alarms_per_1000
    per_thousand = "" if rate is None else f", {rate:.2f} in 1,000 legitimate rows"
    return f"{metrics.false_alarms:,.0f} false alarms{per_thousand}{precision}"


def evaluation_lines(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each line; a name that starts with a space belongs to the line above."""
    for candidate in evaluation.candidates if len(evaluation.candidates) > 1 else ():
        mark = "chosen" if candidate.chosen else "candidate"
        figure = estimate(candidate.average_precision) if candidate.average_precision is not None else "n/a"
        yield mark, f"{candidate.name}: average precision {figure}"
    yield "  because", evaluation.choice
    if evaluation.timeline.label_delay_seconds:
        yield "labels arrive", f"{evaluation.timeline.label_delay_seconds / 86_400:g} days after the payment"
    if evaluation.timeline.duplicates_removed:
        yield "duplicates", f"{evaluation.timeline.duplicates_removed:,} test rows equal a training row: not tested on"
    if evaluation.test is not None:
        yield from _test_lines(evaluation.test)
    yield from threshold_lines(evaluation.threshold)
    if evaluation.previous is not None:
        yield "compared with", comparison(evaluation.previous)


def _test_lines(figures: TestFigures) -> Iterator[tuple[str, str]]:
    for each in figures.recall_at_rates:
        value = f"catches {estimate(each.recall, percent=True)} of the frauds"
        yield f"  at {each.false_positive_rate:.1%} alarms", value
    for at in figures.at_alerts_per_day:
        value = f"{at.precision:.1%} of the alerts are frauds, {at.recall:.1%} of the frauds are caught"
        yield f"  at {at.alerts_per_day:g} alerts/day", value
    errors = figures.calibration
    yield "calibration", f"error {errors.error_after:.5f} (before it {errors.error_before:.5f})"


def threshold_lines(choice: ThresholdChoice) -> Iterator[tuple[str, str]]:
    """Yield the expected cost of the recommended threshold, and its cost on the test period."""
    yield "review cost", f"{choice.review_cost:g} per false alarm ({choice.review_cost_note})"
    yield "amounts", f"column {choice.amount_column}" if choice.amount_column else choice.amount_note
    if choice.row is None:
        return
    yield "  expected", operating_summary(choice.row.expected, choice.review_cost)
    if choice.row.test is not None:
        yield "  on later rows", operating_summary(choice.row.test, choice.review_cost)


def operating_summary(operating: Operating, review_cost: float) -> str:
    """Summarize what a threshold catches and costs over a period."""
    daily = "" if operating.alerts_per_day is None else f"{operating.alerts_per_day:,.1f} alerts a day, "
    return (
        f"{daily}{operating.frauds_caught:,} of {operating.frauds:,} frauds, {operating.false_alarms:,.0f} false alarms"
        f"; {operating.amount_caught:,.2f} caught, {operating.amount_missed:,.2f} missed, "
        f"{review_cost * operating.false_alarms:,.2f} of reviews: {operating.saved(review_cost):,.2f} saved"
    )


def comparison(previous: Comparison) -> str:
    """Summarize the comparison with the former model."""
    if previous.difference is None:
        return f"{previous.model_id}: {previous.note}"
    return (
        f"{previous.model_id}: average precision better by {estimate(previous.difference)} on {previous.rows:,} rows "
        f"({previous.note})"
    )


def estimate(figure: Estimate, *, percent: bool = False) -> str:
    """Format a figure with its interval, or with the reason why there is none."""
    form = ".1%" if percent else ".4f"
    ends = figure.interval
    if ends is None:
        return f"{figure.value:{form}} (no interval: {figure.note})"
    return f"{figure.value:{form}} (95 % interval {ends.low:{form}} to {ends.high:{form}})"
