"""The commands `checkpoint show` and `checkpoint rebuild`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fraudstream.cli.options import setting
from fraudstream.config import Settings
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
