"""The command `python -m benchmarks`: measures the whole system on this machine and writes a JSON file."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console

from benchmarks.system import tables
from benchmarks.system.latency import LatencyRequest, measure_latency, measure_secured
from benchmarks.system.machine import check_writable, circumstances, load, write_result
from benchmarks.system.material import prepare, split_by_outcome
from benchmarks.system.recovery import measure_recovery
from benchmarks.system.throughput import ThroughputRequest, measure_baselines, measure_throughput
from fraudstream import logs
from fraudstream.cli.entry import run_to_exit
from fraudstream.cli.options import ALGORITHMS
from fraudstream.config import Settings
from fraudstream.runtime.engines import jars_for, java_for

KINDS: Final = ("latency", "throughput", "recovery", "memory", "baselines")
DURATIONS: Final = {"latency": 60.0, "memory": 1800.0, "recovery": 60.0}
COMPARED: Final = ("auto", "logistic-regression", "gbt")
NOT_HELD: Final = (
    "the load generator did not hold the rate, so the figures are not those of this rate: the file says `held: false`"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--json", "output", type=click.Path(path_type=Path), required=True, help="File of the result.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=1000.0, show_default=True, help="Rows a second."
)
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Seconds of the steady state (of each kill, for recovery)  [60; memory: 1800]",
)
@click.option(
    "--warm-up", type=click.FloatRange(0), default=20.0, show_default=True, help="Seconds before it, told apart."
)
@click.option("--repeats", type=click.IntRange(1), default=None, help="How often  [3; memory, baselines: 1]")
@click.option(
    "--rows", type=click.IntRange(1000), default=2_000_000, show_default=True, help="Of the backlog to catch up on."
)
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice(ALGORITHMS),
    multiple=True,
    help="As for train; several for throughput, of which the first is the headline's  [auto; throughput: also"
    " logistic-regression and gbt]",
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="A CSV; simulated payments without one.")
@click.option(
    "--alert-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of the rows sent at a rate that raise an alert.",
)
@click.option(
    "--linger-ms",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long the load generator's Kafka client lets a row wait for company.",
)
@click.option(
    "--partitions", type=click.IntRange(1), default=None, help="Of the topic  [2; throughput and baselines: 4]"
)
@click.option("--page/--no-page", default=True, help="Keep the live page open in a browser, where there is one.")
@click.option(
    "--secure", is_flag=True, help="For latency: over SASL_SSL with SCRAM and ACLs too, by turns with PLAINTEXT."
)
@click.option("--peers/--no-peers", "baselines", default=True, help="Measure the baselines on the same topic too.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path),
    default=None,
    help="Keep payments and models here for the next time; a folder that goes away without it.",
)
def main(
    kind: str,
    output: Path,
    rate: float,
    duration: float | None,
    warm_up: float,
    repeats: int | None,
    rows: int,
    algorithms: tuple[str, ...],
    data: Path | None,
    alert_share: float,
    linger_ms: float,
    partitions: int | None,
    page: bool,
    secure: bool,
    baselines: bool,
    workdir: Path | None,
) -> None:
    """Measure the whole system on this machine and write a JSON file.

    latency: from when a row was due to each stage, at a fixed rate. throughput: rows a second on a backlog, and the
    baselines'. recovery: from a kill -9 of the detector until it has caught up. memory: as latency, for half an hour.
    baselines: only them, the systems of benchmarks/baselines.
    """
    check_writable(output)
    settings = Settings.load()
    logs.set_up(settings.log_level, card_columns=settings.card_columns)
    java = java_for(settings)
    jars_for(settings)
    console = Console()
    # Of Kafka, the measured system has settings of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_KAFKA_")}

    def say(line: str) -> None:
        click.echo(line, err=True)

    on_backlog = kind in ("throughput", "baselines")
    selection = algorithms or (COMPARED if kind == "throughput" else COMPARED[:1])
    if kind != "throughput" and len(selection) > 1:
        raise click.UsageError(f"{kind} takes one --algorithm")
    if secure and kind != "latency":
        raise click.UsageError(f"{kind} takes no --secure")
    result: dict[str, Any] = {"kind": kind, **circumstances(java)}
    with _ended_by_signals(), _folder(workdir) as folder:
        materials = [prepare(folder, data, algorithm, environment, say) for algorithm in dict.fromkeys(selection)]
        result |= materials[0].summary
        if on_backlog:
            backlog = ThroughputRequest(rows, repeats or (3 if kind == "throughput" else 1), partitions or 4, baselines)
            result |= (
                measure_baselines(backlog, materials[0], environment, say)
                if kind == "baselines"
                else measure_throughput(backlog, materials, environment, say)
            )
        else:
            request = LatencyRequest(
                rate=rate,
                duration=duration or DURATIONS[kind],
                warm_up=warm_up,
                repeats=repeats or (1 if kind == "memory" else 3),
                alert_share=alert_share,
                linger_ms=linger_ms,
                partitions=partitions or settings.partitions,
                page=page,
            )
            sent = split_by_outcome(folder, materials[0], environment, say)
            measure = measure_recovery if kind == "recovery" else measure_secured if secure else measure_latency
            result |= measure(request, materials[0], sent, environment, say)
    write_result(output, result | {"load_after": load()})
    if on_backlog:
        console.print(tables.throughput_table(result))
    elif kind == "recovery":
        console.print(tables.recovery_table(result))
    elif secure:
        console.print(tables.secured_table(result))
    else:
        console.print(tables.latency_table(result))
        console.print(tables.usage_table(result))
    say(f"the result is in {output}")
    failures = [*_unseen(result), *([] if result.get("held", True) else [NOT_HELD])]
    for failure in failures:
        say(failure)
    if failures:
        raise click.exceptions.Exit(1)


def _unseen(result: Mapping[str, Any]) -> Iterator[str]:
    """Which observers of a latency run failed: their stage's times are not all of them."""
    for part in (result, result.get("plain", {}), result.get("secured", {})):
        for run in part["repeats"] if isinstance(part.get("repeats"), list) else ():
            for stage, reason in run.get("failed_watchers", {}).items():
                yield f"the stage `{stage}` was not watched to the end: {reason}"


@contextmanager
def _folder(workdir: Path | None) -> Iterator[Path]:
    if workdir is not None:
        workdir.mkdir(parents=True, exist_ok=True)
        yield workdir
        return
    with tempfile.TemporaryDirectory(prefix="fraudstream-bench-") as folder:
        yield Path(folder)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C as an exit, so that the processes are stopped in their order and the folders go away.

    A second one is not heard: it would leave behind what the first one is ending.
    """
    signals = (signal.SIGTERM, signal.SIGINT)

    def end(number: int, _: object) -> NoReturn:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        click.echo("stopping what was started ...", err=True)
        sys.exit(128 + number)

    before = [signal.signal(each, end) for each in signals]
    try:
        yield
    finally:
        for each, former in zip(signals, before, strict=True):
            signal.signal(each, former)


if __name__ == "__main__":
    run_to_exit(lambda: main.main(prog_name="python -m benchmarks", standalone_mode=False))
