"""Writes the comparison of two models as tables, for the terminal and as a page."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.report.words import count, score

PAGE: str = "comparison.html"


class TextTable(NamedTuple):
    """A table of formatted cells."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(comparison: Comparison, model_id: str) -> Iterator[TextTable]:
    """Yield the figures, the confusion matrices, the thresholds and the disagreements; nothing without figures."""
    if not comparison.measures:
        return
    both = (model_id, comparison.model_id)
    yield TextTable(
        f"On the same {comparison.rows:,} rows (95 % intervals, paired)",
        ("", *both, "difference"),
        [
            (each.name, *(_interval(estimate) for estimate in (each.new, each.former, each.difference)))
            for each in comparison.measures
        ],
    )
    yield TextTable(
        "At the threshold of each",
        ("model", "threshold", "frauds caught", "frauds missed", "false alarms", "legitimate cleared"),
        [
            (
                name,
                score(each.threshold),
                *map(count, (each.frauds_caught, each.frauds_missed, each.false_alarms, each.cleared)),
            )
            for name, each in zip(both, comparison.confusions, strict=True)
        ],
    )
    names = ("frauds caught", "false alarms", "saved")
    yield TextTable(
        f"At the same thresholds, {model_id} / {comparison.model_id}",
        ("threshold", *names),
        [
            (
                score(new.threshold),
                *(
                    f"{count(one)} / {count(other)}"
                    for one, other in (
                        (new.frauds_caught, former.frauds_caught),
                        (new.false_alarms, former.false_alarms),
                        (new.saved, former.saved),
                    )
                ),
            )
            for new, former in comparison.thresholds
        ],
    )
    yield TextTable(
        f"{comparison.disagreed:,} rows raise an alert with one of them only: the costliest",
        ("row", "label", *both, "amount"),
        [
            (str(each.row), "fraud" if each.is_fraud else "legitimate", score(each.new), score(each.former), f"{each.loss:,.2f}")
            for each in comparison.disagreements
        ],
    )


def _interval(estimate: Estimate) -> str:
    low, high = (_number(each) for each in (estimate.low, estimate.high))
    return f"{_number(estimate.value)} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.4f}"
