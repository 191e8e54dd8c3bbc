"""The command `inspect`: what is recognised in payment files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudstream.cli import options
from fraudstream.transactions.reading_options import ReadingOptions

if TYPE_CHECKING:
    from fraudstream.model.training.inspection import Inspection

_EXAMPLE_CHARS = 30


@click.command()
@options.reading()
@click.option("--label", help="The label column; detected by its name by default.")
@options.as_json
def inspect(data: tuple[Path, ...], reading: ReadingOptions, label: str | None, as_json: bool) -> None:
    """Show what is recognised in payment files, and what a training would make of each column."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fraudstream.model.training.inspection import inspect_source
    from fraudstream.transactions.data_source import open_data

    inspection = inspect_source(open_data(data, reading), label)
    if as_json:
        options.print_json(asdict(inspection))
        return
    console = Console()
    for warning in inspection.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_column(style="dim", no_wrap=True)
    summary.add_column(overflow="fold")
    for name, value in _lines(inspection):
        summary.add_row(name, Text(value))
    columns = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("column", "kind", "missing", "distinct", "role", "reason", "example"):
        columns.add_column(heading, overflow="fold", justify="right" if heading in ("missing", "distinct") else "left")
    for column in inspection.columns:
        distinct = "many" if column.distinct is None else f"{column.distinct:,}"
        reason = "; ".join(filter(None, (column.reason, column.notes)))
        example = "" if column.example is None else str(column.example)[:_EXAMPLE_CHARS]
        cells = (column.name, column.kind, f"{column.missing:,}", distinct, column.role.value, reason, example)
        columns.add_row(*map(Text, cells))
    console.print(summary, Text(), columns)


def _lines(inspection: Inspection) -> Iterator[tuple[str, str]]:
    yield "data", f"{inspection.name}: {inspection.dialect}"
    yield "rows", f"{inspection.rows:,} with {len(inspection.columns)} columns"
    time = f"{inspection.time}, from {inspection.time_from} to {inspection.time_to}"
    yield "time", time if inspection.time else "no column: the rows are in the order of the file"
    if inspection.frauds is None:
        yield "label", "none"
    else:
        fraud, legitimate = inspection.label_values
        share = f"{inspection.frauds:,} frauds, {inspection.frauds / inspection.rows:.3%} of the rows"
        yield "label", f"{inspection.label}: {fraud!r} is fraud, {legitimate!r} is not; {share}"
