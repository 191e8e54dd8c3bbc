"""Commands about the machine: `setup`, `doctor`."""

from __future__ import annotations

import os

import click

from fraudstream.cli.engines import java_for
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


COMMANDS = (setup, doctor)
