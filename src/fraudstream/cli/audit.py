"""The command `audit`: compares ledger, topics and store."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.runtime.engines import batch_spark, jars_for, java_for


@click.command()
@click.option(
    "--workdir",
    type=options.PATH,
    help="A demo's workdir, running or stopped; its Kafka is started for the audit if it is not running.",
)
@options.kafka
@setting("database")
@setting("model")
@click.option("--deep", is_flag=True, help="Score the topic again and compare every offset (starts Spark).")
@options.as_json
@setting("max_record_bytes")
@setting("driver_memory")
@setting("java_home")
def audit(workdir: Path | None, deep: bool, as_json: bool, **flags: object) -> None:
    """Check that every acknowledged record has exactly one recorded outcome, by comparing ledger, topics and store.

    Exit code 0 when nothing is wrong, 1 when something is lost, missing, doubled, rejected or cannot be verified.
    Records that are open or in transit are not errors. Read-only.
    """
    from rich.console import Console

    from fraudstream.audit.comparison import audit
    from fraudstream.audit.deep import Rescoring
    from fraudstream.audit.report import render

    if workdir is not None:
        flags["database"] = flags["database"] or f"sqlite:///{workdir.absolute() / 'alerts.db'}"
        flags["model"] = flags["model"] or workdir / "models" / "current"
    settings = Settings.load(**flags)
    with _kafka(settings, None if flags["bootstrap_servers"] else workdir) as bootstrap_servers:
        rescoring = Rescoring(
            bootstrap_servers,
            settings.model,
            settings.max_record_bytes,
            lambda: batch_spark(settings, "audit", jars_for(settings).connector),
        )
        report = audit(
            bootstrap_servers,
            settings.database,
            settings.max_record_bytes,
            rescoring=rescoring if deep else None,
            card_columns=settings.card_columns,
        )
    if as_json:
        options.print_json(report.document())
    else:
        Console().print(render(report))
    if not report.ok:
        raise click.exceptions.Exit(1)


def _kafka(settings: Settings, workdir: Path | None) -> AbstractContextManager[str]:
    if workdir is None:
        return nullcontext(settings.bootstrap_servers)
    from fraudstream.audit.workdir import broker_of
    from fraudstream.kafka.broker import BrokerPlan
    from fraudstream.runtime.processes import free_port

    def plan(data: Path) -> BrokerPlan:
        return BrokerPlan(
            port=free_port(),
            data_dir=data,
            java=java_for(settings),
            jars=jars_for(settings).broker,
            partitions=settings.partitions,
            max_record_bytes=settings.max_record_bytes,
        )

    return broker_of(workdir, plan, lambda line: click.echo(line, err=True))
