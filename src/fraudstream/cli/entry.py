"""The group of all commands, which are beside this file, and what becomes of an error."""

import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import click

from fraudstream import logs
from fraudstream.cli.audit import audit
from fraudstream.cli.checkpoint import checkpoint
from fraudstream.cli.dead_letters import dead_letters
from fraudstream.cli.explain import explain
from fraudstream.cli.machine import doctor, kafka, setup
from fraudstream.cli.models import score, simulate, train
from fraudstream.cli.registry import models
from fraudstream.cli.schema import schema
from fraudstream.cli.stream import broker, dashboard, demo, detect, produce, relay
from fraudstream.cli.threshold import threshold
from fraudstream.config import Settings
from fraudstream.errors import FraudstreamError
from fraudstream.runtime.files import PRIVATE_UMASK

INTERRUPTED = 130


def run_to_exit(program: Callable[[], object]) -> None:
    """Run a program; whatever it raises becomes one message and `SystemExit`.

    Outside its standalone mode, click gives the code of `click.exceptions.Exit` back in place of raising it.
    """
    try:
        code = program()
        if type(code) is int and code:
            sys.exit(code)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except FraudstreamError as e:
        _say(e.message)
        sys.exit(e.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as e:  # the last line of defence: a user gets a message, a developer the trace with DEBUG
        logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        _say(
            f"unexpected error: {type(e).__name__}: {_text(e)}\n"
            "  remedy: run `fraudstream doctor`; FRAUDSTREAM_LOG_LEVEL=DEBUG shows the trace to send with a report"
        )
        sys.exit(1)


def _text(e: Exception) -> str:
    """The error's own words: one of Spark's asks the JVM for them, which may be gone."""
    try:
        return str(e)
    except Exception:
        return "Spark ended before the reason could be read"


def _say(message: str) -> None:
    click.echo(f"fraudstream: {message}", err=True)


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
