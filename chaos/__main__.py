"""The command line of the suite: `python -m chaos`, or `make chaos`."""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import click
from benchmarks.system.schema_registry import VARIABLE, running_registry

from chaos import disks
from chaos.data import make_payments
from chaos.plan import LONG_ROWS, LONG_SECONDS, SHORT_ROWS, SHORT_SECONDS, chosen, long_plan, short_plan
from chaos.report import joined, to_json
from chaos.rounds import Player
from fraudstream.config import ENVIRONMENT_PREFIX, Settings
from fraudstream.runtime.engines import java_for

ROOT = Path(__file__).parents[1]
KEPT_VARIABLES = ("CACHE", "JAVA_HOME")
TIME_FOR_THE_CHECK = 30.0
GRACE_SECONDS = 1200
PREPARATION_SECONDS = 900
"""Training and scoring take half a minute, and many times that on a machine that is busy."""


@click.command()
@click.option("--short", is_flag=True, help="About four minutes: a kill of each process, a pause, a cut, odd records.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Of all chance; drawn and printed when not given.")
@click.option("--faults", default="", help="Only faults whose names match: 'kill-*,pause-relay'; also odd-records.")
@click.option("--rows", type=click.IntRange(1_000), default=None, help="Payments in the file.  [200000; short: 8000]")
@click.option("--json", "output", type=click.Path(path_type=Path), default=None, help="Write the results there.")
@click.option(
    "--add-to", type=click.Path(path_type=Path, exists=True), default=None, help="Results of other faults, to be added."
)
@click.option("--server", default="", help="URL of a PostgreSQL server, for the alerts of each round in a database.")
@click.option("--envelope", default="", help="Send every payment in an envelope, as in the setting: debezium, data ...")
@click.option("--avro", is_flag=True, help="Send Avro, with a schema registry of its own; odd records stay JSON.")
@click.option("--keep", type=click.Path(path_type=Path), default=None, help="Leave logs and data in this new folder.")
def main(
    short: bool,
    seed: int | None,
    faults: str,
    rows: int | None,
    output: Path | None,
    add_to: Path | None,
    server: str,
    envelope: str,
    avro: bool,
    keep: Path | None,
) -> None:
    """Try to break the guarantee: kill, stop, cut, fill, damage; then count what was lost or doubled.

    Exits with 1 where anything was, or where the system was not well again in time.
    """
    began = time.monotonic()
    seed = random.randrange(2**32) if seed is None else seed
    rows = rows or (SHORT_ROWS if short else LONG_ROWS)
    click.echo(f"seed {seed}")
    chance = Random(seed)
    plan = short_plan(chance) if short else long_plan(chance, disks.own_mounts())
    rounds = chosen(plan, [part.strip() for part in faults.split(",") if part.strip()])
    if not rounds:
        raise click.UsageError(f"no fault is named {faults}")
    limit = SHORT_SECONDS if short else LONG_SECONDS
    _end_in_order(PREPARATION_SECONDS)
    _set_environment(short)
    os.environ[f"{ENVIRONMENT_PREFIX}ENVELOPE"] = envelope
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary, ExitStack() as services:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        click.echo(f"{rows:,} payments, a model, and its verdict on each ...")
        payments = make_payments(folder, rows, seed)
        if avro:
            settings = Settings.load()
            url = running_registry(settings.cache, java_for(settings), folder / "registry.log")
            os.environ[VARIABLE] = services.enter_context(url)
        click.echo(f"prepared in {time.monotonic() - began:.0f} s")
        # The limit is on the faults: a slow training must not leave some of them untried.
        _end_in_order(int(limit) + GRACE_SECONDS)
        deadline = time.monotonic() + limit - TIME_FOR_THE_CHECK
        player = Player(folder, payments, dict(os.environ), deadline, click.echo, server)
        results = []
        for number, each in enumerate(rounds, 1):
            click.echo(f"{each.name}: {len(each.steps)} faults at {each.rate:g} rows/s, {each.trigger}")
            results.append(player.play(number, each, seed + number))
            click.echo(
                f"  {results[-1].rows:,} rows, {results[-1].must_be_stored:,} to be stored: "
                f"{results[-1].findings.counts()}"
            )
        report = to_json(results, seed=seed, rows=rows, seconds=time.monotonic() - began, short=short)
    if add_to is not None:
        report = joined(json.loads(add_to.read_text()), report)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(report, indent=1) + "\n")
    for line in report["faults"]:
        click.echo(
            f"{line['fault']} at {line['rate']:g}/s: {line['tried']} tried, {line['rows']:,} rows,"
            f" lost {line['lost']}, doubled {line['doubled']}, wrong {line['wrong']},"
            f" recovery p50 {line['recovery_p50']} s, max {line['recovery_max']} s"
        )
    for failure in report["failures"]:
        click.echo(f"FAILED {failure}", err=True)
    click.echo(f"seed {seed}: {'FAILED' if report['failures'] else 'held'} after {report['seconds']:.0f} s")
    raise SystemExit(int(bool(report["failures"])))


def _end_in_order(seconds: int) -> None:
    """Have SIGTERM, and the time by which even a check that waits must be over, end us as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(seconds)


def _set_environment(short: bool) -> None:
    """Drop a person's own settings, which would change what is tested.

    JVMs of the short form live for minutes, of which the second compiler would take two fifths.
    """
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name.removeprefix(ENVIRONMENT_PREFIX) not in KEPT_VARIABLES:
            del os.environ[name]
    os.environ[f"{ENVIRONMENT_PREFIX}DRIVER_MEMORY"] = "1g"
    if short:
        os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


if __name__ == "__main__":
    main()
