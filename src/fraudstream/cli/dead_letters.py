"""The command `dead-letters`: what was no payment or could not be judged, listed, downloaded, and sent again."""

from __future__ import annotations

import base64
import getpass
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import click
import orjson

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.config import Settings
from fraudstream.errors import ReplayFailed, SettingsError
from fraudstream.messages.base import Object
from fraudstream.times import parse_time

if TYPE_CHECKING:
    from fraudstream.relay.api_client import DashboardClient

_Command = TypeVar("_Command", bound=Callable[..., Any])

FORMATS = ("csv", "jsonl")
WAIT_SECONDS = 1.0


def _filters(function: _Command) -> _Command:
    for each in reversed(
        (
            click.option(
                "--kind", type=click.Choice(("all", "dead_letter", "unscorable")), default="all", help="Which."
            ),
            click.option("--reason", default=None, help="Text that the reason holds."),
            click.option("--since", default=None, help="Produced at this time or later (ISO 8601)."),
            click.option("--until", default=None, help="Produced before this time (ISO 8601)."),
            click.option("--topic", default=None, help="Of the record on the input."),
            click.option("--partition", type=click.IntRange(0), default=None, help="Of the record on the input."),
            click.option("--offset", type=click.IntRange(0), default=None, help="Of the record on the input."),
            click.option("--replayed/--not-replayed", default=None, help="Whether it was sent again before."),
        )
    ):
        function = each(function)
    return function


@click.group("dead-letters")
def dead_letters() -> None:
    """List, download and replay records that were no payments or could not be judged."""


@dead_letters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many, newest first.")
@setting("api")
@options.as_json
def list_letters(limit: int, as_json: bool, api: str | None, **filters: object) -> None:
    """List them, newest first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = options.dashboard(Settings.load(api=api)).get(f"/api/dead-letters?{_query(filters)}&limit={limit}")
    if as_json:
        click.echo(orjson.dumps(found["dead_letters"], option=orjson.OPT_INDENT_2))
        return
    table = Table()
    for heading in ("id", "kind", "produced", "bytes", "reason", "replays"):
        table.add_column(heading, overflow="fold")
    for each in found["dead_letters"]:
        place = "/".join(str(each.get(name)) for name in ("topic", "partition", "offset"))
        replays = ", ".join(replay["state"] for replay in each["replays"]) or "none"
        produced, reason = each.get("produced_at") or "", each.get("reason") or ""
        table.add_row(*map(escape, (place, each["kind"], produced, f"{each['bytes']:,}", reason, replays)))
    Console().print(table if found["dead_letters"] else "none")
    if found["next_cursor"] is not None:
        Console().print("there are more: narrow the filter, or raise --limit")


@dead_letters.command()
@_filters
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file; - is standard output.")
@click.option(
    "--format", "kind_of_file", type=click.Choice(FORMATS), default="csv", show_default=True, help="Its kind."
)
@setting("api")
def download(output: Path, kind_of_file: str, api: str | None, **filters: object) -> None:
    """Write them to a file, with every byte that is kept (base64)."""
    client = options.dashboard(Settings.load(api=api))
    pieces = client.stream(f"/api/dead-letters.{kind_of_file}?{_query(filters)}")
    try:
        with click.open_file(str(output), "wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as e:
        raise SettingsError(
            f"the file cannot be written: {e.strerror}", where=str(output), remedy="name another"
        ) from e


@dead_letters.command()
@click.option("--id", "places", multiple=True, metavar="PLACE", help="topic/partition/offset; may be given again.")
@click.option("--all", "every", is_flag=True, help="All that the filters leave.")
@_filters
@click.option("--who", default=None, help="Your name, kept as given.  [the user of this machine]")
@click.option("--why", default=None, help="What was mended; kept beside each replay.")
@click.option("--again", is_flag=True, help="Also those that were replayed before.")
@click.option(
    "--payload",
    type=click.Path(path_type=Path),
    default=None,
    help="A file to be sent in place of the one --id's value.",
)
@click.option("--dry-run", is_flag=True, help="Say how many would be sent, and send none.")
@options.kafka
@setting("api")
def replay(
    places: tuple[str, ...],
    every: bool,
    who: str | None,
    why: str | None,
    again: bool,
    payload: Path | None,
    dry_run: bool,
    bootstrap_servers: str | None,
    api: str | None,
    **filters: object,
) -> None:
    """Send records again: the same bytes, key, headers and event id, and a header that names the origin.

    Each is recorded on the dashboard before it is sent, and sent at least once. Exit code 1 where one was not sent.
    """
    from fraudstream.kafka.topics import require_broker
    from fraudstream.relay.service import replay_sender

    settings = Settings.load(api=api, bootstrap_servers=bootstrap_servers)
    asked = _asked(places, every, payload, filters)
    if not why and not dry_run:
        raise SettingsError("--why is missing", remedy="say what was mended: it is kept beside each replay")
    asked |= {"who": who or getpass.getuser(), "why": why or "dry run", "again": again, "dry_run": dry_run}
    client = options.dashboard(settings)
    if dry_run:
        answer = client.post("/api/replays", asked)
        click.echo(f"{answer['letters']:,} would be sent, {answer['replayed']:,} of them again" + _left_out(answer))
        return
    require_broker(settings.bootstrap_servers)
    sender = replay_sender(settings)
    told = client.post("/api/replays", asked)
    if told["batch"] is None:
        click.echo("nothing matches: nothing was sent")
        return
    counts = _send(client, sender, told["batch"])
    click.echo(f"{counts['sent']:,} of {told['letters']:,} sent again" + _left_out(told))
    if counts["sent"] < told["letters"]:
        failed = client.get(f"/api/replays?state=failed&batch={told['batch']}&limit=5")["replays"]
        raise ReplayFailed(
            f"{counts['failed']:,} were not sent: "
            + "; ".join(f"{each['origin']}: {each['reason']}" for each in failed),
            where=f"request {told['batch']}",
            remedy="give the record's value with --payload, or leave it; the page /dead-letters lists every replay",
        )


def _send(client: DashboardClient, sender: Any, batch: str) -> dict[str, int]:
    """Send a request to its end; what a relay has taken over is awaited."""
    from confluent_kafka import KafkaException

    from fraudstream.errors import KafkaFailure

    while True:
        try:
            while sender.send_some(batch):
                pass
        except KafkaException as e:
            raise KafkaFailure(
                f"Kafka does not take the records: {e.args[0].str()}",
                where=f"request {batch}",
                remedy="it is kept: a running relay goes on with it once Kafka answers",
            ) from e
        counts: dict[str, int] = client.get(f"/api/replays?batch={batch}&limit=1")["counts"]
        if not counts["requested"] + counts["sending"]:
            return counts
        time.sleep(WAIT_SECONDS)


def _asked(places: tuple[str, ...], every: bool, payload: Path | None, filters: Mapping[str, object]) -> Object:
    narrowed = [name for name, value in filters.items() if value not in (None, "all")]
    if bool(places) == every:
        raise SettingsError("name what to replay", remedy="give --id PLACE (again for more), or --all with filters")
    if places and narrowed:
        raise SettingsError(f"--id and --{narrowed[0]} exclude each other", remedy="filters go with --all")
    if payload is not None and len(places) != 1:
        raise SettingsError("--payload takes the place of one record's value", remedy="name that one with --id")
    if every:
        return {"filter": _query(filters)}
    return {"places": list(places)} | ({} if payload is None else {"payload_base64": _base64(payload)})


def _base64(payload: Path) -> str:
    try:
        content = payload.read_bytes()
    except OSError as e:
        raise SettingsError(
            f"the payload cannot be read: {e.strerror}", where=str(payload), remedy="name a file"
        ) from e
    if not content:
        raise SettingsError("the payload is empty", where=str(payload), remedy="name a file with one JSON object")
    return base64.b64encode(content).decode()


def _left_out(told: Mapping[str, Any]) -> str:
    lines = [
        (told["missing"], "are no dead letter or unscorable row that is kept"),
        (told["without_place"], "do not say where they came from, and cannot be sent"),
    ]
    return "".join(f"\n  {number:,} {what}" for number, what in lines if number)


def _query(filters: Mapping[str, object]) -> str:
    given = {name: value for name, value in filters.items() if value is not None}
    for name in ("since", "until"):
        if name in given:
            given[name] = _time(name, str(given[name]))
    if "replayed" in given:
        given["replayed"] = "yes" if given["replayed"] else "no"
    return urlencode(given)


def _time(name: str, text: str) -> str:
    try:
        return parse_time(text).isoformat()
    except ValueError as e:
        raise SettingsError(
            f"--{name} {text!r} is not a time", remedy="write it as 2026-01-31T12:00:00Z (UTC where no zone is named)"
        ) from e
