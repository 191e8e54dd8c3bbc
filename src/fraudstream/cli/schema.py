"""The command `schema`: shows the stream's schemas against the model's contract, and manages aliases."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from fraudstream.cli import options
from fraudstream.cli.options import TAKES_EFFECT, setting
from fraudstream.cli.registry import table
from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed, SettingsError
from fraudstream.messages.base import Object

if TYPE_CHECKING:
    from fraudstream.relay.api_client import DashboardClient

MAX_SCHEMAS = 10


def _print(report: Mapping[str, Any]) -> None:
    """Print the dashboard's report as tables."""
    if (contract := report["contract"]) is None:
        click.echo("no model is active")
    else:
        features = {feature["name"]: feature["type"] for feature in contract["features"]}
        columns = {column["name"]: column for column in report["current"]["columns"]}
        _print_contract(contract["model_id"], features, contract["aliases"], columns)
    click.echo(f"\nSchemas: {report['kept']:,}, newest first (transactions ≈, from samples)")
    rows = []
    for each in report["schemas"][:MAX_SCHEMAS]:
        first, changes = each["first"], "\n".join(each["changes"]) or "as the model expects"
        where = f"\n{first['topic']}[{first['partition']}] {first['offset']}" if first["topic"] else ""
        rows.append((first["at"] + where, each["schema_id"], f"{each['estimated_rows']:,}", changes))
    table(("first seen about", "schema", "transactions", "compared with the model"), rows)
    for each in report["suggestions"]:
        click.echo(f"suggested: {each['new']}={each['old']}  ({each['evidence']})")
    if report["suggestions"]:
        click.echo("accept or reject: fraudstream schema accept NEW=OLD, fraudstream schema refuse NEW=OLD")


def _print_contract(
    model_id: str, features: Mapping[str, str], aliases: Mapping[str, str], columns: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the features with their types and aliases and, if known, the content of recent transactions."""
    headings = ("column", "type", "read from", *(("in the stream", "imputed (≈)") if columns else ()))
    read_from = {old: new for new, old in aliases.items()}
    rows = []
    for name, kind in features.items():
        column = columns.get(name, {})
        cells = (name, kind, read_from.get(name, name), column.get("came") or "–", column.get("imputed") or "none")
        rows.append(cells[: len(headings)])
    click.echo(f"The contract of {model_id}")
    table(headings, rows)


_pair = click.argument("alias", metavar="NEW=OLD")
_why = partial(click.option, "--why", show_default=True, help="The reason, recorded with it.")


@click.group(invoke_without_command=True)
@setting("model", "api")
@options.as_json
@click.pass_context
def schema(context: click.Context, /, as_json: bool, **flags: object) -> None:
    """Show the model's contract, the schemas in the stream and suggested aliases; change aliases.

    An alias maps a column of the stream to a feature of another name: NEW=OLD, as in amount_eur=Amount.
    """
    if context.invoked_subcommand is not None:
        return
    from fraudstream.model.deployment.aliases import active_contract

    settings = options.load_settings(**flags)
    try:
        report = options.dashboard(settings).get("/api/schemas")
    except DashboardFailed as e:
        contract = active_contract(settings.model)
        if as_json:
            content = {"model_id": contract.model_id, "features": dict(contract.features), "aliases": contract.aliases}
            options.print_json({"contract": content, "schemas": None})
        else:
            _print_contract(contract.model_id, contract.features, contract.aliases, {})
        click.echo(f"the stream's schemas are unknown: {e.what}", err=True)
        return
    if as_json:
        options.print_json(report)
    else:
        _print(report)


@schema.command()
@_pair
@_why(default="declared on the command line")
@setting("model")
def alias(alias: str, why: str, **flags: object) -> None:
    """Read the column NEW as the feature OLD from now on."""
    from fraudstream.model.deployment.aliases import active_contract, declare_alias

    settings = options.load_settings(**flags)
    new, old = _split(alias, set(active_contract(settings.model).features))
    deployment = declare_alias(settings.model, new, old, who=getpass.getuser(), why=why, now=datetime.now(UTC))
    click.echo(f"revision {deployment.revision}: {new} is read as {old}; {TAKES_EFFECT}")


@schema.command()
@click.argument("new")
@_why(default="removed on the command line")
@setting("model")
def unalias(new: str, why: str, **flags: object) -> None:
    """Remove the alias of the column NEW."""
    from fraudstream.model.deployment.aliases import remove_alias

    settings = options.load_settings(**flags)
    deployment = remove_alias(settings.model, new, who=getpass.getuser(), why=why, now=datetime.now(UTC))
    click.echo(f"revision {deployment.revision}: {new} is no longer an alias; {TAKES_EFFECT}")


@schema.command()
@setting("api")
@options.as_json
def suggestions(as_json: bool, **flags: object) -> None:
    """List the aliases that the stream's values suggest, with the evidence."""
    aliases = options.dashboard(Settings.load(**flags)).get("/api/schemas")["suggestions"]
    if as_json:
        options.print_json(aliases)
        return
    for each in aliases:
        since = f"{each['since']['at']} {each['since']['place']}".strip()
        click.echo(f"{each['new']}={each['old']}\n  {each['evidence']}\n  since about {since}")
    if not aliases:
        click.echo("no aliases are suggested")


@schema.command()
@_pair
@setting("api")
def accept(alias: str, **flags: object) -> None:
    """Declare a suggested alias, through the dashboard."""
    client = options.dashboard(Settings.load(**flags))
    each = _suggested(client, alias)
    content = {"new": each["new"], "old": each["old"], "why": f"suggested: {each['evidence']}"}
    deployment = client.post("/api/schema/aliases", content | {"who": getpass.getuser()})
    click.echo(f"revision {deployment['revision']}: {each['new']} is read as {each['old']}; {TAKES_EFFECT}")


@schema.command()
@_pair
@_why(default="refused on the command line")
@setting("api")
def refuse(alias: str, why: str, **flags: object) -> None:
    """Reject a suggested alias permanently."""
    client = options.dashboard(Settings.load(**flags))
    each = _suggested(client, alias)
    content = {"new": each["new"], "old": each["old"], "why": why, "who": getpass.getuser()}
    client.post("/api/schema/suggestions/refuse", content)
    click.echo(f"{each['new']} will not be suggested for {each['old']} again")


def _suggested(client: DashboardClient, alias: str) -> Object:
    aliases: list[Object] = client.get("/api/schemas")["suggestions"]
    for each in aliases:
        if f"{each['new']}={each['old']}" == alias:
            return each
    raise SettingsError(
        f"{alias!r} is not suggested",
        where="fraudstream schema suggestions",
        remedy="use one of: " + (", ".join(f"{each['new']}={each['old']}" for each in aliases) or "there are none now"),
    )


def _split(alias: str, features: set[str]) -> tuple[str, str]:
    """Split NEW=OLD; a name may contain an equals sign, so a split that ends in a feature is preferred."""
    pieces = alias.split("=")
    cuts = [("=".join(pieces[:at]), "=".join(pieces[at:])) for at in range(1, len(pieces))]
    if not cuts:
        raise SettingsError(f"{alias!r} is not NEW=OLD", remedy="write it as amount_eur=Amount")
    return next((cut for cut in cuts if cut[1] in features), cuts[-1])
