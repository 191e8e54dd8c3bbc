"""The group of all commands and what happens to an error that a user can meet; the commands are beside this file."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version

import click

from fraudstream import logs
from fraudstream.cli import machine, models, schema, stream
from fraudstream.config import Settings
from fraudstream.errors import FraudstreamError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("fraudstream"), prog_name="fraudstream")
def cli() -> None:
    """Real-time credit card fraud detection on Kafka, Spark and Flask."""
    logs.set_up(Settings.load().log_level)


for command in (*machine.COMMANDS, *models.COMMANDS, *schema.COMMANDS, *stream.COMMANDS):
    cli.add_command(command)


def main() -> None:
    """Run a command; an error becomes one message on standard error and an exit code that is not 0."""
    try:
        cli.main(standalone_mode=False)
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
            f"unexpected error: {type(e).__name__}: {e}\n"
            "  remedy: run `fraudstream doctor`; FRAUDSTREAM_LOG_LEVEL=DEBUG shows the trace to send with a report"
        )
        sys.exit(1)


def _say(message: str) -> None:
    click.echo(f"fraudstream: {message}", err=True)
