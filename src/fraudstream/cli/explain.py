"""The command `explain`: explains the score of a CSV row or a stored alert."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import SettingsError
from fraudstream.messages.base import Object
from fraudstream.transactions.wire import AlertField

if TYPE_CHECKING:
    from fraudstream.model.explanation.explainer import Explanation


class _Result(NamedTuple):
    """An explanation with its threshold and subject."""

    explanation: Explanation
    threshold: float
    about: str
    stored_score: float | None = None


@click.command()
@click.option("--data", type=options.PATH, help="A CSV (also .gz) with a header.")
@click.option("--row", type=click.IntRange(0), help="The row of the CSV, from 0.")
@click.option("--alert", "alert_id", metavar="ID", help="Explain a stored alert instead of a row.")
@setting("model")
@setting("api")
@options.as_json
def explain(data: Path | None, row: int | None, alert_id: str | None, as_json: bool, **flags: object) -> None:
    """Explain the score of a row of a CSV, or of a stored alert, from raw value to score.

    Needs no Spark: the score is computed again and equals that of `score` and of the stream.
    """
    settings = Settings.load(**flags)
    if alert_id is not None and data is None and row is None:
        result = _alert(settings, alert_id)
    elif alert_id is None and data is not None and row is not None:
        result = _row(settings, data, row)
    else:
        raise SettingsError(
            "it is unclear what to explain",
            where="fraudstream explain",
            remedy="give --data CSV and --row N, or --alert ID",
        )
    if as_json:
        options.print_json(_as_json(result))
        return
    from rich.console import Console

    from fraudstream.cli.explain_tables import render

    outcome = result.explanation.outcome(result.threshold)
    Console().print(render(result.explanation, result.threshold, outcome, result.about))
    if result.stored_score is not None and abs(result.stored_score - result.explanation.score) > 1e-9:
        click.echo(
            f"the alert was stored with the score {result.stored_score!r}: the artifact or the aliases have changed "
            "since it was scored",
            err=True,
        )


def _row(settings: Settings, data: Path, row: int) -> _Result:
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.explanation.cells import row_of
    from fraudstream.model.explanation.explainer import Explainer

    artifact, deployment = resolve(settings.model)
    explanation = Explainer(artifact).explain(row_of(data, row), deployment.aliases)
    return _Result(explanation, deployment.threshold, f"row {row:,} of {data.name}")


def _alert(settings: Settings, alert_id: str) -> _Result:
    from fraudstream.model.explanation.explainer import ExplainerLibrary

    alert = options.dashboard(settings).get(f"/api/alerts/{quote(alert_id)}")
    transaction: Mapping[str, Any] = alert[AlertField.TRANSACTION]
    explainer, aliases = ExplainerLibrary(settings.model).of(alert[AlertField.MODEL_ID], alert.get(AlertField.REVISION))
    threshold = alert.get(AlertField.THRESHOLD)
    return _Result(
        explainer.explain(transaction, aliases),
        explainer.manifest.threshold if threshold is None else float(threshold),
        f"alert {alert[AlertField.ALERT_ID]}",
        alert.get(AlertField.SCORE),
    )


def _as_json(result: _Result) -> Object:
    from fraudstream.model.explanation.explainer import long_form

    explanation = long_form(result.explanation)
    scored = {"threshold": result.threshold, "outcome": result.explanation.outcome(result.threshold).value}
    stored = {} if result.stored_score is None else {"stored_score": result.stored_score}
    return {"about": result.about, **explanation, **scored, **stored}
