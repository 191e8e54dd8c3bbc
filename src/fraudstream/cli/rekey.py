"""The command `rekey`: copies a topic to one that is keyed by a column."""

import click

from fraudstream.cli.options import setting
from fraudstream.config import Settings

REPORT_SECONDS = 5.0


@click.command()
@setting("bootstrap_servers")
@click.option("--from", "source", required=True, metavar="TOPIC", help="The topic to copy.")
@click.option("--to", "target", metavar="TOPIC", help="The keyed topic, created if it is missing.  [FROM_keyed]")
@click.option("--key", required=True, metavar="COLUMN", help="Column whose value is the record's key, as for produce.")
@click.option("--partitions", type=click.IntRange(1), help="Partitions of a keyed topic that is created.  [as FROM]")
@click.option("--follow", is_flag=True, help="Continue with new records, until Ctrl-C.")
@setting("envelope")
def rekey(source: str, target: str | None, key: str, partitions: int | None, follow: bool, **flags: object) -> None:
    """Copy a topic to one keyed by a column: the same records and event ids, each exactly once.

    The same command continues a copy, also after a kill. Records without the column are copied without key.
    """
    from fraudstream.kafka.avro import key_reader
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.rekeying import RekeyPlan, RekeyProgress, rekey
    from fraudstream.kafka.rights import keyed_topic
    from fraudstream.kafka.schema_registry import SchemaRegistry
    from fraudstream.runtime.processes import stop_signals

    settings = Settings.load(**flags)
    registry = SchemaRegistry.of(settings) if settings.schema_registry else None
    reader = key_reader(key, settings.envelope, registry)
    keyed_by = f"--key {key}" + (f" --envelope {settings.envelope}" if settings.envelope else "")
    to = target or keyed_topic(source)
    plan = RekeyPlan(Cluster.of(settings), source, to, reader, partitions, follow, keyed_by)
    due = 0.0

    def show(progress: RekeyProgress) -> None:
        nonlocal due
        if progress.seconds >= due:
            click.echo(f"{progress.copied:,} records copied", err=True)
            due = progress.seconds + REPORT_SECONDS

    with stop_signals() as stopped:
        copied = rekey(plan, stopped, show)
    click.echo(copied.summary(plan.target))
    if copied.interrupted:
        raise click.Abort
    if copied.lost:
        raise click.exceptions.Exit(1)
