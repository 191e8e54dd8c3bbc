"""Commands about the machine and its parts: `setup`, `doctor`, `kafka`."""

import os

import click

from fraudstream.cli.engines import jars_for, java_for
from fraudstream.cli.options import setting
from fraudstream.config import Settings


@click.command()
@setting("cache")
@setting("java_home")
def setup(**flags: object) -> None:
    """Fetch the Kafka and connector jars into the cache; does nothing where they are."""
    from fraudstream.runtime.jars import fetch_jars

    settings = Settings.load(**flags)
    fetch_jars(settings.cache, java_for(settings), click.echo)


@click.command()
@setting("cache")
@setting("java_home")
@setting("port")
def doctor(**flags: object) -> None:
    """Say what of this machine serves, and what to do about each thing missing."""
    from rich.console import Console

    from fraudstream.runtime.doctor import examine, render

    settings = Settings.load(**flags)
    findings = examine(java_home=settings.java_home, cache=settings.cache, port=settings.port, environ=os.environ)
    Console().print(render(findings))
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


# Every argument after the tool's name is the tool's, `--help` too.
@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("tool")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def kafka(tool: str, arguments: tuple[str, ...]) -> None:
    """Run one of Kafka's own tools, with its own arguments and exit code.

    TOOL is topics, configs, consumer-groups, console-consumer, console-producer or get-offsets: what Kafka's
    distribution has as kafka-topics.sh and so on. `fraudstream kafka topics --help` shows the arguments of one.
    """
    from fraudstream.kafka.tools import tool_class, tool_command

    program = tool_class(tool)
    settings = Settings.load()
    command = tool_command(program, arguments, java_for(settings), jars_for(settings).broker)
    # In this process's place: terminal, signals and exit code are the tool's own.
    os.execv(command[0], command)  # noqa: S606 - the program is the Java that was found
