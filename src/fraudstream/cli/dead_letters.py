"""The command `dead-letters`: lists, downloads and replays dead letters and unscorable transactions."""

from __future__ import annotations

import base64
import getpass
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from fraudstream.cli import options
from fraudstream.cli.options import setting
from fraudstream.cli.registry import table
from fraudstream.config import Settings
from fraudstream.errors import DataError, DataNotFound, KafkaFailure, SettingsError
from fraudstream.messages.base import Object
from fraudstream.times import parse_time

if TYPE_CHECKING:
    from fraudstream.relay.api_client import DashboardClient

FORMAT = click.Choice(("csv", "jsonl"))
_filters = options.several(
    click.option("--kind", type=click.Choice(("all", "dead_letter", "unscorable")), default="all", help="The kind."),
    click.option("--reason", help="Text in the reason."),
    click.option("--since", help="Produced at or after this time (ISO 8601)."),
    click.option("--until", help="Produced before this time (ISO 8601)."),
    click.option("--topic", help="Input topic of the record."),
    click.option("--partition", type=click.IntRange(0), help="Input partition of the record."),
    click.option("--offset", type=click.IntRange(0), help="Input offset of the record."),
    click.option("--replayed/--not-replayed", default=None, help="Whether it was replayed before."),
)


@click.group("dead-letters")
def dead_letters() -> None:
    """List, download and replay dead letters and unscorable transactions."""


@dead_letters.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of records.")
@setting("api")
@options.as_json
def list_dead_letters(limit: int, as_json: bool, api: str | None, **filters: object) -> None:
    """List the records, newest first."""
    page = options.dashboard(Settings.load(api=api)).get(f"/api/dead-letters?{_query(filters)}&limit={limit}")
    if as_json:
        options.print_json(page["dead_letters"])
        return
    rows = []
    for each in page["dead_letters"]:
        record_id = "/".join(str(each.get(name)) for name in ("topic", "partition", "offset"))
        replays = ", ".join(replay["state"] for replay in each["replays"]) or "none"
        produced, reason = each.get("produced_at") or "", each.get("reason") or ""
        rows.append((record_id, each["kind"], produced, f"{each['bytes']:,}", reason, replays))
    if rows:
        table(("id", "kind", "produced", "bytes", "reason", "replays"), rows)
    else:
        click.echo("none")
    if page["next_cursor"] is not None:
        click.echo("there are more: narrow the filter, or raise --limit")


@dead_letters.command()
@_filters
@click.option("--output", type=options.PATH, required=True, help="Output file; - for standard output.")
@click.option("--format", "kind_of_file", type=FORMAT, default="csv", show_default=True, help="File format.")
@setting("api")
def download(output: Path, kind_of_file: str, api: str | None, **filters: object) -> None:
    """Write the records to a file, with all stored bytes (base64)."""
    client = options.dashboard(Settings.load(api=api))
    chunks = client.stream(f"/api/dead-letters.{kind_of_file}?{_query(filters)}")
    try:
        with click.open_file(str(output), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError as e:
        what = f"the file cannot be written: {e.strerror}"
        raise DataError(what, where=str(output), remedy="choose another") from e


@dead_letters.command()
@click.option("--id", "places", multiple=True, metavar="RECORD", help="topic/partition/offset; repeatable.")
@click.option("--all", "every", is_flag=True, help="All records that match the filters.")
@_filters
@click.option("--who", help="Your name.  [the user of this machine]")
@click.option("--why", help="What was fixed; recorded with each replay.")
@click.option("--again", is_flag=True, help="Include records that were replayed before.")
@click.option("--payload", type=options.PATH, help="A file to send instead of the value of the record --id.")
@click.option("--dry-run", is_flag=True, help="Show how many would be sent, without sending.")
@setting("bootstrap_servers", "api")
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
    """Replay records: the same bytes, key, headers and event id, and a header that names the original.

    Each is recorded on the dashboard before it is sent, and sent at least once. Exit code 1 if one was not sent.
    """
    from fraudstream.kafka.client import Cluster
    from fraudstream.kafka.replay import ReplayTopic
    from fraudstream.kafka.topics import require_rights_of
    from fraudstream.relay.service import ReplaySender

    settings = Settings.load(api=api, bootstrap_servers=bootstrap_servers)
    request = _request(places, every, payload, filters)
    if not why and not dry_run:
        raise SettingsError("--why is missing", remedy="describe what was fixed: it is recorded with each replay")
    request |= {"who": who or getpass.getuser(), "why": why or "dry run", "again": again, "dry_run": dry_run}
    client = options.dashboard(settings)
    if dry_run:
        answer = client.post("/api/replays", request)
        click.echo(f"{answer['letters']:,} would be sent, {answer['replayed']:,} of them again" + _left_out(answer))
        return
    cluster = Cluster.of(settings)
    require_rights_of("dead-letters", cluster)
    sender = ReplaySender(client, lambda: ReplayTopic(cluster))
    answer = client.post("/api/replays", request)
    if answer["batch"] is None:
        click.echo("nothing matches: nothing was sent")
        return
    counts = _send(client, sender, answer["batch"])
    click.echo(f"{counts['sent']:,} of {answer['letters']:,} sent again" + _left_out(answer))
    if counts["sent"] < answer["letters"]:
        failed = client.get(f"/api/replays?state=failed&batch={answer['batch']}&limit=5")["replays"]
        raise KafkaFailure(
            f"{counts['failed']:,} were not sent: "
            + "; ".join(f"{each['origin']}: {each['reason']}" for each in failed),
            where=f"request {answer['batch']}",
            remedy="give the record's value with --payload, or skip it; the page /dead-letters lists every replay",
        )


def _send(client: DashboardClient, sender: Any, batch: str) -> dict[str, int]:
    """Send all records of a request; wait for those that a relay has taken over."""
    from confluent_kafka import KafkaException

    while True:
        try:
            while sender.send_some(batch):
                pass
        except KafkaException as e:
            raise KafkaFailure(
                f"Kafka does not accept the records: {e.args[0].str()}",
                where=f"request {batch}",
                remedy="the request is stored: a running relay continues it once Kafka answers",
            ) from e
        counts: dict[str, int] = client.get(f"/api/replays?batch={batch}&limit=1")["counts"]
        if not counts["requested"] + counts["sending"]:
            return counts
        time.sleep(1.0)


def _request(places: tuple[str, ...], every: bool, payload: Path | None, filters: Mapping[str, object]) -> Object:
    active = [name for name, value in filters.items() if value not in (None, "all")]
    if bool(places) == every:
        raise SettingsError("name what to replay", remedy="give --id RECORD (repeatable), or --all with filters")
    if places and active:
        raise SettingsError(f"--id and --{active[0]} exclude each other", remedy="filters go with --all")
    if payload is not None and len(places) != 1:
        raise SettingsError("--payload replaces the value of one record", remedy="name that one with --id")
    if every:
        return {"filter": _query(filters)}
    return {"places": list(places)} | ({} if payload is None else {"payload_base64": _base64(payload)})


def _base64(payload: Path) -> str:
    try:
        content = payload.read_bytes()
    except OSError as e:
        what = f"the payload cannot be read: {e.strerror}"
        raise DataNotFound(what, where=str(payload), remedy="give a file") from e
    if not content:
        raise SettingsError("the payload is empty", where=str(payload), remedy="give a file with one JSON object")
    return base64.b64encode(content).decode()


def _left_out(answer: Mapping[str, Any]) -> str:
    lines = [
        (answer["missing"], "are not stored dead letters or unscorable transactions"),
        (answer["without_place"], "have no known input position, and cannot be sent"),
    ]
    return "".join(f"\n  {number:,} {what}" for number, what in lines if number)


def _query(filters: Mapping[str, object]) -> str:
    query = {name: value for name, value in filters.items() if value is not None}
    for name in ("since", "until"):
        if name not in query:
            continue
        text = str(query[name])
        try:
            query[name] = parse_time(text).isoformat()
        except ValueError as e:
            remedy = "write it as 2026-01-31T12:00:00Z (UTC if no zone is given)"
            raise SettingsError(f"--{name} {text!r} is not a time", remedy=remedy) from e
    if "replayed" in query:
        query["replayed"] = "yes" if query["replayed"] else "no"
    return urlencode(query)
