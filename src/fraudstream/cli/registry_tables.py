"""How `fraudstream models` reads on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from fraudstream.model.registry import KnownModel


def summary(model: KnownModel) -> dict[str, Any]:
    """A model of the list as JSON."""
    told = model.manifest
    metrics = told.metrics if told else None
    return {
        "model_id": model.model_id,
        "in_force": model.is_in_force,
        "written_at": model.written_at.isoformat(timespec="seconds"),
        "algorithm": told.algorithm if told else None,
        "data": told.training_data.name if told else None,
        "rows": told.training_data.rows if told else None,
        "average_precision": metrics.average_precision if metrics else None,
        "average_precision_low": metrics.average_precision_low if metrics else None,
        "average_precision_high": metrics.average_precision_high if metrics else None,
        "threshold": told.threshold if told else None,
        "trouble": model.trouble or None,
    }


def shown(value: object) -> str:
    """A value of a comparison."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> None:
    """Print a table; ids are never broken over lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=header)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == "model")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_json(content: Any) -> None:
    """Print a JSON document."""
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))
