"""The command `profiles build`: the daily tables of terminals, merchants and other entities."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.history.spec import PROFILE_WINDOWS
from fraudstream.transactions.reading_options import ReadingOptions


@click.group()
def profiles() -> None:
    """Build the daily profiles of the entities that do not key the stream: terminals, merchants, devices."""


@profiles.command()
@click.option("--from", "data", type=options.PATH, multiple=True, required=True,
              help="A file of payments, a folder of them, or an archive; repeatable.")  # fmt: skip
@click.option("--labels", type=options.PATH, help="A file that lists the frauds by id, as `labels export` writes it.")
@click.option("--label-key", default="event_id", show_default=True, help="The column with the id, in both.")
@click.option("--replace", "replaces", is_flag=True, help="Write days that are there again, as after late labels.")
@setting("profiles", "model", "entity_key")
def build(data: tuple[Path, ...], labels: Path | None, label_key: str, replaces: bool, **flags: object) -> None:
    """Write the profiles of each day that has ended and has none yet, as the model's history needs them.

    Without --labels, the labels are those of the payments themselves.
    """
    from fraudstream.history.identity import entity_id, entity_key
    from fraudstream.history.payments import read_payments
    from fraudstream.history.profiles import day_of, latest_profile, whole_from, write_profiles
    from fraudstream.model.deployment.current import resolve

    settings = options.load_settings(**flags)
    artifact, deployment = resolve(settings.model)
    manifest = artifact.manifest
    spec = manifest.history
    if spec is None or len(spec.entities) < 2:
        what = f"the model {manifest.model_id} reads no profiles"
        remedy = "train one that does: fraudstream train --entity card=COLUMN --entity terminal=COLUMN --data FILE"
        raise SettingsError(what, where=str(settings.model), remedy=remedy)
    reading: dict[str, object] = {"decimal": spec.decimal, "date_order": spec.date_order}
    if labels is not None:
        reading |= {"labels": labels, "label_key": label_key}
    archived = sorted(folder for path in data for folder in path.glob("date=*"))
    after = latest_profile(settings.profiles, spec) if archived and not replaces else date.min
    if after > date.min:
        # A record is in the folder of Kafka's timestamp, in UTC, and its own time may be a little later.
        first = f"date={after - timedelta(days=spec.delay_days + max(PROFILE_WINDOWS) + 2)}"
        archived = [folder for folder in archived if folder.name >= first]
    source = options.open_payments(archived or data, ReadingOptions.of(reading))
    if source.fraud_list is None and manifest.label not in source.columns:
        what = f"there are no labels: the payments have no column {manifest.label!r}"
        remedy = "list the frauds with --labels FILE: fraudstream labels export FILE"
        raise LabelError(what, where=source.where(), remedy=remedy)
    secret = entity_key(settings.entity_key)
    fraud = None if source.fraud_list else (manifest.label, manifest.label_values.fraud)
    payments = read_payments(source, spec, lambda value: entity_id(value, secret), fraud, deployment.aliases)
    today = day_of(round(time.time() * 1000), spec)
    if archived:  # which may be behind, and a profile is final
        today = min(today, day_of(int(payments.time.max(initial=0)), spec))
    try:
        written = write_profiles(
            settings.profiles, payments, spec, after=after, until=today - timedelta(days=1), replaces=replaces
        )
    except OSError as e:
        what = f"the profiles cannot be written: {e.strerror}"
        raise DataError(what, where=str(settings.profiles), remedy="free space, or correct the permissions") from e
    for entity in spec.entities[1:]:
        dates = [path.name.partition(".")[0] for path in written if path.parent.name == entity.kind]
        period = f"{dates[0]} to {dates[-1]}" if dates else "every day that has ended has one"
        click.echo(
            f"{settings.profiles / entity.kind}: {len(dates):,} day{'s' if len(dates) != 1 else ''} written; {period}"
        )
        if dates and dates[0] < (whole := f"{whole_from(payments, spec)}"):
            click.echo(f"warning: before {whole} the windows reach back beyond the first payment", err=True)
