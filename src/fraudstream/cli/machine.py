"""The commands `setup`, `doctor` and `kafka`."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click

from fraudstream.cli.options import as_json, print_json, setting
from fraudstream.config import Settings
from fraudstream.errors import SettingsError
from fraudstream.runtime.engines import jars_for, java_for
from fraudstream.runtime.java import Java

TOOLS: Final = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "acls": "org.apache.kafka.tools.AclCommand",
}
"""The main class of each tool, by the name of its script in Kafka's distribution without `kafka-` and `.sh`."""


def tool_class(tool: str) -> str:
    """Look up the class of a tool by its name in `TOOLS`, or by its script in Kafka's distribution ("kafka-topics.sh").

    Raises SettingsError, with the known names, for any other.
    """
    program = TOOLS.get(tool.removeprefix("kafka-").removesuffix(".sh"))
    if program is None:
        raise SettingsError(
            f"there is no Kafka tool {tool!r} here", where="fraudstream kafka", remedy=f"use one of {', '.join(TOOLS)}"
        )
    return program


def tool_command(program: str, arguments: Sequence[str], java: Java, jars: Sequence[Path]) -> list[str]:
    """Build the command that runs a tool."""
    return [
        str(java.executable),
        "-Xmx256m",
        "-XX:+UseSerialGC",
        # The C1 compiler only, as for the broker: a tool runs for a second.
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={Path(__file__).with_name('tools_log4j2.properties')}",
        "-cp",
        ":".join(map(str, jars)),
        program,
        *arguments,
    ]


@click.command()
@setting("cache", "java_home")
def setup(**flags: object) -> None:
    """Fetch the Kafka and connector jars into the cache, and compile the history operator, unless they are there."""
    from fraudstream.runtime.jars import fetch_jars, operator_jar

    settings = Settings.load(**flags)
    java = java_for(settings)
    fetch_jars(settings.cache, java, click.echo)
    operator_jar(settings.cache, java, click.echo)


@click.command()
@setting("bootstrap_servers", "spark_master", "driver_memory", "checkpoint", "archive", "model", "database")
@setting("api", "host", "port", "cache", "java_home")
@as_json
def doctor(as_json: bool, **flags: object) -> None:
    """Check this machine and what is configured, and show what to do about each thing that is missing.

    Nothing is changed. What is not configured and not running is a note; the exit code is 1 if anything is missing.
    """
    from rich.console import Console

    from fraudstream.doctor.machine import Check, machine_checks, render
    from fraudstream.doctor.services import examine, service_checks

    settings, errors = Settings.load_with_errors(**flags)
    clock = partial(datetime.now, UTC)
    results = [Check("settings", False, f"{e.what} ({e.where})", e.remedy) for e in errors]
    if settings is None:
        # Which address was meant nobody knows; the machine can be checked.
        checks = machine_checks(Settings.model_construct(), os.environ, clock)
    else:
        checks = {**machine_checks(settings, os.environ, clock), **service_checks(settings, clock)}
    results += examine(checks)
    ok = all(each.ok for each in results)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(each) | {"state": each.state} for each in results]})
    else:
        Console().print(render(results))
    if not ok:
        raise click.exceptions.Exit(1)


# Every argument after the tool's name is passed to the tool, including `--help`.
@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("tool")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def kafka(tool: str, arguments: tuple[str, ...]) -> None:
    """Run one of Kafka's own tools, with its own arguments and exit code.

    TOOL is topics, configs, consumer-groups, console-consumer, console-producer, get-offsets or acls: what Kafka's
    distribution has as kafka-topics.sh and so on. `fraudstream kafka topics --help` shows the arguments of one.

    `fraudstream kafka acls --print [COMMAND]...` prints the rights that each command of fraudstream needs, as commands
    for an administrator, each for a principal named like the command.
    """
    program = tool_class(tool)
    settings = Settings.load()
    if program == TOOLS["acls"] and arguments[:1] == ("--print",):
        _print_acls(settings, arguments[1:])
        return
    command = tool_command(program, arguments, java_for(settings), jars_for(settings).broker)
    # Replaces this process: terminal, signals and exit code are the tool's own.
    os.execv(command[0], command)  # noqa: S606 - the program is the detected Java


def _print_acls(settings: Settings, commands: Sequence[str]) -> None:
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.rights import RIGHTS, acl_arguments

    for command in commands or RIGHTS:
        if command not in RIGHTS:
            what, remedy = f"{command!r} is no command that uses Kafka", f"use some of {', '.join(RIGHTS)}"
            raise SettingsError(what, where="fraudstream kafka acls --print", remedy=remedy)
        for arguments in acl_arguments(Cluster.of(settings), command, f"User:{command}"):
            server = ["--bootstrap-server", settings.bootstrap_servers, "--command-config", "admin.properties"]
            click.echo(shlex.join(["fraudstream", "kafka", "acls", *server, *arguments]))
