"""The group of all commands, which are beside this file; what becomes of an error is in `failures.py`."""

import os
from importlib.metadata import version
from typing import Final

import click

from fraudstream import logs
from fraudstream.cli.audit import audit
from fraudstream.cli.checkpoint import checkpoint
from fraudstream.cli.dead_letters import dead_letters
from fraudstream.cli.explain import explain
from fraudstream.cli.failures import run_to_exit
from fraudstream.cli.machine import doctor, kafka, setup
from fraudstream.cli.models import score, simulate, train
from fraudstream.cli.registry import models
from fraudstream.cli.schema import schema
from fraudstream.cli.stream import broker, dashboard, demo, detect, produce, relay
from fraudstream.cli.threshold import threshold
from fraudstream.config import Settings
from fraudstream.runtime.files import PRIVATE_UMASK

USERS_UMASK: Final = frozenset({"setup", "doctor", "kafka", "score", "simulate", "dead-letters"})
"""Commands that write nothing but public jars, or files that the user names: those have the rights of the user's umask.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("fraudstream"), prog_name="fraudstream")
@click.pass_context
def cli(context: click.Context) -> None:
    """Real-time credit card fraud detection on Kafka, Spark and Flask."""
    if context.invoked_subcommand not in USERS_UMASK:
        os.umask(PRIVATE_UMASK)
    settings = Settings.load()
    logs.set_up(settings.log_level, card_columns=settings.card_columns)


for command in (
    audit,
    checkpoint,
    dead_letters,
    explain,
    setup,
    doctor,
    kafka,
    train,
    score,
    simulate,
    models,
    schema,
    broker,
    produce,
    detect,
    relay,
    dashboard,
    demo,
    threshold,
):
    cli.add_command(command)


def main() -> None:
    """Run a command; an error becomes one message on standard error and an exit code that is not 0."""
    run_to_exit(lambda: cli.main(standalone_mode=False))
