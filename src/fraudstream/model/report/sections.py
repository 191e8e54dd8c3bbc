"""What stands in each section of the report; the page around them is `page.py`'s, the charts have their own modules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fraudstream.charts.plot import Figure
from fraudstream.model.evaluation.record import Evaluation, TestFigures
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import words
from fraudstream.model.report.catching import (
    alerts_by_threshold,
    cost_by_threshold,
    precision_recall,
    reliability,
    score_distribution,
)
from fraudstream.model.report.making import against_previous, candidates, importances, split_in_time
from fraudstream.model.report.words import count, percent, score


@dataclass(frozen=True)
class Table:
    """A table that is always open; the first cell of a row is its name."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    `anchor` is its id, `lead` what it shows and how to read it, `lines` what its charts say.
    """

    anchor: str
    title: str
    lead: str
    figures: Sequence[Figure] = ()
    lines: Sequence[str] = ()
    table: Table | None = None


def sections(evaluation: Evaluation, manifest: Manifest) -> Iterator[Section]:
    """All of them, in the order of the page; what cannot be had without a test period is left out."""
    if evaluation.test is not None:
        yield _catching(evaluation, evaluation.test)
    yield _threshold(evaluation)
    if evaluation.test is not None:
        yield _calibration(evaluation.test)
        yield _scores(evaluation, evaluation.test)
    yield _importance(evaluation)
    yield _split(evaluation)
    yield _candidates(evaluation)
    yield _previous(evaluation)
    yield _leaks(evaluation, manifest)


def _catching(evaluation: Evaluation, test: TestFigures) -> Section:
    return Section(
        "precision-recall",
        "What it catches, and how often it is right",
        "Further right more frauds are caught, higher up more of the alerts are frauds. The band is how the curve "
        "might have come out with other payments of this period.",
        [precision_recall(evaluation, test)],
        words.catching(test),
        _workload(test),
    )


def _threshold(evaluation: Evaluation) -> Section:
    return Section(
        "threshold",
        "What a threshold costs",
        "A lower threshold misses less and disturbs more. The recommended one is where the sum is least on the "
        "validation period; the test period shows what came of it.",
        [cost_by_threshold(evaluation), alerts_by_threshold(evaluation)] if evaluation.thresholds else [],
        words.threshold(evaluation),
    )


def _calibration(test: TestFigures) -> Section:
    return Section(
        "calibration",
        "Whether a score is a probability",
        "Each point is a group of payments of like score. On the dashed line the share of frauds is what the score "
        "promises; below it scores promise too much. Both axes are logarithmic: nearly all payments have tiny scores.",
        [reliability(test)],
        words.calibration(test),
    )


def _scores(evaluation: Evaluation, test: TestFigures) -> Section:
    return Section(
        "scores",
        "Where the scores lie",
        "Frauds upwards, legitimate payments downwards, each class for itself. What lies right of the threshold is an "
        "alert.",
        [score_distribution(evaluation, test)],
    )


def _importance(evaluation: Evaluation) -> Section:
    return Section(
        "importance",
        "What the model looks at",
        f"{evaluation.importance_note[:1].upper()}{evaluation.importance_note[1:]}.",
        [importances(evaluation)] if evaluation.importances else [],
    )


def _split(evaluation: Evaluation) -> Section:
    return Section(
        "split",
        "Which rows were learned from and judged on",
        f"In order of {evaluation.timeline.ordered_by}: what is judged on lies after what was learned from. Bars are "
        "the frauds of each part.",
        [split_in_time(evaluation)],
        [words.not_evaluated_on(evaluation)],
    )


def _candidates(evaluation: Evaluation) -> Section:
    return Section(
        "candidates",
        "What was tried",
        f"Chosen: {evaluation.choice}.",
        [candidates(evaluation)] if evaluation.candidates else [],
        [
            "No test row was looked at for it. Intervals that overlap do not make two candidates equal: the table has "
            "the paired difference."
        ]
        if len(evaluation.candidates) > 1
        else [],
    )


def _previous(evaluation: Evaluation) -> Section:
    test, found = evaluation.test, evaluation.previous
    drawn = against_previous(test, found) if test is not None and found is not None else None
    return Section(
        "previous",
        "Against the model before",
        words.previous(found, is_scored=test is not None),
        [drawn] if drawn is not None else [],
    )


def _leaks(evaluation: Evaluation, manifest: Manifest) -> Section:
    return Section(
        "columns",
        "Leaks, and columns left out",
        "A feature that alone gives the label away may have been filled in after the fraud was known."
        if evaluation.leaks
        else "No feature alone gives the label away in the training rows.",
        table=_columns(evaluation, manifest),
    )


def _workload(test: TestFigures) -> Table | None:
    found = test.at_alerts_per_day
    if not found:
        return None
    return Table(
        "At so many alerts a day, on the average of the test period",
        ("alerts a day", "threshold", "precision", "recall", "frauds caught"),
        [
            (
                count(at.alerts_per_day),
                score(at.threshold),
                percent(at.precision),
                percent(at.recall),
                count(at.frauds_caught),
            )
            for at in found
        ],
    )


def _columns(evaluation: Evaluation, manifest: Manifest) -> Table | None:
    leaks = [
        (
            leak.feature,
            f"kept, but alone it reaches an average precision of {leak.average_precision:.3f} and an area under "
            f"the ROC curve of {leak.roc_auc:.3f}",
        )
        for leak in evaluation.leaks
    ]
    left_out = [(name, f"left out: {why}") for name, why in manifest.excluded.items()]
    return Table("Columns", ("column", "what became of it"), [*leaks, *left_out]) if leaks or left_out else None
