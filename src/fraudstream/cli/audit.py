"""The command `audit`: ledger, topics and store held against each other, for settings or for a demo's folder."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

import click
import orjson

from fraudstream.cli import options
from fraudstream.cli.engines import batch_spark, jars_for, java_for
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import BrokerFailed, SettingsError
from fraudstream.kafka.broker import LOCK, PROPERTIES, STORAGE, BrokerPlan, start_broker
from fraudstream.runtime.files import exclusive_lock

_LISTENER: Final = re.compile(r"^advertised\.listeners=\w+://(?P<address>[^,\s]+)", re.MULTILINE)


@contextmanager
def broker_of(workdir: Path, plan: Callable[[Path], BrokerPlan], say: Callable[[str], None]) -> Iterator[str]:
    """The bootstrap servers of a demo's Kafka, for the length of a `with` block.

    Raises:
        SettingsError: It is no demo's folder, or its Kafka is elsewhere.
        BrokerFailed: Its broker does not start, or does not say where it listens.
    """
    data = workdir / "kafka"
    if not (data / STORAGE).is_dir():
        raise SettingsError(
            "this folder holds no Kafka of a demo",
            where=str(data),
            remedy="name the folder of a demo; where its Kafka is elsewhere, add --bootstrap-servers",
        )
    with exclusive_lock(data / LOCK, wait=False) as ours:
        running = not ours
    if running:
        yield _address(data)
        return
    with start_broker(plan(data), say) as broker:
        if broker is None:
            raise BrokerFailed("the broker did not start", where=str(data), remedy="read its log there")
        yield broker.bootstrap_servers


def _address(data: Path) -> str:
    found = None
    with suppress(OSError):
        found = _LISTENER.search((data / PROPERTIES).read_text())
    if found is None:
        raise BrokerFailed(
            "a broker runs on this data and does not say where it listens",
            where=str(data / PROPERTIES),
            remedy="name it with --bootstrap-servers",
        )
    return found["address"]


@click.command()
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=None,
    help="A demo's folder, running or stopped; its Kafka is started for the audit where it does not run.",
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
    """Check that every acknowledged record has one recorded outcome: ledger, topics and store against each other.

    Exit code 0 when nothing is wrong, 1 when something is lost, missing, doubled, rejected or cannot be verified. What
    is open or on its way is not wrong. Nothing is changed.
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
        click.echo(orjson.dumps(report.document(), option=orjson.OPT_INDENT_2))
    else:
        Console().print(render(report))
    if not report.ok:
        raise click.exceptions.Exit(1)


def _kafka(settings: Settings, workdir: Path | None) -> AbstractContextManager[str]:
    if workdir is None:
        return nullcontext(settings.bootstrap_servers)
    from fraudstream.cli.audit import broker_of
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
