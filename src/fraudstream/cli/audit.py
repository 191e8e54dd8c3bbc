"""The command `audit`: compares ledger, topics and store."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting


@click.command()
@click.option(
    "--workdir",
    type=options.PATH,
    help="A demo's workdir, running or stopped; its Kafka is started for the audit if it is not running.",
)
@setting("bootstrap_servers", "database", "model")
@click.option("--deep", is_flag=True, help="Score the topic again and compare every offset (starts Spark).")
@options.as_json
@setting("max_record_bytes", "driver_memory", "java_home")
def audit(workdir: Path | None, deep: bool, as_json: bool, **flags: object) -> None:
    """Check that every acknowledged record has exactly one recorded outcome, by comparing ledger, topics and store.

    Exit code 0 when nothing is wrong, 1 when something is lost, missing, doubled, rejected or cannot be verified.
    Records that are open or in transit are not errors. Read-only.
    """
    from fraudstream.audit.comparison import audit
    from fraudstream.audit.report import render
    from fraudstream.audit.workdir import broker_of
    from fraudstream.kafka.secured import OPEN

    if workdir is not None:
        flags["database"] = flags["database"] or f"sqlite:///{workdir.absolute() / 'alerts.db'}"
        flags["model"] = flags["model"] or workdir / "models" / "current"
    settings = options.load_settings(**flags)
    kafka: AbstractContextManager[str] = nullcontext(settings.bootstrap_servers)
    if workdir is not None and not flags["bootstrap_servers"]:
        kafka = broker_of(workdir, settings, lambda line: click.echo(line, err=True))
        settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update=OPEN)})
    with kafka as bootstrap_servers:
        report = audit(settings.model_copy(update={"bootstrap_servers": bootstrap_servers}), deep=deep)
    if as_json:
        options.print_json(report.document())
    else:
        click.echo(render(report))
    if not report.ok:
        raise click.exceptions.Exit(1)
