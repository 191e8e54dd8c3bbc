"""Renders the explanation of a score for the terminal."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fraudstream.model.explanation.cells import plain
from fraudstream.model.explanation.classifier import FeatureScale
from fraudstream.model.explanation.explainer import Explanation, Step
from fraudstream.transactions.wire import Outcome

_BAR: Final = 12
_UNITS: Final = {FeatureScale.LOG_ODDS: "log odds", FeatureScale.PROBABILITY: "probability"}


def render(explanation: Explanation, threshold: float, outcome: Outcome, about: str) -> RenderableType:
    """Render the steps, largest contribution first, their sum and the outcome."""
    steps = sorted(explanation.steps, key=lambda step: -abs(step.reason.contribution))
    largest = max((abs(step.reason.contribution) for step in steps), default=0.0) or 1.0
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading, justify in (
        ("column", "left"),
        ("value", "left"),
        ("read as", "left"),
        ("for the model", "right"),
        (f"contribution ({_UNITS[explanation.scale]})", "right"),
        ("", "left"),
    ):
        table.add_column(heading, overflow="fold", justify=justify)  # type: ignore[arg-type]
    for step in steps:
        contribution = step.reason.contribution
        bar = "█" * round(abs(contribution) / largest * _BAR)
        table.add_row(
            step.cell.feature.name,
            Text("–" if step.cell.raw_value is None else str(plain(step.cell.raw_value))),
            step.cell.how,
            ", ".join(_scaled(step)),
            f"{contribution:+.6f}",
            Text(bar, style="red" if contribution > 0 else "blue"),
        )
    sums = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    sums.add_column(style="dim")
    sums.add_column(overflow="fold")
    for name, value in _sums(explanation, threshold, outcome):
        sums.add_row(name, value)
    reasons = "\n".join(f"  {reason.text}" for reason in explanation.top())
    return Group(
        Text(f"{about}, by {explanation.model_id}\n", style="bold"),
        table,
        Text(""),
        sums,
        Text(f"\ntop reasons:\n{reasons}"),
    )


def _sums(explanation: Explanation, threshold: float, outcome: Outcome) -> Iterator[tuple[str, str]]:
    unit = _UNITS[explanation.scale]
    yield "base", f"{explanation.base:+.6f} {unit}: {explanation.background}"
    yield "contributions", f"{explanation.margin - explanation.base:+.6f} {unit} together"
    yield "margin", f"{explanation.margin:+.6f} {unit}"
    source = " (the margin)" if explanation.scale is FeatureScale.PROBABILITY else ""
    yield "probability", f"{explanation.probability!r}{source}"
    yield "score", repr(explanation.score) + (" (calibrated)" if explanation.score != explanation.probability else "")
    yield "threshold", repr(threshold)
    if outcome is Outcome.UNSCORABLE:
        yield "outcome", f"unscorable: {explanation.missing} columns are missing, more than the model allows"
    else:
        yield "outcome", f"{outcome.value}: the score is {'at or above' if outcome is Outcome.ALERT else 'below'} it"


def _scaled(step: Step) -> Iterator[str]:
    """Format the scaled vector components; of a category only the one that is set."""
    for component, value in zip(step.cell.components, step.scaled, strict=True):
        if len(step.scaled) <= 2 or component:
            yield f"{value:+.4f}"
