"""The command `explain`: explains the score of a row or a stored alert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.cli.registry import print_texts, table
from fraudstream.config import Settings
from fraudstream.errors import SettingsError
from fraudstream.messages.base import Object
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.wire import AlertField, Outcome

if TYPE_CHECKING:
    from fraudstream.model.explanation.explainer import Explanation, Step
    from fraudstream.transactions.data_source import DataSource

_BAR_CHARS: Final = 12


class _Result(NamedTuple):
    """An explanation with its threshold and subject."""

    explanation: Explanation
    threshold: float
    about: str
    stored_score: float | None = None

    @property
    def outcome(self) -> Outcome:
        """The outcome at the threshold."""
        return self.explanation.outcome(self.threshold)


@click.command()
@options.reading(required=False)
@options.earlier
@click.option("--row", type=click.IntRange(0), help="The row of the data, from 0.")
@click.option("--alert", "alert_id", metavar="ID", help="Explain a stored alert instead of a row.")
@setting("model")
@setting("api")
@options.as_json
def explain(
    data: tuple[Path, ...],
    reading: ReadingOptions,
    earlier: tuple[Path, ...],
    row: int | None,
    alert_id: str | None,
    as_json: bool,
    **flags: object,
) -> None:
    """Explain the score of a row of payment files, or of a stored alert, from raw value to score.

    The score is computed again and equals that of `score` and of the stream. Needs Spark only for a row of a model that
    reads a history.
    """
    settings = options.load_settings(**flags)
    if alert_id is not None and not data and row is None:
        result = _alert(settings, alert_id)
    elif alert_id is None and data and row is not None:
        result = _row(settings, options.open_payments(data, reading), row, options.open_earlier(earlier, reading))
    else:
        raise SettingsError(
            "it is unclear what to explain",
            where="fraudstream explain",
            remedy="give --data FILE and --row N, or --alert ID",
        )
    if as_json:
        options.print_json(_as_json(result))
        return
    _print(result)
    if result.stored_score is not None and abs(result.stored_score - result.explanation.score) > 1e-9:
        click.echo(
            f"the alert was stored with the score {result.stored_score!r}: the artifact or the aliases have changed "
            "since it was scored",
            err=True,
        )


def _row(settings: Settings, data: DataSource, row: int, earlier: DataSource | None) -> _Result:
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.explanation.cells import row_of
    from fraudstream.model.explanation.explainer import Explainer

    artifact, deployment = resolve(settings.model)
    if artifact.manifest.history is not None:
        with batch_spark(settings, "explain", history=True) as spark:
            from fraudstream.model.features.file_history import with_history_of

            model, aliases = artifact.manifest, deployment.aliases
            data = with_history_of(spark, data, model, aliases=aliases, earlier=earlier)
    explanation = Explainer(artifact).explain(row_of(data, row), deployment.aliases)
    return _Result(explanation, deployment.threshold, f"row {row:,} of {data.name}")


def _alert(settings: Settings, alert_id: str) -> _Result:
    from fraudstream.model.explanation.explainer import ExplainerLibrary, scored_row

    alert = options.dashboard(settings).get(f"/api/alerts/{quote(alert_id)}")
    explainer, aliases = ExplainerLibrary(settings.model).of(alert[AlertField.MODEL_ID], alert.get(AlertField.REVISION))
    threshold = alert.get(AlertField.THRESHOLD)
    return _Result(
        explainer.explain(scored_row(alert), aliases),
        explainer.manifest.threshold if threshold is None else float(threshold),
        f"alert {alert[AlertField.ALERT_ID]}",
        alert.get(AlertField.SCORE),
    )


def _as_json(result: _Result) -> Object:
    from fraudstream.model.explanation.explainer import long_form

    explanation = long_form(result.explanation)
    scored = {"threshold": result.threshold, "outcome": result.outcome.value}
    stored = {} if result.stored_score is None else {"stored_score": result.stored_score}
    return {"about": result.about, **explanation, **scored, **stored}


def _print(result: _Result) -> None:
    """Print the steps, largest contribution first, their sum and the outcome."""
    from rich.text import Text

    from fraudstream.model.explanation.cells import plain

    explanation, unit = result.explanation, result.explanation.scale.replace("_", " ")
    steps = sorted(explanation.steps, key=lambda step: -abs(step.reason.contribution))
    largest = max((abs(step.reason.contribution) for step in steps), default=0.0) or 1.0
    rows = []
    for step in steps:
        contribution = step.reason.contribution
        bar = Text("█" * round(abs(contribution) / largest * _BAR_CHARS), style="red" if contribution > 0 else "blue")
        value = "–" if step.cell.raw_value is None else str(plain(step.cell.raw_value))
        vector = ", ".join(_scaled(step))
        rows.append((step.cell.feature.name, value, step.cell.how, vector, f"{contribution:+.6f}", bar))
    figures = ("for the model", f"contribution ({unit})")
    click.secho(f"{result.about}, by {explanation.model_id}\n", bold=True)
    table(("column", "value", "read as", *figures, ""), rows, right=figures)
    click.echo()
    print_texts("explain.txt", result=result, explanation=explanation, unit=unit)
    click.echo("\ntop reasons:\n" + "\n".join(f"  {reason.text}" for reason in explanation.top()))


def _scaled(step: Step) -> Iterator[str]:
    """Format the scaled vector components; of a category only the one that is set."""
    for component, value in zip(step.cell.components, step.scaled, strict=True):
        if len(step.scaled) <= 2 or component:
            yield f"{value:+.4f}"
