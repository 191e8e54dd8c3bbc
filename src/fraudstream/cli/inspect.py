"""The command `inspect`: what is recognised in payment files."""

from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.transactions.reading_options import ReadingOptions

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
        options.print_json(inspection)
        return
    console, time, marked = Console(), inspection["time"], inspection["label"]
    for warning in inspection["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"))
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_row("data", f"{inspection['data']}: {inspection['dialect']}, {inspection['rows']:,} rows")
    summary.add_row("time", "{column}, from {start} to {end}".format(**time) if time else "none: the file's order")
    label_line = "{column}: {fraud!r} is fraud, {legitimate!r} is not; {frauds:,} frauds"
    summary.add_row("label", label_line.format(**marked) if marked else "none")
    if marked and marked["delay_seconds"] is not None:
        summary.add_row("", f"nearly all frauds were reported within {marked['delay_seconds'] / 86_400:.1f} days")
    columns = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("column", "kind", "missing", "distinct", "role", "reason", "example"):
        columns.add_column(heading, overflow="fold")
    for column in inspection["columns"]:
        distinct = "many" if column["distinct"] is None else f"{column['distinct']:,}"
        reason = "; ".join(filter(None, (column["reason"], column["format"])))
        example = "" if column["example"] is None else str(column["example"])[:_EXAMPLE_CHARS]
        cells = (column["name"], column["kind"], f"{column['missing']:,}", distinct, column["role"], reason, example)
        columns.add_row(*map(Text, cells))
    console.print(summary, Text(), columns)
