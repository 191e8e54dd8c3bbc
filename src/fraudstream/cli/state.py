"""The commands `checkpoint`, `state` and `profiles`: what the detector resumes from and looks up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import DataError, LabelError, ModelError, SettingsError
from fraudstream.history.spec import PROFILE_WINDOWS
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.wire import Topic

if TYPE_CHECKING:
    from fraudstream.detector.spark_log import Offsets


@click.group()
def checkpoint() -> None:
    """Inspect the detector's checkpoint, or rebuild it from the ledger."""


@checkpoint.command()
@setting("checkpoint", "bootstrap_servers")
def show(**flags: object) -> None:
    """Show whether the detector can resume from the checkpoint, and at which offsets.

    A checkpoint that is broken, or of another topic or release, is an error that names the file and the remedy.
    """
    from fraudstream.detector.checkpoint import inspect
    from fraudstream.detector.history import check_files
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.topics import topic_id
    from fraudstream.model.deployment.state import read_state, state_directory

    settings = Settings.load(**flags)
    cluster = Cluster.of(settings)
    topic = cluster.topic(Topic.TRANSACTIONS)
    state = inspect(settings.checkpoint, topic, topic_id(cluster, topic))
    directory = state_directory(settings.checkpoint)
    if (record := read_state(directory)) is not None:
        what = f"history of {record.content.key.column} in {check_files(directory)} of {record.partitions} partitions"
        click.echo(f"{directory}: intact; {what}")
    if state.is_new and state.marker is None:
        click.echo(f"{settings.checkpoint}: new; the detector starts at the earliest offset")
        return
    batch = f"batch {max(state.ends)}" if state.ends else "no batch yet"
    click.echo(f"{settings.checkpoint}: intact; {batch}; the detector resumes at {_positions(topic, state.committed)}")


@checkpoint.command()
@setting("checkpoint", "bootstrap_servers")
def rebuild(**flags: object) -> None:
    """Move the checkpoint aside and create one that resumes where the ledger ends.

    Nothing is lost or doubled: what the ledger does not account for is scored again. Stop the detector first.
    """
    from fraudstream.detector.checkpoint import Marker, accounted_until, lock_checkpoint, rebuild
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.reading import KafkaLedger, Watermarks
    from fraudstream.kafka.topics import require_rights_of, topic_id

    settings = Settings.load(**flags)
    cluster = Cluster.of(settings)
    require_rights_of("checkpoint", cluster)
    topic = cluster.topic(Topic.TRANSACTIONS)
    current_id = topic_id(cluster, topic)
    begins = Watermarks(cluster, topic).begins()
    with lock_checkpoint(settings.checkpoint):
        offsets = accounted_until(KafkaLedger(cluster).read(), current_id, begins)
        aside = rebuild(settings.checkpoint, Marker(topic, current_id, start=offsets), datetime.now(UTC))
    if aside is not None:
        click.echo(f"the old checkpoint is in {aside}")
    click.echo(f"{settings.checkpoint}: rebuilt; the detector resumes at {_positions(topic, offsets)}")


def _positions(topic: str, offsets: Offsets) -> str:
    return ", ".join(f"{topic}[{p}] {offset}" for p, offset in sorted(offsets.items())) or "the earliest offset"


@click.group()
def state() -> None:
    """Build the state of the history, which the detector keeps beside its checkpoint."""


@state.command("build")
@options.reading("--from")
@setting("model", "checkpoint", "entity_key", "bootstrap_servers", "driver_memory", "java_home")
def build_history(data: tuple[Path, ...], reading: ReadingOptions, **flags: object) -> None:
    """Fill the history with the payments of files, or of the topic's archive, in their order.

    Those of files should be before the first that the detector will read, as the training data are. An archive may be
    ahead of the detector, as its payments count once. The detector must be stopped; the former state is moved aside.
    """
    from fraudstream.detector.checkpoint import lock_checkpoint
    from fraudstream.detector.state_build import archive_gaps, archived_payments, build_state, payments_of
    from fraudstream.history.identity import entity_key, key_fingerprint
    from fraudstream.history.spec import operator_config
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.topics import require_topic, topic_id
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.deployment.state import StateRecord, content_of, state_directory
    from fraudstream.runtime.engines import batch_spark, jars_for

    settings, archive = options.load_settings(**flags), _archived(data)
    artifact, deployment = resolve(settings.model)
    if artifact.manifest.history is None:
        remedy = "train one with --entity, or name another with --model"
        raise ModelError("the model reads no history", where=deployment.model_id, remedy=remedy)
    content = content_of(artifact.manifest.history)
    cluster = Cluster.of(settings)
    topic = cluster.topic(Topic.TRANSACTIONS)
    partitions = len(require_topic(cluster, topic).partitions)
    fingerprint = key_fingerprint(entity_key(settings.entity_key))
    record = StateRecord(content, partitions, topic_id(cluster, topic), key_fingerprint=fingerprint)
    config = operator_config(content, dict(deployment.aliases), None, entity_key(settings.entity_key))
    with lock_checkpoint(settings.checkpoint):
        if archive:
            payments = archived_payments(archive, topic, content, deployment.aliases)
        else:
            payments = payments_of(options.open_payments(data, reading), content, deployment.aliases, record.partitions)
        for gap in archive_gaps(archive, settings.checkpoint, topic, record.topic_id) if archive else ():
            what = f"{gap} are not archived, and the detector has read them: the history lacks them"
            _warn(f"{what}; build it again once fraudstream archive has them")
        with batch_spark(settings, "state", jars_for(settings).connector) as spark:
            now = datetime.now(UTC)
            count, former = build_state(spark, payments, record, config, settings.checkpoint, now, _warn)
    if former is not None:
        click.echo(f"the former state is in {former}")
    click.echo(f"{state_directory(settings.checkpoint)}: built from {count:,} payments")


def _warn(what: str) -> None:
    click.echo(f"warning: {what}", err=True)


def _archived(data: Sequence[Path]) -> list[Path]:
    """Return the files of an archive, none of other data; raises SettingsError if both are named."""
    from fraudstream.transactions.archive_files import ArchiveFile
    from fraudstream.transactions.files import data_files

    files = {path: [each for each in data_files([path]) if ArchiveFile.parse(each)] for path in data}
    others = [path for path in data if not files[path]]
    if others and any(files.values()):
        what, remedy = "an archive and other files are named together", "name either the archive or the files"
        raise SettingsError(what, where=f"--from {others[0]}", remedy=remedy)
    return [each for path in data for each in files[path]]


@click.group()
def profiles() -> None:
    """Build the daily profiles of the entities that do not key the stream: terminals, merchants, devices."""


@profiles.command("build")
@click.option("--from", "data", type=options.PATH, multiple=True, required=True,
              help="A file of payments, a folder of them, or an archive; repeatable.")  # fmt: skip
@click.option("--labels", type=options.PATH, help="A file that lists the frauds by id, as `labels export` writes it.")
@click.option("--label-key", default="event_id", show_default=True, help="The column with the id, in both.")
@click.option("--replace", "replaces", is_flag=True, help="Write days that are there again, as after late labels.")
@setting("profiles", "model", "entity_key")
def build_tables(data: tuple[Path, ...], labels: Path | None, label_key: str, replaces: bool, **flags: object) -> None:
    """Write the profiles of each day that has ended and has none yet, as the model's history needs them.

    Without --labels, the labels are those of the payments themselves.
    """
    from fraudstream.history.identity import entity_id, entity_key
    from fraudstream.history.payments import read_payments
    from fraudstream.history.profiles import day_of, latest_profile, whole_from, write_profiles
    from fraudstream.model.deployment.current import resolve
    from fraudstream.transactions.archive_files import newest_timestamp

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
    archived = sorted(folder for path in data for folder in path.glob("date=*")) if _archived(data) else []
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
    if archived:  # which may be behind, and a profile is final; a time of its own that is ahead proves nothing
        today = min(today, day_of(min(int(payments.time.max(initial=0)), newest_timestamp(archived)), spec))
    try:
        written = write_profiles(
            settings.profiles, payments, spec, after=after, until=today - timedelta(days=1), replaces=replaces
        )
    except OSError as e:
        what = f"the profiles cannot be written: {e.strerror}"
        raise DataError(what, where=str(settings.profiles), remedy="free space, or correct the permissions") from e
    for entity in spec.entities[1:]:
        folder = settings.profiles / spec.profile_folder(entity)
        dates = [path.name.partition(".")[0] for path in written if path.parent == folder]
        period = f"{dates[0]} to {dates[-1]}" if dates else "every day that has ended has one"
        click.echo(f"{folder}: {len(dates):,} day{'s' if len(dates) != 1 else ''} written; {period}")
        if dates and dates[0] < (whole := f"{whole_from(payments, spec)}"):
            _warn(f"before {whole} the windows reach back beyond the first payment")
