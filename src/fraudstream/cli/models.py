"""The commands `inspect`, `train`, `score` and `simulate`."""

import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.cli.registry import print_texts, table
from fraudstream.config import Settings
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.reading_options import ReadingOptions

DEFAULT_SEED = 42
_EXAMPLE_CHARS = 30


@click.command()
@options.reading()
@click.option("--label", help="The label column; detected by its name by default.")
@options.as_json
def inspect(data: tuple[Path, ...], reading: ReadingOptions, label: str | None, as_json: bool) -> None:
    """Show what is recognised in payment files, and what a training would make of each column."""
    from fraudstream.model.training.inspection import inspect_source
    from fraudstream.transactions.data_source import open_data

    inspection = inspect_source(open_data(data, reading), label)
    if as_json:
        options.print_json(inspection)
        return
    for warning in inspection["warnings"]:
        click.secho(f"warning: {warning}", fg="yellow")
    columns = []
    for column in inspection["columns"]:
        distinct = "many" if column["distinct"] is None else f"{column['distinct']:,}"
        reason = "; ".join(filter(None, (column["reason"], column["format"])))
        example = "" if column["example"] is None else str(column["example"])[:_EXAMPLE_CHARS]
        kind, missing = column["kind"], f"{column['missing']:,}"
        columns.append((column["name"], kind, missing, distinct, column["role"], reason, example))
    print_texts("inspect.txt", **inspection)
    click.echo()
    table(("column", "kind", "missing", "distinct", "role", "reason", "example"), columns)


@click.command()
@options.reading()
@click.option("--label", help="The label column; detected by its name by default.")
@click.option(
    "--features",
    multiple=True,
    metavar="A,B",
    help="Learn from these columns and no others, however suspicious they look; repeatable.",
)
@click.option("--exclude", multiple=True, metavar="A,B", help="Leave these columns out; repeatable.")
@options.algorithm(
    default="auto", help="The classifier; auto tries several on a validation period and selects the best."
)
@options.legitimate_share(
    help="Share of the legitimate rows in the CSV; each is weighted by 1/share, in training and in every metric."
)
@click.option(
    "--label-delay",
    "label_delay_seconds",
    type=options.duration,
    metavar="TIME",
    help="How long after a payment its label arrives, as in 7d or 12h: labels not known in time are not used."
    "  [default: what --labels says, else 0s]",
)
@click.option(
    "--review-cost",
    type=click.FloatRange(0),
    help="Cost of reviewing a false alarm, in the unit of the amounts.  [default: 2.5]",
)
@options.max_alerts_per_day(help="Upper limit of the average number of alerts a day at the threshold.")
@click.option(
    "--entity",
    "entities",
    multiple=True,
    metavar="KIND=COLUMN",
    help="Learn from what this entity did before, as in card=CUSTOMER_ID; repeatable, the key of the stream first.",
)
@click.option("--time", metavar="COLUMN", help="With --entity: the payments' date and time.  [default: by its name]")
@click.option("--amount", metavar="COLUMN", help="With --entity: the amounts.  [default: by its name]")
@click.option(
    "--refit/--no-refit", default=True, show_default=True, help="Fit the model on all rows after its evaluation."
)
@click.option("--test-from", metavar="DATE", help="Test on the rows from this time on.  [default: the last fifth]")
@click.option("--name", default="", help="A name for the model, taken where an ID is.")
@click.option("--note", default="", help="A note on the model.")
@click.option("--tag", "tags", multiple=True, help="A tag for the model, taken where an ID is; repeatable.")
@click.option("--deploy", is_flag=True, help="Deploy the model, unless it is worse than the active one beyond a bound.")
@click.option("--force", is_flag=True, help="With --deploy: deploy it even so.")
@setting("models")
@setting("checkpoint")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Random seed.")
@options.as_json
@setting("driver_memory")
@setting("java_home")
def train(
    data: tuple[Path, ...],
    reading: ReadingOptions,
    deploy: bool,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a model on payments, evaluate it on the last fifth in time, and fit it again on all rows.

    The first model of --models is deployed. A later one is a candidate: it is compared with the active one on the same
    rows, and deployed with --deploy or `fraudstream models use`.
    """
    from rich.console import Console

    from fraudstream.model.deployment.state import state_directory
    from fraudstream.model.training.plan import TrainingSettings
    from fraudstream.model.training.summary import as_json as result_as_json
    from fraudstream.model.training.summary import render
    from fraudstream.model.training.training import train
    from fraudstream.runtime.files import tighten
    from fraudstream.transactions.data_source import open_data

    if force and not deploy:
        raise click.UsageError("--force is for --deploy: name both")
    if (flags["time"] or flags["amount"]) and not flags["entities"]:
        raise click.UsageError("--time and --amount are for --entity: name one")
    chosen = {each.name: flags.pop(each.name) for each in fields(TrainingSettings) if each.name in flags}
    settings = Settings.load(**flags)
    tighten(settings.models)
    result = train(
        lambda: batch_spark(settings, "train", history=deploy or bool(chosen["entities"])),
        open_data(data, reading),
        TrainingSettings(**chosen),
        models_dir=settings.models,
        report=lambda line: click.echo(line, err=True),
        now=lambda: datetime.now(UTC),
        deploys=deploy,
        is_forced=force,
        history_state=state_directory(settings.checkpoint),
    )
    if as_json:
        options.print_json(result_as_json(result))
    else:
        Console().print(render(result))
        if not result.is_deployed:  # in one line, to be copied
            path = result.artifact.path
            click.echo(f'\nto deploy it: fraudstream models use {path.name} --models {path.parent} --why "..."')


@click.command()
@options.reading()
@options.earlier
@click.option("--output", type=options.PATH, required=True, help="The CSV to write.")
@click.option("--keep", multiple=True, metavar="A,B|all", help="Copy these columns into the output; repeatable.")
@setting("model")
@setting("driver_memory")
@setting("java_home")
def score(
    data: tuple[Path, ...],
    reading: ReadingOptions,
    earlier: tuple[Path, ...],
    output: Path,
    keep: tuple[str, ...],
    **flags: object,
) -> None:
    """Score each row as the stream would: row,outcome,score,threshold."""
    from fraudstream.model.deployment.current import resolve

    settings = options.load_settings(**flags)
    artifact, deployment = resolve(settings.model)
    source, before = options.open_payments(data, reading), options.open_earlier(earlier, reading)
    with batch_spark(settings, "score", history=artifact.manifest.history is not None) as spark:
        from fraudstream.model.features.file_history import with_history_of
        from fraudstream.scoring.scorer import load_scorer, score_csv

        scorer, aliases = load_scorer(artifact, deployment), deployment.aliases
        source = with_history_of(spark, source, artifact.manifest, aliases=aliases, earlier=before)
        scored = score_csv(spark, source, scorer, output, max_record_bytes=settings.max_record_bytes, keep=keep)
    outcomes = ", ".join(f"{count:,} {outcome.value}" for outcome, count in scored.most_common())
    click.echo(f"{scored.total():,} rows scored by {scorer.model_id} at threshold {scorer.threshold:.6g}: {outcomes}")


@click.command()
@click.option("--rows", type=click.IntRange(1), required=True, help="Payments to simulate, over two days.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="The same seed gives the same file.")
@click.option("--with-ids", is_flag=True, help="Add columns with card and terminal ids.")
@click.option("--output", type=options.PATH, required=True, help="The CSV to write.")
def simulate(rows: int, seed: int, with_ids: bool, output: Path) -> None:
    """Write simulated payments in the format of creditcard.csv, with frauds of several kinds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fraudstream.simulator.simulate import simulate

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("simulating", total=rows)
        frauds = simulate(rows, seed, output, with_ids=with_ids, report=lambda done: bar.update(task, completed=done))
    click.echo(f"{rows:,} payments, {frauds:,} of them frauds, in {output}")
