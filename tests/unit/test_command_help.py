"""The help of the commands: sections, and three examples for each that are parsed as they stand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from fraudstream.cli.entry import EXAMPLES, SECTIONS, cli

EXAMPLES_OF_A_COMMAND = 3


def commands(command: click.Command = cli, path: str = "fraudstream") -> Iterator[tuple[str, click.Command]]:
    for name, each in command.commands.items() if isinstance(command, click.Group) else ():
        yield f"{path} {name}", each
        yield from commands(each, f"{path} {name}")


def parsed(arguments: list[str]) -> str:
    """Parse a command line without running it; return the path of its command."""
    command, context, path = click.Command(""), None, "fraudstream"
    command = cli
    while True:
        context = command.make_context(path.split()[-1], list(arguments), context)
        if not isinstance(command, click.Group) or not context._protected_args:  # noqa: SLF001 - click has no other way
            return path
        name, *arguments = [*context._protected_args, *context.args]  # noqa: SLF001
        command, path = command.commands[name], f"{path} {name}"


def test_the_commands_are_listed_by_section() -> None:
    output = CliRunner().invoke(cli, ["--help"], prog_name="fraudstream").output
    headings = [line[:-1] for line in output.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options", *SECTIONS]
    assert list(cli.commands) == [each.name for commands in SECTIONS.values() for each in commands]
    assert "..." not in output.replace("[ARGS]...", "")


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda each: each if isinstance(each, str) else "")
def test_every_command_has_three_examples_that_are_parsed(path: str, command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name=path, terminal_width=110))
    lines = [line.strip() for line in text.partition("Examples:\n")[2].splitlines()]
    examples = [shlex.split(line, comments=True) for line in lines]
    if not isinstance(command, click.Group) or command.invoke_without_command:
        own = [each for each in examples if parsed(each[1:]) == path]
        assert len(own) == EXAMPLES_OF_A_COMMAND
        assert len({tuple(each) for each in own}) == EXAMPLES_OF_A_COMMAND
    else:
        assert sorted(parsed(each[1:]) for each in examples) == sorted(f"{path} {name}" for name in command.commands)


def test_no_example_is_of_an_unknown_command_or_too_wide() -> None:
    known = {path for path, _ in commands()}
    lines = [line for line in EXAMPLES if line]
    assert {parsed(shlex.split(line, comments=True)[1:]) for line in lines} <= known
    assert [line for line in lines if len(line) > 106] == []


def test_the_shell_completes_commands_and_options() -> None:
    words = {"_FRAUDSTREAM_COMPLETE": "bash_complete", "COMP_WORDS": "fraudstream de", "COMP_CWORD": "1"}
    program = "from fraudstream.cli import main; import sys; sys.argv = ['fraudstream']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | words, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["plain,dead-letters", "plain,demo", "plain,detect"]
    completion = ShellComplete(cli, {}, "fraudstream", "_FRAUDSTREAM_COMPLETE")
    assert [each.value for each in completion.get_completions(["score"], "--mo")] == ["--model"]
