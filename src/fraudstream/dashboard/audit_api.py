"""The record of changes as a list and as a file; `audit_page.py` shows it to people, `alerts/changes.py` keeps it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from fraudstream.alerts import chain
from fraudstream.alerts.change_reading import ChangeFilter, ChangeReader, StoredChange
from fraudstream.alerts.changes import Action
from fraudstream.dashboard.asked import instant_of, whole
from fraudstream.dashboard.export import cell, safe, taken
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.errors import RequestError

FILE_NAME: Final = "changes.csv"
COLUMNS: Final = (
    "at", "actor", "verified", "action", "subject", "alert_id", "before", "after", "why",
    "change_id", "undoes", "undone_by", "session", "hash",
)  # fmt: skip
PAGE: Final = 100
LARGEST_PAGE: Final = 1_000
NO_NAME: Final = "-"
"""Asked for as the actor: changes by somebody who gave no name."""

blueprint = Blueprint("audit", __name__)


@blueprint.get("/api/audit")
def list_changes() -> Response:
    """The newest changes first; `next_cursor` leads to the ones before."""
    limit = whole("limit", str(PAGE), LARGEST_PAGE)
    found = ChangeReader(parts().store).page(change_filter(request.args), before=cursor(), limit=limit)
    following = str(found[-1].seq) if len(found) == limit else None
    body = {"changes": [change_document(each) for each in found], "next_cursor": following}
    return json_response(body)


@blueprint.get("/api/audit/head")
def chain_head() -> Response:
    """The newest entry's hash, which stands for all entries before it."""
    with parts().store.reading() as connection:
        found = chain.head(connection)
    return json_response(found._asdict())


@blueprint.get("/api/audit.csv")
def changes_csv() -> Response:
    """Every change that matches as a CSV file, oldest first, a line for each alert that it touched."""
    reader, wanted = ChangeReader(parts().store), change_filter(request.args)
    up_to = reader.latest_seq()
    record_export(FILE_NAME, lambda: reader.count(wanted))
    rows = _csv(reader.every(wanted, up_to=up_to))
    return Response(rows, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}"'})


def change_filter(asked: Mapping[str, str]) -> ChangeFilter:
    """The filter in a query; a value that is empty, as a form sends it, does not narrow."""
    given = {name: value for name, value in asked.items() if value}
    action, actor = given.get("action"), given.get("actor")
    if action is not None and action not in list(Action):
        raise RequestError(f"action must be one of {', '.join(Action)}")
    return ChangeFilter(
        action=action,
        actor="" if actor == NO_NAME else actor,
        alert_id=given.get("alert_id"),
        since_us=instant_of("since", given),
        until_us=instant_of("until", given),
    )


def cursor() -> int | None:
    """How far the list was read, as `next_cursor` told it."""
    return whole("cursor", "", 10**18) if request.args.get("cursor") else None


def change_document(change: StoredChange) -> dict[str, Any]:
    """A change as the API gives it: with how many alerts it touched, and the first of them."""
    touched = [each._asdict() for each in change.touched]
    return {"seq": change.seq, **change.document, "alerts": change.alerts, "touched": touched}


def _csv(pages: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe(name) for name in COLUMNS])
    for page in pages:
        writer.writerows([cell(row.get(name)) for name in COLUMNS] for row in page)
        yield taken(buffer)
    yield taken(buffer)
