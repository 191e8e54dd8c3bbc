"""The evaluation in lines for a terminal; the figures are `evaluation_record.py`'s."""

from __future__ import annotations

from collections.abc import Iterator

from fraudstream.model.evaluation_record import (
    Comparison,
    Estimate,
    Evaluation,
    Operating,
    TestFigures,
    ThresholdChoice,
)


def evaluation_lines(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Name and value of each line, those that start with a space belonging to the one above."""
    for candidate in evaluation.candidates if len(evaluation.candidates) > 1 else ():
        mark = "taken" if candidate.chosen else "tried"
        figure = estimate(candidate.average_precision) if candidate.average_precision is not None else "n/a"
        yield mark, f"{candidate.name}: average precision {figure}"
    yield "  because", evaluation.choice
    if evaluation.timeline.label_delay_seconds:
        yield "labels arrive", f"{evaluation.timeline.label_delay_seconds / 86_400:g} days after the payment"
    if evaluation.timeline.duplicates_removed:
        yield "copies", f"{evaluation.timeline.duplicates_removed:,} test rows equal a training row: not judged on"
    if evaluation.test is not None:
        yield from _test_lines(evaluation.test)
    yield from threshold_lines(evaluation.threshold)
    if evaluation.previous is not None:
        yield "against", against(evaluation.previous)


def _test_lines(figures: TestFigures) -> Iterator[tuple[str, str]]:
    for each in figures.recall_at_rates:
        yield (
            f"  at {each.false_positive_rate:.1%} alarms",
            f"catches {estimate(each.recall, percent=True)} of the frauds",
        )
    for at in figures.at_alerts_per_day:
        value = f"{at.precision:.1%} of the alerts are frauds, {at.recall:.1%} of the frauds are caught"
        yield f"  at {at.alerts_per_day:g} alerts/day", value
    errors = figures.calibration
    yield "calibration", f"error {errors.error_after:.5f} (before it {errors.error_before:.5f})"


def threshold_lines(choice: ThresholdChoice) -> Iterator[tuple[str, str]]:
    """What the recommended threshold is expected to cost, and what it cost on the test period."""
    yield "review cost", f"{choice.review_cost:g} per false alarm ({choice.review_cost_note})"
    yield "amounts", f"column {choice.amount_column}" if choice.amount_column else choice.amount_note
    if choice.row is None:
        return
    yield "  expected", operating_words(choice.row.expected, choice.review_cost)
    if choice.row.test is not None:
        yield "  on later rows", operating_words(choice.row.test, choice.review_cost)


def operating_words(found: Operating, review_cost: float) -> str:
    """What a threshold catches and costs over a period."""
    daily = "" if found.alerts_per_day is None else f"{found.alerts_per_day:,.1f} alerts a day, "
    return (
        f"{daily}{found.frauds_caught:,} of {found.frauds:,} frauds, {found.false_alarms:,.0f} false alarms; "
        f"{found.amount_caught:,.2f} caught, {found.amount_missed:,.2f} missed, "
        f"{review_cost * found.false_alarms:,.2f} of reviews: {found.saved(review_cost):,.2f} saved"
    )


def against(previous: Comparison) -> str:
    """The comparison with the former model."""
    if previous.difference is None:
        return f"{previous.model_id}: {previous.note}"
    return (
        f"{previous.model_id}: average precision better by {estimate(previous.difference)} on {previous.rows:,} rows "
        f"({previous.note})"
    )


def estimate(found: Estimate, *, percent: bool = False) -> str:
    """A figure with its interval."""
    form = ".1%" if percent else ".4f"
    return f"{found.value:{form}} (95 % interval {found.low:{form}} to {found.high:{form}})"
