"""The entry point of the command line: the group of all commands, and the handling of errors."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from fraudstream import logs
from fraudstream.cli.audit import audit
from fraudstream.cli.dead_letters import dead_letters
from fraudstream.cli.evaluation import compare, evaluate
from fraudstream.cli.explain import explain
from fraudstream.cli.labels import labels
from fraudstream.cli.machine import doctor, kafka, setup
from fraudstream.cli.models import inspect, score, simulate, train
from fraudstream.cli.registry import models
from fraudstream.cli.rekey import rekey
from fraudstream.cli.schema import schema
from fraudstream.cli.state import checkpoint, profiles, state
from fraudstream.cli.store import store
from fraudstream.cli.stream import archive, broker, dashboard, demo, detect, produce, relay
from fraudstream.cli.threshold import threshold
from fraudstream.config import Settings
from fraudstream.errors import FraudstreamError
from fraudstream.runtime.files import PRIVATE_UMASK

INTERRUPTED = 130


def run_to_exit(program: Callable[[], object]) -> None:
    """Run a program; convert whatever it raises into one message and `SystemExit`.

    Outside its standalone mode, click returns the code of `click.exceptions.Exit` instead of raising it.
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
        _print_error(e.message)
        sys.exit(e.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as e:  # the last line of defence: users get a message, developers the traceback with DEBUG
        logging.getLogger(__name__).debug("unexpected error", exc_info=True)
        _print_error(
            f"unexpected error: {type(e).__name__}: {_message(e)}\n"
            "  remedy: run `fraudstream doctor`; FRAUDSTREAM_LOG_LEVEL=DEBUG shows the traceback for a bug report"
        )
        sys.exit(1)


def _message(e: Exception) -> str:
    """Return the error's message: one of Spark's asks the JVM for it, which may have ended."""
    try:
        return str(e)
    except Exception:
        return "Spark ended before the reason could be read"


def _print_error(message: str) -> None:
    click.echo(f"fraudstream: {message}", err=True)


USERS_UMASK: Final = frozenset({"setup", "doctor", "kafka", "score", "simulate", "inspect", "dead-letters"})
"""Commands that write only public jars, or files that the user names: the user's umask applies to those."""


class _Sections(click.Group):
    """Lists its commands by section."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the name and summary of each command."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{each.name:12}", each.get_short_help_str(200)) for each in commands])


@click.group(
    cls=_Sections,
    epilog="fraudstream COMMAND --help shows its options and examples.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(version("fraudstream"), prog_name="fraudstream")
@click.pass_context
def cli(context: click.Context) -> None:
    """Real-time credit card fraud detection on Kafka, Spark and Flask."""
    if context.invoked_subcommand not in USERS_UMASK:
        os.umask(PRIVATE_UMASK)
    settings, errors = Settings.load_with_errors()
    if errors and context.invoked_subcommand != "doctor":  # which reports them itself
        raise errors[0]
    if settings is not None:
        logs.set_up(settings.log_level, card_columns=settings.card_columns)


SECTIONS: Final[Mapping[str, Sequence[click.Command]]] = {
    "Start": (demo, setup, doctor),
    "Model": (inspect, train, evaluate, score, explain, threshold, models),
    "Run": (broker, produce, rekey, detect, relay, dashboard, archive),
    "Data": (schema, labels, profiles, dead_letters, audit, checkpoint, state, store),
    "Development": (simulate, kafka),
}
EXAMPLES: Final = Path(__file__).with_name("examples.txt").read_text(encoding="utf-8").splitlines()


def _add_examples(command: click.Command, path: str) -> list[str]:
    """Add its examples to the help of a command, and to that of a group the first of each subcommand; return them."""
    lines = [line for line in EXAMPLES if f"{line} ".startswith(f"{path} ")]
    for name, each in command.commands.items() if isinstance(command, click.Group) else ():
        examples = _add_examples(each, f"{path} {name}")
        lines = [line for line in lines if line not in examples[1:]]
    command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return lines


models.add_command(compare)
for command in (each for commands in SECTIONS.values() for each in commands):
    cli.add_command(command)
    _add_examples(command, f"fraudstream {command.name}")


def main() -> None:
    """Run a command; an error becomes one message on standard error and a non-zero exit code."""
    run_to_exit(lambda: cli.main(standalone_mode=False))
