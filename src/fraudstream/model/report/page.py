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
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.evaluation.intervals import share_of
from fraudstream.model.evaluation.record import Evaluation, TestFigures
from fraudstream.model.evaluation.thresholds import excerpt
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import catching, making, words
from fraudstream.model.report.words import count, percent, plain, score, small_percent

REPORT_FILE: Final = "report.html"


def report_html(evaluation: Evaluation, manifest: Manifest) -> bytes:
    """Render the page as UTF-8, without using the manifest's checksums, as the report is one of the files."""
    environment = Environment(
        loader=PackageLoader("fraudstream.model.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A leak is also a warning of the manifest, but is listed once, and first.
    leaks = [leak.message for leak in evaluation.leaks]
    page = environment.get_template("report.html").render(
        evaluation=evaluation,
        manifest=manifest,
        headline=words.headline(evaluation),
        facts=list(words.facts(evaluation)),
        warnings=[*words.cautions(evaluation), *leaks, *(each for each in manifest.warnings if each not in leaks)],
        sections=[*_result_sections(evaluation), *_training_sections(evaluation, manifest)],
        components=sum(len(feature.components) for feature in manifest.features),
        words=words,
    )
    return page.encode()


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
    tables: Sequence[Table] = ()


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
        "A lower threshold misses fewer frauds and raises more false alarms. The recommended one was chosen "
        "before the test period, which shows the result.",
        [catching.cost_by_threshold(evaluation), catching.alerts_by_threshold(evaluation)]
        if evaluation.thresholds
        else [],
        words.threshold(evaluation),
        [*_confusion(evaluation), *_thresholds(evaluation)],
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
        tables=list(_influences(evaluation)),
    )
    if evaluation.breakdowns:
        yield Section(
            "stability",
            "Where the results hold",
            "The test period in parts, at the recommended threshold. A part of few frauds has a wide interval.",
            tables=list(_breakdowns(evaluation)),
        )
    if evaluation.drifts:
        yield Section(
            "data-card",
            "Data card",
            "A population stability index below 0.1 is a stable feature; beyond 0.25 its values are distributed "
            "otherwise than those that the model learned from. In a short test period the hour alone can do that.",
            tables=list(_data_card(evaluation)),
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
        tables=list(_measures(comparison)),
    )
    yield Section(
        "columns",
        "Leaks and excluded columns",
        "A feature that alone predicts the label may have been filled in after the fraud was known."
        if evaluation.leaks
        else "No feature alone predicts the label in the training rows.",
        tables=_columns(evaluation, manifest),
    )


def _measures(comparison: Comparison | None) -> Iterator[Table]:
    if comparison is not None and comparison.measures:
        headings = ("figure", "this model", comparison.model_id, "difference")
        rows = [words.compared(each) for each in comparison.measures]
        yield Table("Both models on these rows, with 95 % intervals", headings, rows)


def _workload(test: TestFigures) -> list[Table]:
    rows = [
        (
            count(at.alerts_per_day),
            score(at.threshold),
            percent(at.precision),
            percent(at.recall),
            str(at.frauds_caught),
        )
        for at in test.at_alerts_per_day
    ]
    headings = ("alerts per day", "threshold", "precision", "recall", "frauds caught")
    return [Table("By alerts per day, on average over the test period", headings, rows)] if rows else []


def _confusion(evaluation: Evaluation) -> Iterator[Table]:
    at = evaluation.threshold.row.test if evaluation.threshold.row is not None else None
    if at is not None and at.rows:
        cleared, missed = at.rows - at.frauds - at.false_alarms, at.frauds - at.frauds_caught
        rows = [
            ("fraud", count(at.frauds_caught), count(missed), count(at.frauds)),
            ("legitimate", count(at.false_alarms), count(cleared), count(at.rows - at.frauds)),
            ("all", count(at.alerts), count(missed + cleared), count(at.rows)),
        ]
        caption = f"Confusion matrix of the test period, at the threshold of {score(evaluation.threshold.threshold)}"
        yield Table(caption, ("label", "alert", "no alert", "all"), rows)


def _thresholds(evaluation: Evaluation) -> Iterator[Table]:
    choice = evaluation.threshold
    if choice.row is not None:
        rows = [
            words.threshold_cells(row.threshold, row.test or row.expected, choice.review_cost)
            for row in excerpt(evaluation.thresholds, choice.threshold)
        ]
        yield Table("Thresholds from the highest to the lowest, the recommended one among them", words.HEADINGS, rows)


def _breakdowns(evaluation: Evaluation) -> Iterator[Table]:
    for each in evaluation.breakdowns:
        rows = [
            (
                group.name,
                *map(count, (group.rows, group.frauds, group.frauds_caught, group.false_alarms)),
                words.estimate_percent(share_of(group.frauds_caught, group.frauds)) if group.frauds else words.NONE,
                words.NONE if group.average_precision is None else f"{group.average_precision:.3f}",
            )
            for group in each.groups
        ]
        headings = ("rows", "frauds", "caught", "false alarms", "recall (95 % interval)", "average precision")
        yield Table(f"By {each.by}", (each.by, *headings), rows)


def _influences(evaluation: Evaluation) -> Iterator[Table]:
    headings = ("feature", "average precision lost when shuffled", "mean effect on a score", "speaks for fraud")
    rows = [
        (each.feature, f"{each.permutation:+.4f}", plain(each.shapley, 3), each.direction)
        for each in evaluation.influences
    ]
    if rows:
        yield Table("Permutation importance and Shapley values on a sample of the test rows", headings, rows)


def _data_card(evaluation: Evaluation) -> Iterator[Table]:
    headings = (
        "feature",
        "type",
        "typical value",
        "in the test",
        "missing",
        "in the test",
        "stability index",
        "reading",
    )
    rows = [
        (each.feature, each.kind, *each.typical, *map(small_percent, each.missing), f"{each.index:.3f}", each.level)
        for each in evaluation.drifts
    ]
    if rows:
        yield Table("Features in the training and in the test period", headings, rows)


def _columns(evaluation: Evaluation, manifest: Manifest) -> list[Table]:
    leaks = [
        (
            leak.feature,
            f"used, but alone it reaches an average precision of {leak.average_precision:.3f} and a ROC AUC of "
            f"{leak.roc_auc:.3f}",
        )
        for leak in evaluation.leaks
    ]
    left_out = [(name, f"left out: {why}") for name, why in manifest.excluded.items()]
    return [Table("Columns", ("column", "treatment"), [*leaks, *left_out])] if leaks or left_out else []
