"""The commands `store backup`, `restore`, `migrate`, `prune` and `copy`."""

import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.times import iso, microseconds

_file = click.argument("file", type=options.PATH)


@click.group()
def store() -> None:
    """Back up, restore, migrate, prune or copy the alert store, on SQLite or PostgreSQL."""


@store.command()
@_file
@setting("database")
def backup(file: Path, **flags: object) -> None:
    """Write a consistent copy of the store to the new file FILE, also while it is in use.

    For PostgreSQL it is an archive of pg_dump; the URL or PGPASSWORD gives the password.
    """
    from fraudstream.store.database import backend_of

    alerts = backend_of(Settings.load(**flags).database).back_up(file)
    click.echo(f"{file}: {alerts:,} alerts and unscorable transactions, {file.stat().st_size:,} bytes")


@store.command()
@_file
@setting("database")
def restore(file: Path, **flags: object) -> None:
    """Restore a backup into a store that is empty or does not exist."""
    from fraudstream.store.operations import restore

    alerts = restore(Settings.load(**flags).database, file)
    click.echo(f"{file}: restored, {alerts:,} alerts and unscorable transactions")


@store.command()
@setting("database", "card_columns")
@click.option("--backup", type=options.PATH, help="A new file for the backup; needed for PostgreSQL.")
def migrate(backup: Path | None, **flags: object) -> None:
    """Back up a store of an earlier release, and bring its tables up to date."""
    from fraudstream.store.database import migrate_database

    settings = Settings.load(**flags)
    before, after = migrate_database(settings.database, lambda: datetime.now(UTC), settings.card_columns, backup)
    click.echo(f"revision {after}: " + ("up to date" if before == after else f"migrated from {before}"))


@store.command()
@click.option(
    "--older-than", type=options.duration, metavar="TIME", required=True, help="The age in the store, as in 90d."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@setting("database")
def prune(older_than: float, dry_run: bool, yes: bool, **flags: object) -> None:
    """Delete old alerts that nobody triaged, events, rejected records and bodies of dead letters.

    What people did stays, with the alerts that they acted on, and so do the audit trail, the ledger and all totals.
    """
    from fraudstream.store.operations import count_prunable, prune
    from fraudstream.store.store import AlertStore

    settings, before = Settings.load(**flags), datetime.now(UTC) - timedelta(seconds=older_than)
    counts = count_prunable(settings.database, microseconds(before))
    click.echo(f"from before {iso(before)}: " + ", ".join(f"{name} {rows:,}" for name, rows in counts.items()))
    if dry_run:
        return
    if not yes and sys.stdin.isatty():
        click.confirm("Delete them?", abort=True)
    with closing(AlertStore.open(settings.database, card_columns=settings.card_columns)) as opened:
        pruned = prune(opened.database, microseconds(before))
    click.echo("deleted: " + ", ".join(f"{name} {rows:,}" for name, rows in pruned.items()))


@store.command()
@click.option("--to", "target", required=True, metavar="URL", help="The other database, as the setting `database`.")
@setting("database")
def copy(target: str, **flags: object) -> None:
    """Copy the store to another database, and compare both. Stop the dashboards first.

    The other database must be empty, or hold the beginning of an interrupted copy, which is resumed.
    """
    from fraudstream.store.operations import copy
    from fraudstream.store.store import AlertStore

    with closing(AlertStore.open(target)) as opened:
        sums, broken = copy(Settings.load(**flags).database, opened.database)
    click.echo(f"the same in both databases:\n{'table':16} {'rows':>12}  SHA-256")
    for name, each in sums.items():
        click.echo(f"{name:16} {each.rows:12,}  {each.digest}")
    click.echo(f"audit trail: {len(broken):,} broken links, as in the source" if broken else "audit trail: unbroken")
