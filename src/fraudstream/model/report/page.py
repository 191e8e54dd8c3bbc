"""Renders the report page of an artifact.

The same evaluation and manifest give the same bytes. Values from a CSV are escaped by the template, charts by `svg.py`.
The page fetches nothing: its content security policy forbids it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from fraudstream.charts.plot import Figure
from fraudstream.model.evaluation.record import Evaluation, TestFigures
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import catching, making, words
from fraudstream.model.report.words import count, percent, score

REPORT_FILE: Final = "report.html"


def report_html(evaluation: Evaluation, manifest: Manifest) -> bytes:
    """Render the page as UTF-8, without using the manifest's checksums, as the report is one of the files."""
    # A leak is also a warning of the manifest, but is listed once, and first.
    leaks = [leak.message for leak in evaluation.leaks]
    page = (
        environment()
        .get_template("report.html")
        .render(
            evaluation=evaluation,
            manifest=manifest,
            headline=words.headline(evaluation),
            facts=list(words.facts(evaluation)),
            warnings=[*leaks, *(each for each in manifest.warnings if each not in leaks)],
            sections=[*_result_sections(evaluation), *_training_sections(evaluation, manifest)],
            components=sum(len(feature.components) for feature in manifest.features),
            words=words,
        )
    )
    return page.encode()


def environment() -> Environment:
    """Return the environment of the templates, which escapes every value."""
    return Environment(
        loader=PackageLoader("fraudstream.model.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def report_of(artifact: Path) -> Path | None:
    """Return the report in an artifact's directory; None if it was trained by a version that wrote none."""
    path = artifact / REPORT_FILE
    return path if path.is_file() else None


@dataclass(frozen=True)
class Table:
    """A table that is always open; the first cell of a row is its name."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of the page; `lead` is what it shows and how to read it, `lines` the results of its charts."""

    anchor: str
    title: str
    lead: str
    figures: Sequence[Figure] = ()
    lines: Sequence[str] = ()
    table: Table | None = None


def _result_sections(evaluation: Evaluation) -> Iterator[Section]:
    """Yield the sections on the results; those that need a test period are left out without one."""
    test = evaluation.test
    if test is not None:
        yield Section(
            "precision-recall",
            "Precision and recall",
            "Further right more frauds are caught; higher up more of the alerts are frauds. The band is the range of "
            "the curve for other samples of payments in this period.",
            [catching.precision_recall(evaluation, test)],
            words.catching(test),
            _workload(test),
        )
    yield Section(
        "threshold",
        "Cost by threshold",
        "A lower threshold misses fewer frauds and raises more false alarms. The recommended one has the lowest total "
        "cost on the validation period; the test period shows the result.",
        [catching.cost_by_threshold(evaluation), catching.alerts_by_threshold(evaluation)]
        if evaluation.thresholds
        else [],
        words.threshold(evaluation),
    )
    if test is not None:
        yield Section(
            "calibration",
            "Calibration",
            "Each point is a group of payments with similar scores. On the dashed line the fraud share equals the "
            "score; below it scores are too high. Both axes are logarithmic: nearly all payments have tiny scores.",
            [catching.reliability(test)],
            words.calibration(test),
        )
        yield Section(
            "scores",
            "Score distribution",
            "Frauds upwards, legitimate payments downwards, each as shares of its class. Scores right of the threshold "
            "are alerts.",
            [catching.score_distribution(evaluation, test)],
        )


def _training_sections(evaluation: Evaluation, manifest: Manifest) -> Iterator[Section]:
    yield Section(
        "importance",
        "Feature importance",
        f"{evaluation.importance_note[:1].upper()}{evaluation.importance_note[1:]}.",
        [making.importances(evaluation)] if evaluation.importances else [],
    )
    yield Section(
        "split",
        "Training and test periods",
        f"In order of {evaluation.timeline.ordered_by}: the test period follows the training period. Bars are the "
        "frauds of each part.",
        [making.split_in_time(evaluation)],
        [words.not_evaluated_on(evaluation)],
    )
    yield Section(
        "candidates",
        "Candidates",
        f"Chosen: {evaluation.choice}.",
        [making.candidates(evaluation)] if evaluation.candidates else [],
        [
            "No test row was used for the choice. Overlapping intervals do not make two candidates equal: the table "
            "has the paired difference."
        ]
        if len(evaluation.candidates) > 1
        else [],
    )
    test, comparison = evaluation.test, evaluation.previous
    chart = making.against_previous(test, comparison) if test is not None and comparison is not None else None
    yield Section(
        "previous",
        "Comparison with the previous model",
        words.previous(comparison, is_scored=test is not None),
        [chart] if chart is not None else [],
    )
    yield Section(
        "columns",
        "Leaks and excluded columns",
        "A feature that alone predicts the label may have been filled in after the fraud was known."
        if evaluation.leaks
        else "No feature alone predicts the label in the training rows.",
        table=_columns(evaluation, manifest),
    )


def _workload(test: TestFigures) -> Table | None:
    rows = test.at_alerts_per_day
    if not rows:
        return None
    return Table(
        "By alerts per day, on average over the test period",
        ("alerts per day", "threshold", "precision", "recall", "frauds caught"),
        [
            (
                count(at.alerts_per_day),
                score(at.threshold),
                percent(at.precision),
                percent(at.recall),
                count(at.frauds_caught),
            )
            for at in rows
        ],
    )


def _columns(evaluation: Evaluation, manifest: Manifest) -> Table | None:
    leaks = [
        (
            leak.feature,
            f"used, but alone it reaches an average precision of {leak.average_precision:.3f} and a ROC AUC of "
            f"{leak.roc_auc:.3f}",
        )
        for leak in evaluation.leaks
    ]
    left_out = [(name, f"left out: {why}") for name, why in manifest.excluded.items()]
    return Table("Columns", ("column", "treatment"), [*leaks, *left_out]) if leaks or left_out else None
