"""Writes the comparison of two models as tables of text, for the terminal and as a page."""

from collections.abc import Iterator

from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.report.page import Table, environment
from fraudstream.model.report.words import count, money, score


def tables(comparison: Comparison, model_id: str) -> Iterator[Table]:
    """Yield figures, confusion matrices, thresholds and disagreements; nothing if the models were not compared."""
    if not comparison.measures:
        return
    names = model_id, comparison.model_id
    counts = ("frauds caught", "frauds missed", "false alarms", "legitimate, no alert", "saved")
    figures = [(each.name, *map(_estimate, (each.new, each.former, each.difference))) for each in comparison.measures]
    caption = f"On the same {comparison.rows:,} rows, with 95 % intervals; {comparison.model_id} was {comparison.note}"
    yield Table(caption, ("", *names, "difference"), figures)
    at_own = [
        (
            name,
            score(at.threshold),
            *map(count, (at.frauds_caught, at.frauds_missed, at.false_alarms, at.cleared, at.saved)),
        )
        for name, at in zip(names, comparison.confusions, strict=True)
    ]
    yield Table("Each at its own threshold", ("model", "threshold", *counts), at_own)
    at_same = [
        (
            score(new.threshold),
            f"{new.frauds_caught:,} / {old.frauds_caught:,}",
            f"{new.false_alarms:,.0f} / {old.false_alarms:,.0f}",
            f"{new.saved:,.0f} / {old.saved:,.0f}",
        )
        for new, old in comparison.thresholds
    ]
    yield Table(f"At the same thresholds: {' / '.join(names)}", ("threshold", counts[0], counts[2], counts[4]), at_same)
    rows = [
        (
            str(each.row),
            "fraud" if each.is_fraud else "legitimate",
            score(each.new),
            score(each.former),
            money(each.loss),
        )
        for each in comparison.disagreements
    ]
    caption = f"{comparison.disagreed:,} rows raise an alert with one of the models only; the costliest"
    yield Table(caption, ("row", "label", *names, "amount"), rows)


def comparison_html(comparison: Comparison, model_id: str, data: str) -> bytes:
    """Render the comparison as a page."""
    page = environment().get_template("comparison.html")
    shown = list(tables(comparison, model_id))
    return page.render(comparison=comparison, model_id=model_id, data=data, tables=shown).encode()


def _estimate(figure: Estimate) -> str:
    ends = figure.interval
    return f"{_number(figure.value)} ({f'{_number(ends.low)} to {_number(ends.high)}' if ends else figure.note})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.4f}"
