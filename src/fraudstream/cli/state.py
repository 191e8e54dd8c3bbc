"""The command `state build`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.errors import ModelError
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.wire import Topic


@click.group()
def state() -> None:
    """Build the state of the history, which the detector keeps beside its checkpoint."""


@state.command()
@options.reading("--from")
@setting("model", "checkpoint", "entity_key", "bootstrap_servers", "driver_memory", "java_home")
def build(data: tuple[Path, ...], reading: ReadingOptions, **flags: object) -> None:
    """Fill the history with the payments of files, or of the topic's archive, in their order.

    They should be those before the first that the detector will read: the training data, or all that was archived. The
    detector must be stopped; the former state is moved aside.
    """
    from fraudstream.detector.checkpoint import lock_checkpoint
    from fraudstream.detector.state_build import archived_payments, build_state, payments_of
    from fraudstream.history.identity import entity_key
    from fraudstream.history.spec import operator_config
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.topics import require_topic, topic_id
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.deployment.state import StateRecord, content_of, state_directory
    from fraudstream.runtime.engines import batch_spark, jars_for
    from fraudstream.transactions.archive_files import archive_files

    settings = options.load_settings(**flags)
    artifact, deployment = resolve(settings.model)
    if artifact.manifest.history is None:
        remedy = "train one with --entity, or name another with --model"
        raise ModelError("the model reads no history", where=deployment.model_id, remedy=remedy)
    content = content_of(artifact.manifest.history)
    cluster = Cluster.of(settings)
    topic = cluster.topic(Topic.TRANSACTIONS)
    record = StateRecord(content, len(require_topic(cluster, topic).partitions), topic_id(cluster, topic))
    config = operator_config(content, dict(deployment.aliases), None, entity_key(settings.entity_key))
    with lock_checkpoint(settings.checkpoint), batch_spark(settings, "state", jars_for(settings).connector) as spark:
        if archive := [path for folder in data for path in archive_files(folder)]:
            payments = archived_payments(archive, topic, content)
        else:
            payments = payments_of(options.open_payments(data, reading), content.key.column, record.partitions)
        count, former = build_state(spark, payments, record, config, settings.checkpoint, datetime.now(UTC))
    if former is not None:
        click.echo(f"the former state is in {former}")
    click.echo(f"{state_directory(settings.checkpoint)}: built from {count:,} payments")
