"""How `fraudstream schema` reads on a terminal: the contract, the sets of columns, what is suggested."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

SETS_SHOWN = 10


def render(report: Mapping[str, Any]) -> RenderableType:
    """The dashboard's report as tables."""
    contract, current = report["contract"], report["current"]
    pieces: list[RenderableType] = []
    if contract is None:
        pieces.append("no model is in force")
    else:
        features = {feature["name"]: feature["type"] for feature in contract["features"]}
        shares = {column["name"]: column for column in current["columns"]}
        pieces.append(render_contract(contract["model_id"], features, contract["aliases"], shares))
    pieces.append(_sets(report))
    for each in report["suggestions"]:
        pieces.append(escape(f"suggested: {each['new']}={each['old']}  ({each['evidence']})"))
    if report["suggestions"]:
        pieces.append("accept or refuse: fraudstream schema accept NEW=OLD, fraudstream schema refuse NEW=OLD")
    return Group(*pieces)


def render_contract(
    model_id: str,
    features: Mapping[str, str],
    aliases: Mapping[str, str],
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """The features with their types and aliases, and, where it is known, what the last rows hold."""
    table = Table(title=escape(f"The contract of {model_id}"), title_justify="left")
    for heading in ("column", "type", "read from", *(("in the stream", "rows filled in (≈)") if columns else ())):
        table.add_column(heading)
    read_from = {old: new for new, old in aliases.items()}
    for name, kind in features.items():
        cells = [name, kind, read_from.get(name, name)]
        if columns:
            column = columns.get(name, {})
            cells += [column.get("came") or "–", column.get("imputed") or "none"]
        table.add_row(*map(escape, cells))
    return table


def _sets(report: Mapping[str, Any]) -> Table:
    title = f"Sets of columns seen: {report['kept']:,}, newest first (rows ≈, from samples)"
    table = Table(title=title, title_justify="left")
    for heading in ("first seen about", "set", "rows", "compared with the model"):
        table.add_column(heading)
    for each in report["schemas"][:SETS_SHOWN]:
        first = each["first"]
        where = f"\n{first['topic']}[{first['partition']}] {first['offset']}" if first["topic"] else ""
        table.add_row(
            escape(first["at"] + where),
            escape(each["schema_id"]),
            f"{each['estimated_rows']:,}",
            escape("\n".join(each["changes"]) or "as the model expects"),
        )
    return table
