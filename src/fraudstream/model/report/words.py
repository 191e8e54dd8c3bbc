"""The report's figures in sentences, and how a figure is written."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from fraudstream.model.evaluation.record import Comparison, Estimate, Evaluation, Operating, TestFigures

NONE: Final = "n/a"
SPACE: Final = "\N{NO-BREAK SPACE}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1, as "79.0 %", its space one that no line breaks at."""
    return NONE if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def small_percent(share: float) -> str:
    """A share that may be far below 1 %, with two figures that mean something."""
    return percent(share) if share >= 0.01 or share == 0 else f"{plain(100 * share)}{SPACE}%"


def percent_tick(share: float) -> str:
    """A share at a tick of an axis, as short as it goes."""
    return f"{plain(100 * share, 3)}{SPACE}%"


def count(value: float | None, digits: int = 0) -> str:
    """A number of things, as "1,234"."""
    return NONE if value is None else f"{value:,.{digits}f}"


def money(value: float | None) -> str:
    """An amount, as "1,234.50"; in the unit of the amounts, which no CSV tells."""
    return NONE if value is None else f"{value:,.2f}"


def plain(value: float, figures: int = 2) -> str:
    """So many significant figures and never an exponent: "0.000087"."""
    return format(Decimal(f"{value:.{figures}g}"), "f")


def score(value: float) -> str:
    """A score or a threshold; one close to 1 with so many digits that it is told from 1."""
    if 0.99 < value < 1:
        return f"{value:.{min(math.ceil(-math.log10(1 - value)) + 1, 12)}f}"
    return plain(value, 3)


def interval(found: Estimate, digits: int = 3) -> str:
    """The ends of a figure's interval."""
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def estimate(found: Estimate | None, digits: int = 3) -> str:
    """A figure with its interval, as "0.790 (0.695 to 0.879)"."""
    return NONE if found is None else f"{found.value:.{digits}f} ({interval(found, digits)})"


def estimate_percent(found: Estimate) -> str:
    """A share with its interval, as "78.0 % (67.8 to 88.1 %)"."""
    return f"{percent(found.value)} ({100 * found.low:.1f} to {percent(found.high)})"


def signed(found: Estimate) -> str:
    """A difference with its interval, as "+0.012 (-0.003 to +0.027)"."""
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


NO_TEST = "There are no figures on rows that the model had not seen: {}."


def headline(evaluation: Evaluation) -> str:
    """The figures in a few sentences."""
    test, choice = evaluation.test, evaluation.threshold
    if test is None:
        return NO_TEST.format(evaluation.measured_on.removeprefix("n/a: "))
    said = [
        f"On {count(test.rows)} later payments that it had not seen, {count(test.frauds)} of them frauds, the model "
        f"reaches an average precision of {estimate(test.average_precision)}; one that knows nothing would reach "
        f"{plain(test.fraud_share)}."
    ]
    at = choice.row.test if choice.row is not None else None
    if at is not None:
        said.append(f"At the recommended threshold of {score(choice.threshold)} it {_caught(at, choice.review_cost)}.")
    if not test.reliable:
        said.append("With so few frauds these figures are hardly more than anecdotes.")
    return " ".join(said)


def _caught(at: Operating, review_cost: float) -> str:
    alarms = f"{count(at.false_alarms)} false alarms"
    daily = "" if at.alerts_per_day is None else f" ({count(at.alerts_per_day, 1)} alerts a day)"
    true = f", {percent(at.precision, 0)} of its alerts were frauds" if at.alerts else ""
    saved = at.saved(review_cost)
    balance = f"saved {money(saved)}" if saved >= 0 else f"cost {money(-saved)} more than having no model"
    return (
        f"caught {count(at.frauds_caught)} of the {count(at.frauds)} frauds at the price of {alarms}{daily}{true}, and "
        f"{balance} when a review costs {review_cost:g}"
    )


def facts(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """The greatest figures as name, value and what it is held against."""
    test, choice = evaluation.test, evaluation.threshold
    if test is not None:
        found = test.average_precision
        yield "average precision", f"{found.value:.3f}", f"95 % interval {found.low:.3f} to {found.high:.3f}"
    at = choice.row.test if choice.row is not None else None
    if at is not None:
        yield "frauds caught", percent(at.recall), f"{count(at.frauds_caught)} of {count(at.frauds)}"
        yield "alerts that are frauds", percent(at.precision), f"{count(at.false_alarms)} false alarms"
        if at.alerts_per_day is not None:
            yield "alerts a day", count(at.alerts_per_day, 1), "on the average of the test period"
        yield "saved", count(at.saved(choice.review_cost)), f"of {count(at.amount_caught + at.amount_missed)} at stake"
    if test is not None:
        errors = test.calibration
        yield "calibration error", plain(errors.error_after), f"{plain(errors.error_before)} before calibration"


def catching(test: TestFigures) -> list[str]:
    """What it catches where false alarms are limited."""
    lines = [f"ROC AUC {estimate(test.roc_auc)}."]
    lines += [
        f"Where {small_percent(each.false_positive_rate)} of the legitimate payments raise an alarm, it catches "
        f"{estimate_percent(each.recall)} of the frauds."
        for each in test.recall_at_rates
    ]
    return lines


def threshold(evaluation: Evaluation) -> list[str]:
    """How the threshold was chosen, what was expected of it, and what came."""
    choice = evaluation.threshold
    lines = [
        f"Recommended: {score(choice.threshold)}, by {choice.rule}.",
        f"A false alarm costs {choice.review_cost:g} ({choice.review_cost_note}); a missed fraud loses "
        + (
            f"its amount, column {choice.amount_column}."
            if choice.amount_column
            else f"what is assumed: {choice.amount_note}."
        )
        + (f" {choice.amount_note}." if choice.amount_column and choice.amount_note else ""),
    ]
    if choice.row is not None:
        lines.append(f"Expected, from the validation period: it {_caught(choice.row.expected, choice.review_cost)}.")
        if choice.row.test is not None:
            lines.append(f"On the test period: it {_caught(choice.row.test, choice.review_cost)}.")
    return lines


def calibration(test: TestFigures) -> list[str]:
    """What the reliability diagram says in numbers."""
    found = test.calibration
    return [
        f"Expected calibration error {plain(found.error_after)}, before the calibration {plain(found.error_before)}: "
        "by how much score and share of frauds differ on the average over all rows.",
        f"Calibration: {found.method}.",
    ]


def previous(found: Comparison | None, *, is_scored: bool) -> str:
    """The new model against the one before."""
    if found is None:
        return "No other model was in force before." if is_scored else "There are no rows left to compare models on."
    if found.difference is None:
        return f"{found.model_id} could not be compared: {found.note}."
    gap = found.difference
    told = "better" if gap.low > 0 else "worse" if gap.high < 0 else "not told apart from it by these rows"
    return (
        f"Against {found.model_id}: average precision {signed(gap)}, so the new one is {told}. The same rows were "
        f"drawn for both; that one was {found.note}."
    )


def not_evaluated_on(evaluation: Evaluation) -> str:
    """What became of copies."""
    line = evaluation.timeline
    if line.duplicates_removed:
        copies = "row was" if line.duplicates_removed == 1 else "rows were"
        return (
            f"{count(line.duplicates_removed)} test {copies} taken out: equal to an earlier row in every column but "
            "the time, they would flatter a model that has learned them by heart."
        )
    return f"{line.duplicates_note}." if line.duplicates_note else "No test row is a copy of an earlier one."
