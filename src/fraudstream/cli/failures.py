"""What happens to an error that a user can meet: one message on standard error and an exit code that is not 0."""

import logging
import sys
from collections.abc import Callable

import click

from fraudstream.errors import FraudstreamError

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
