"""The command `models`: lists, compares, verifies, deploys and rolls back models."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import click

from fraudstream.cli import options
from fraudstream.cli.options import TAKES_EFFECT, print_json, setting
from fraudstream.config import Settings
from fraudstream.errors import ModelCorrupt
from fraudstream.messages.base import Object

if TYPE_CHECKING:
    from rich.text import Text

    from fraudstream.model.deployment.current import Deployment, DeploymentChange
    from fraudstream.model.deployment.registry import KnownModel
    from fraudstream.model.manifest import Manifest

_who = click.option("--who", help="Who makes the change; your user name by default.")
_why = click.option("--why", required=True, help="The reason, recorded in the history.")


@click.group()
def models() -> None:
    """List, compare and verify models; deploy one, or roll back to the previous one."""


@models.command("list")
@setting("models")
@options.as_json
def list_command(as_json: bool, **flags: object) -> None:
    """List the models, newest first."""
    from fraudstream.model.deployment.registry import average_precision_text, list_models

    settings = Settings.load(**flags)
    known = list_models(settings.models)
    if as_json:
        print_json([summary(model) for model in known])
        return
    rows = [
        (
            "▶" if model.is_active else "",
            model.model_id,
            average_precision_text(model.manifest) if model.manifest else model.trouble,
            f"{model.manifest.training_data.rows:,}" if model.manifest else "",
            f"{model.written_at:%Y-%m-%d %H:%M}",
            _names(model.manifest),
        )
        for model in known
    ]
    headings = ("", "model", "average precision", "rows", "written (UTC)", "name and tags")
    hidden = 0 if any(row[-1] for row in rows) else 1
    table(headings[: len(headings) - hidden], [row[: len(row) - hidden] for row in rows])
    if not known:
        click.echo("there are no models yet: fraudstream train --data CSV", err=True)


@models.command()
@click.argument("model_id", metavar="ID")
@setting("models")
@options.as_json
def show(model_id: str, as_json: bool, **flags: object) -> None:
    """Show a model's manifest. ID is an id or its beginning, a name or a tag."""
    from dataclasses import asdict

    from fraudstream.model.deployment.registry import average_precision_text, show_model
    from fraudstream.model.report.page import report_of

    settings = Settings.load(**flags)
    model = show_model(settings.models, model_id)
    if model.manifest is None:
        raise ModelCorrupt(model.trouble, where=str(settings.models / model.model_id), remedy="train the model again")
    manifest, report = model.manifest, report_of(settings.models / model.model_id)
    if as_json:
        print_json(summary(model) | {"report": str(report) if report else None, "manifest": asdict(manifest)})
        return
    precision, names = average_precision_text(manifest), _names(manifest)
    values = {"model": model, "manifest": manifest, "names": names, "precision": precision, "report": report}
    print_texts("show.txt", **values)


@models.command()
@click.argument("model_id", metavar="[ID]", required=False)
@setting("models")
@options.as_json
def verify(model_id: str | None, as_json: bool, **flags: object) -> None:
    """Verify every file of one model, or of all, against its sha256; fails if one differs."""
    from fraudstream.model.deployment.registry import verify_models

    settings = Settings.load(**flags)
    checks = list(verify_models(settings.models, model_id))
    if as_json:
        print_json([{"model_id": one.model_id, "files": one.files, "trouble": one.trouble or None} for one in checks])
    else:
        for each in checks:
            click.echo(f"{each.model_id}: {each.trouble or f'{each.files} files are unchanged'}")
    damaged = [each for each in checks if each.trouble]
    if damaged:
        raise ModelCorrupt(
            f"{len(damaged)} of {len(checks)} models are damaged",
            where=str(settings.models),
            remedy="remove them and train again: fraudstream train --data CSV",
        )


@models.command()
@click.argument("model_id", metavar="ID")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="A score at or above it is an alert; by default the model's recommended threshold.",
)
@_who
@_why
@setting("models")
@setting("checkpoint")
def use(model_id: str, threshold: float | None, who: str | None, why: str, **flags: object) -> None:
    """Verify a model's files and deploy it."""
    from fraudstream.model.artifact import load_artifact
    from fraudstream.model.deployment.current import deploy
    from fraudstream.model.deployment.registry import find_id
    from fraudstream.model.deployment.state import require_state, state_directory

    settings = Settings.load(**flags)
    artifact = load_artifact(settings.models / find_id(settings.models, model_id))
    require_state(state_directory(settings.checkpoint), artifact.manifest)
    threshold = artifact.manifest.threshold if threshold is None else threshold
    deployment = deploy(
        settings.models, artifact.path.name, threshold, who=who or getpass.getuser(), why=why, now=datetime.now(UTC)
    )
    _report(deployment)


@models.command()
@_who
@_why
@setting("models")
@setting("checkpoint")
def rollback(who: str | None, why: str, **flags: object) -> None:
    """Roll back to the previous deployment: model, threshold and aliases."""
    from fraudstream.model.deployment.registry import roll_back
    from fraudstream.model.deployment.state import state_directory

    settings = Settings.load(**flags)
    state, user = state_directory(settings.checkpoint), who or getpass.getuser()
    _report(roll_back(settings.models, history_state=state, who=user, why=why, now=datetime.now(UTC)))


@models.command()
@setting("models")
@options.as_json
def history(as_json: bool, **flags: object) -> None:
    """Show all deployments with time, user and reason, newest first."""
    from dataclasses import asdict

    from fraudstream.model.deployment.registry import history

    settings = Settings.load(**flags)
    changes = history(settings.models)[::-1]
    if as_json:
        print_json([asdict(change) for change in changes])
        return
    for each in changes:
        when = each.when[:19].replace("T", " ")
        active = f"{each.after['model_id']} at threshold {each.after['threshold']:.6g}"
        click.echo(f"{each.revision:>4}  {when} UTC  {active}")
        click.echo(f"      {_describe(each)}, by {each.who}: {each.why}")
    if not changes:
        click.echo("no model has been deployed here yet", err=True)


def _describe(change: DeploymentChange) -> str:
    before, after = change.before, change.after
    if before is None:
        return "the first deployment on record"
    names = {"model": "model_id", "threshold": "threshold", "aliases": "aliases"}
    changed = [name for name, key in names.items() if before.get(key) != after.get(key)]
    back = f", back to revision {change.restores}" if change.restores is not None else ""
    return (f"changed {', '.join(changed)}" if changed else "changed nothing") + back


def _report(deployment: Deployment) -> None:
    active = f"{deployment.model_id} at threshold {deployment.threshold:.6g}"
    click.echo(f"revision {deployment.revision}: {active} is deployed; {TAKES_EFFECT}")


_PRECISION: Final = ("average_precision", "average_precision_low", "average_precision_high")


def summary(model: KnownModel) -> Object:
    """Summarize a model as JSON."""
    manifest = model.manifest
    metrics = manifest.metrics if manifest else None
    return {
        "model_id": model.model_id,
        "in_force": model.is_active,
        "written_at": model.written_at.isoformat(timespec="seconds"),
        **{name: getattr(manifest, name, None) for name in ("algorithm", "threshold")},
        "data": manifest.training_data.name if manifest else None,
        "rows": manifest.training_data.rows if manifest else None,
        **{name: getattr(metrics, name, None) for name in _PRECISION},
        "trouble": model.trouble or None,
        **{name: getattr(manifest, name, None) for name in ("name", "note", "tags")},
    }


def _names(manifest: Manifest | None) -> str:
    return ", ".join(filter(None, (manifest.name, *manifest.tags))) if manifest else ""


def format_value(value: object) -> str:
    """Format a value of a comparison."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_texts(template: str, **values: object) -> None:
    """Print labels and texts that a template of the report's package renders."""
    from rich.console import Console

    from fraudstream.model.report.terminal import text_table

    Console().print(text_table(template, **values))


def table(headings: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Sequence[str] = ()) -> None:
    """Print a table, with the columns of `right` aligned to the right; ids are never wrapped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        table.add_column(heading, overflow="fold", justify=justify, no_wrap=heading == "model")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else Text(each) for each in row))
    Console().print(table)
