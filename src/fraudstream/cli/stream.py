"""The commands `broker`, `produce`, `detect`, `relay`, `archive`, `dashboard` and `demo`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import ModelError, SettingsError
from fraudstream.runtime.engines import jars_for, java_for
from fraudstream.transactions.reading_options import ReadingOptions
from fraudstream.transactions.wire import Topic

DATA_CANDIDATES = (Path("data/creditcard.csv"), Path("fraud_detection_project/creditcard.csv"))

_trigger = partial(
    click.option, "--trigger", type=click.Choice(("realtime", "micro-batch")), default="realtime", show_default=True
)
_changing_column = partial(click.option, type=options.named_row, metavar="NAME=ROW", multiple=True)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port on loopback.")
@click.option("--data-dir", type=options.PATH, default=Path("kafka-data"), show_default=True, help="Data directory.")
@click.option(
    "--listener",
    "listeners",
    type=options.listener_ports,
    metavar="PORT:ADVERTISED",
    multiple=True,
    help="Listen on another port too, and advertise the port ADVERTISED to its clients, for a proxy or a tunnel."
    " Repeatable.",
)
@click.option(
    "--secure",
    type=options.PATH,
    metavar="DIR",
    help="Require TLS and a login, with a user and rights for each command; DIR gets certificates, passwords and"
    " a file of settings for each user.",
)
@setting("partitions", "max_record_bytes", "java_home")
def broker(
    port: int, data_dir: Path, listeners: tuple[tuple[int, int], ...], secure: Path | None, **flags: object
) -> None:
    """Run a real Kafka (KRaft) on loopback, with the topics, until Ctrl-C."""
    from fraudstream.kafka.broker import BrokerPlan, Listener, run_broker
    from fraudstream.kafka.secured import SecureFolder

    settings = Settings.load(**flags)
    plan = BrokerPlan.of(
        settings,
        port,
        data_dir,
        listeners=tuple(Listener(*listener) for listener in listeners),
        secure=None if secure is None else SecureFolder(secure.absolute()),
    )
    run_broker(plan, click.echo, settings.ready_file)


@click.command()
@options.reading()
@setting("bootstrap_servers", "envelope")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Rows a second.")
@click.option("--delay", type=click.FloatRange(0), help="Seconds between two rows.")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many rows.")
@click.option("--loop", is_flag=True, help="Start again at the first row at the end of the file.")
@click.option("--resume", is_flag=True, help="Resume after the last acknowledged row of the previous run.")
@click.option("--progress-file", type=options.PATH, help="The progress file  [.produce/...]")
@click.option(
    "--key",
    metavar="COLUMN",
    help="Column whose value is the record's key, so that the rows of a card or customer keep their order in one"
    " partition; rows without it have no key. '' is none: the partitions take turns."
    "  [the first entity of the active model's history, if it reads one; else none]",
)
@setting("model")
@click.option("--avro", is_flag=True, help="Send Avro, with schemas that it registers at FRAUDSTREAM_SCHEMA_REGISTRY.")
@_changing_column("--column-from", help="Omit a column before a row (from 0), so that it appears there. Repeatable.")
@_changing_column("--column-until", help="Omit a column from a row on, so that it disappears there. Repeatable.")
@setting("partitions")
def produce(
    data: tuple[Path, ...],
    reading: ReadingOptions,
    rate: float | None,
    delay: float | None,
    limit: int | None,
    loop: bool,
    resume: bool,
    progress_file: Path | None,
    key: str | None,
    avro: bool,
    column_from: tuple[tuple[str, int], ...],
    column_until: tuple[tuple[str, int], ...],
    **flags: object,
) -> None:
    """Stream the rows of payment files, as JSON or Avro, to the topic credit_card_transactions."""
    from rich.console import Console

    from fraudstream.kafka.avro import AvroEncoder
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.producer import ProducePlan, interval_between_rows, produce
    from fraudstream.kafka.production import expected_rows, show_production, summary
    from fraudstream.kafka.progress import progress_path
    from fraudstream.kafka.schema_registry import SchemaRegistry, subject_of
    from fraudstream.kafka.topics import ensure_topics
    from fraudstream.runtime.processes import stop_signals
    from fraudstream.transactions.column_spans import ColumnSpans
    from fraudstream.transactions.envelope import wrapped

    settings = options.load_settings(**flags)
    payments = options.open_payments(data, reading)
    if key is None and not resume:
        key = key_of_history(settings.model, payments.columns)
    if key and key not in payments.columns:
        remedy = f"name one of {', '.join(payments.columns)}"[:500]
        raise SettingsError(f"there is no column {key!r} for the key", where="--key", remedy=remedy)
    source = payments.with_spans(ColumnSpans(dict(column_from), dict(column_until)))
    cluster = Cluster.of(settings)
    ensure_topics(cluster, settings.partitions, settings.max_record_bytes, "produce")
    plan = ProducePlan(
        cluster=cluster,
        progress=progress_file or progress_path(Path.cwd(), cluster.topic(Topic.TRANSACTIONS), source.fingerprint),
        interval=interval_between_rows(rate, delay),
        limit=limit,
        loop=loop,
        resume=resume,
        ready_file=settings.ready_file,
        encode=partial(wrapped, envelope=settings.envelope),
        key=key,
    )
    if avro:
        if settings.envelope:
            what = "--avro sends rows without an envelope"
            raise SettingsError(what, where="--avro and envelope", remedy="leave out one of them")
        registry, subject = SchemaRegistry.of(settings), subject_of(plan.topic)
        numeric = dict(zip(payments.columns, payments.numeric, strict=True))
        plan = replace(plan, encode=AvroEncoder(numeric, partial(registry.register, subject)))
    console = Console(stderr=True)
    with (
        stop_signals() as stopped,
        show_production(console, expected_rows(payments.row_count, limit, loop)) as show,
    ):
        produced = produce(source, plan, stopped=stopped, show=show)
    click.echo(summary(produced, settings.bootstrap_servers))
    if not produced.delivered:
        raise click.exceptions.Exit(1)


def key_of_history(model: Path, columns: Sequence[str]) -> str | None:
    """Return the column of the key of the active model's history; None if there is no such model or column."""
    from fraudstream.history.spec import names_of
    from fraudstream.model.artifact import read_manifest
    from fraudstream.model.deployment.current import read_model

    try:
        manifest, deployment = read_model(model, read_manifest)
    except (ModelError, OSError):  # rows are sent before there is a model, or without any
        return None
    if manifest.history is None:
        return None
    name = manifest.history.key.column
    key = next((each for each in names_of(name, deployment.aliases) if each in columns), None)
    if key is None:
        click.echo(f"warning: sent without key: there is no column {name!r}, the key of the model's history", err=True)
    else:
        click.echo(f"key: {key}, that of the history of {manifest.model_id}", err=True)
    return key


@click.command()
@setting("bootstrap_servers", "model")
@_trigger(help="Spark's Real-time Mode, or micro-batches.")
@click.option("--await-model", is_flag=True, help="Start without a model, and wait until there is one.")
@setting("checkpoint", "profiles", "entity_key", "batch_interval", "envelope")
@setting("sample_every", "driver_memory", "spark_master", "java_home")
def detect(trigger: str, await_model: bool, **flags: object) -> None:
    """Score the stream and send alerts, unscorable transactions and dead letters to their topics, until Ctrl-C.

    A new checkpoint starts at the earliest offset.
    """
    from fraudstream.detector.launch import detector_jvm
    from fraudstream.runtime.processes import stop_signals

    settings = options.load_settings(**flags)
    java, jars = java_for(settings), jars_for(settings)
    with stop_signals() as stop, detector_jvm(settings, java, jars) as jvm:
        # Imported only now: the JVM starts meanwhile on the other core.
        from fraudstream.detector.service import run_detector

        run_detector(settings, trigger, java, jars, stop, jvm, await_model=await_model)


@click.command()
@setting("bootstrap_servers", "api", "relay_id")
@click.option("--from-beginning", is_flag=True, help="Post everything in Kafka again, to restore a lost store.")
def relay(from_beginning: bool, **flags: object) -> None:
    """Post alerts, dead letters and events from Kafka to the dashboard, at least once, until Ctrl-C.

    Several relays share the work.
    """
    from fraudstream.relay.service import run_relay
    from fraudstream.runtime.processes import stop_signals

    settings = Settings.load(**flags)
    with stop_signals() as stop:
        run_relay(settings, stop, from_beginning=from_beginning)


@click.command()
@setting("bootstrap_servers", "archive", "model", "envelope")
@click.option("--interval", type=options.duration, default="60s", show_default=True, help="Longest time until a file.")
@click.option("--days", type=click.IntRange(1, 36_500), help="Remove the files of older days; by default none.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve metrics to Prometheus on this port.")
def archive(interval: float, days: int | None, metrics_port: int | None, **flags: object) -> None:
    """Archive the transactions of the input topic, masked, as Parquet files by day, until Ctrl-C.

    `--data` of train, evaluate, score and inspect reads the folder. A day is that of Kafka's timestamp in UTC.
    """
    from fraudstream.archive.service import run_archive
    from fraudstream.runtime.processes import stop_signals

    settings = options.load_settings(**flags)
    with stop_signals() as stop:
        run_archive(settings, stop, interval=interval, days=days, metrics_port=metrics_port)


@click.command()
@setting("host", "port", "database", "model", "archive", "profiles")
@click.option("--notice", help="A line at the top of every page.")
@click.option(
    "--templates", type=options.PATH, help="A folder with your own dashboard.html; it may extend alerts.html."
)
@click.option("--revoke-sessions", is_flag=True, help="End all sign-in sessions and exit.")
def dashboard(notice: str | None, templates: Path | None, revoke_sessions: bool, **flags: object) -> None:
    """Serve the live page and the API, until Ctrl-C."""
    from fraudstream.dashboard.server import serve
    from fraudstream.dashboard.services.revisions import deployed_model
    from fraudstream.model.deployment.current import tighten_models

    settings = options.load_settings(**flags)
    tighten_models(settings.model)
    if revoke_sessions:
        from fraudstream.store import sessions, store

        opened = store.AlertStore.open(settings.database)
        click.echo(f"{sessions.revoke_sessions(opened.database):,} sessions ended; everyone has to sign in again")
        opened.close()
        return
    serve(settings, deployment=deployed_model(settings.model), notice=notice, templates=templates)


@click.command()
@click.option("--data", type=options.PATH, help="A CSV  [data/creditcard.csv, if present]")
@click.option("--rate", type=click.FloatRange(0), default=200.0, show_default=True, help="Rows a second; 0: no limit.")
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    help="Stop this many seconds after the first row was sent.",
)
@setting("port")
@click.option("--workdir", type=options.PATH, default=Path("demo"), show_default=True, help="A folder.")
@options.algorithm(default="logistic-regression", help="As for train; the default trains fastest.")
@options.legitimate_share(help="As for train.")
@_trigger(help="As for detect.")
@click.option("--fresh", is_flag=True, help="Delete what an earlier demo in this folder streamed, but not its models.")
@click.option("--archive", is_flag=True, help="Archive the payments too, into the folder `archive` of --workdir.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser, if there is one.")
@setting("bootstrap_servers")
def demo(data: Path | None, port: int | None, bootstrap_servers: str | None, **chosen: Any) -> None:
    """Run everything on a CSV: broker, model, dashboard, relay, detector, producer; Ctrl-C stops everything."""
    from fraudstream.demo.run import run_demo
    from fraudstream.demo.system import DemoRequest
    from fraudstream.runtime.processes import stop_signals

    settings = Settings.load(port=port, bootstrap_servers=bootstrap_servers)
    jars_for(settings)
    # Its own broker is an open one, whatever the settings say of the company's.
    environment = {"FRAUDSTREAM_ENTITY_KEY": str(chosen["workdir"] / "entity.key")} | os.environ
    environment |= {} if bootstrap_servers else {"FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
    request = DemoRequest(
        data=data or next((candidate for candidate in DATA_CANDIDATES if candidate.exists()), None),
        port=settings.port,
        bootstrap_servers=bootstrap_servers or None,
        environment=environment,
        **chosen,
    )
    with stop_signals() as stop:
        run_demo(request, stop)
