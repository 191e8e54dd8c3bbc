"""The command `threshold`: shows what each threshold would catch and cost, and sets the active one."""

from __future__ import annotations

import getpass
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fraudstream.cli import options
from fraudstream.cli.options import TAKES_EFFECT, setting
from fraudstream.cli.registry import table
from fraudstream.errors import SettingsError
from fraudstream.messages.base import Object

if TYPE_CHECKING:
    from fraudstream.model.deployment.current import Deployment
    from fraudstream.model.evaluation.record import Evaluation


_THRESHOLD: Final = click.FloatRange(0, 1)


@click.command()
@click.argument("arguments", nargs=-1, metavar="[set] [VALUE]")
@click.option("--review-cost", type=click.FloatRange(0), help="Set the cheapest at this cost of a false alarm.")
@options.max_alerts_per_day(help="Set the cheapest with at most this many alerts a day on average.")
@click.option("--who", help="Who makes the change; the user of this machine by default.")
@click.option("--why", default="set on the command line", show_default=True, help="The reason.")
@setting("model")
@options.as_json
def threshold(
    arguments: tuple[str, ...],
    review_cost: float | None,
    max_alerts_per_day: float | None,
    who: str | None,
    why: str,
    as_json: bool,
    **flags: object,
) -> None:
    """Show what each threshold of the active model catches and costs, or set the threshold.

    `threshold set` with VALUE, --review-cost or --max-alerts-per-day sets it: a new revision of models/current, which a
    running detector uses within 15 seconds. Without `set`, a terminal asks first. The figures are for the validation
    period, with those of the test period beside.
    """
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.evaluation.evaluate import FRAUDS_FOR_COST
    from fraudstream.model.evaluation.thresholds import require_evaluation, set_threshold

    settings = options.load_settings(**flags)
    is_set = arguments[:1] == ("set",)
    values = [_THRESHOLD(each) for each in arguments[is_set:]]
    if len(values) > 1:
        raise click.UsageError("name one threshold")
    value = values[0] if values else None
    if is_set or any(each is not None for each in (value, review_cost, max_alerts_per_day)):
        if not is_set:
            _confirm(settings.model, value)
        deployment = set_threshold(
            settings.model,
            value=value,
            review_cost=review_cost,
            max_alerts_per_day=max_alerts_per_day,
            who=who or getpass.getuser(),
            why=why,
            now=datetime.now(UTC),
        )
        if value is None:
            frauds = require_evaluation(resolve(settings.model)[0].path).thresholds[0].expected.frauds
            if frauds < FRAUDS_FOR_COST:
                click.echo(f"warning: chosen by the cost of {frauds} frauds: too few for cost to decide", err=True)
        if as_json:
            options.print_json(asdict(deployment))
        else:
            active = f"{deployment.model_id} at threshold {deployment.threshold:.6g}"
            click.echo(f"revision {deployment.revision}: {active}; {TAKES_EFFECT}")
        return
    artifact, deployment = resolve(settings.model)
    evaluation = require_evaluation(artifact.path)
    if as_json:
        options.print_json(_as_json(deployment, evaluation))
    else:
        _print(deployment, evaluation)


def _confirm(model: Path, value: float | None) -> None:
    """Ask in a terminal; elsewhere the change must be explicit: raises SettingsError."""
    if not sys.stdin.isatty():
        raise SettingsError(
            "the threshold is changed only if that is explicit",
            where="fraudstream threshold",
            remedy="fraudstream threshold set, with the same value or options",
        )
    from fraudstream.model.deployment.current import CURRENT_FILE, changeable_models_dir, read_current

    active = read_current(changeable_models_dir(model) / CURRENT_FILE)
    target = "the cheapest" if value is None else f"{value:.6g}"
    click.confirm(f"Change the threshold of {active.model_id} from {active.threshold:.6g} to {target}?", abort=True)


def _as_json(deployment: Deployment, evaluation: Evaluation) -> Object:
    from fraudstream.model.training.summary import operating_as_json

    choice, rows = evaluation.threshold, evaluation.thresholds
    return {
        "in_force": asdict(deployment),
        "recommended": choice.threshold,
        "rule": choice.rule,
        "review_cost": choice.review_cost,
        "thresholds": [
            {"threshold": row.threshold}
            | {name: operating_as_json(getattr(row, name), choice.review_cost) for name in ("expected", "test")}
            for row in rows
        ],
    }


def _print(deployment: Deployment, evaluation: Evaluation) -> None:
    from fraudstream.model.evaluation.thresholds import excerpt, row_at

    choice, nearest = evaluation.threshold, row_at(evaluation.thresholds, deployment.threshold)
    rows = excerpt(evaluation.thresholds, nearest.threshold, choice.threshold)
    # Two lines each, so that eight figures fit into 80 columns.
    alerts = "alerts\na day" if all(row.expected.alerts_per_day is not None for row in rows) else "alerts"
    figures = (alerts, "caught", "false\nalarms", "missed", "reviews", "cost", "cost\non test")
    headings, lines = ("", "threshold", *figures), []
    for row in rows:
        expected = row.expected
        lines.append(
            (
                (">" if row is nearest else "") + ("*" if row.threshold == choice.threshold else ""),
                f"{row.threshold:.4g}",
                f"{expected.alerts_per_day:,.1f}" if expected.alerts_per_day is not None else f"{expected.alerts:,.0f}",
                f"{expected.frauds_caught:,}/{expected.frauds:,}",
                f"{expected.false_alarms:,.0f}",
                f"{expected.amount_missed:,.0f}",
                f"{choice.review_cost * expected.false_alarms:,.0f}",
                f"{expected.cost(choice.review_cost):,.0f}",
                "n/a" if row.test is None else f"{row.test.cost(choice.review_cost):,.0f}",
            )
        )
    click.echo(f"> {deployment.model_id}, revision {deployment.revision}: threshold {deployment.threshold:.6g}")
    click.echo(f"* recommended {choice.threshold:.6g}: {choice.rule}")
    table(headings, lines, right=headings)
    click.echo(
        "For the validation period (last column: test period): frauds caught, false alarms, amounts of missed frauds, "
        f"reviews of false alarms at {choice.review_cost:g} each, and the cost as the sum of both."
    )
