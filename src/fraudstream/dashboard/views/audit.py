"""The record of changes as a list, a file and a page; `store/changes.py` keeps it."""

import csv
import io
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

import orjson
from flask import Response, render_template, request
from sqlalchemy import Connection

from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.web.export import cell, file_response, safe, taken
from fraudstream.dashboard.web.queries import ChangeList
from fraudstream.dashboard.web.routing import Api
from fraudstream.messages.answers import AlertChange, ListedChange, page
from fraudstream.messages.base import Object
from fraudstream.store.change_reading import NO_NAME, ChangeQuery, ChangeReader
from fraudstream.store.changes import Action, Head, broken_links, head, holds, stored_heads

ROWS: Final = 50
CHECKED: Final = 1_000
"""Entries whose hashes the page checks; `fraudstream audit` checks all of them."""

ACTION_WORDS: Final[dict[str, str]] = {
    Action.CLAIM: "claimed", Action.RELEASE: "released", Action.VERDICT: "decided", Action.NOTE: "noted",
    Action.UNDO: "undone", Action.THRESHOLD: "threshold", Action.ALIAS: "alias", Action.MODEL: "model",
    Action.EXPORT: "exported", Action.ACKNOWLEDGE: "acknowledged",
}  # fmt: skip


def audit_page() -> str:
    """The changes that match the query, a page of them."""
    using = parts()
    given = {name: request.args[name] for name in ChangeQuery.model_fields if request.args.get(name)}
    query = ChangeList.read(request.args)
    reader = ChangeReader(using.store)
    # One more than is shown tells whether there is another page.
    found = reader.page(query, before=query.cursor, limit=ROWS + 1)
    changes, more = found[:ROWS], found[ROWS:]
    with using.store.reading() as connection:
        trail = _trail(connection)
    return render_template(
        "audit.html",
        trail=trail,
        notice=using.notice,
        changes=changes,
        words=words,
        matching=reader.count(query),
        given=given,
        query=urlencode(given),
        older=urlencode(given | {"cursor": str(changes[-1].seq)}) if more else None,
        is_first=query.cursor is None,
        actions=ACTION_WORDS,
        no_name=NO_NAME,
    )


def words(state: Object | None) -> str:
    """What a change keeps of before or after, in a few words; everything is in the file."""
    if state is None:
        return ""
    if "status" in state and "version" in state:
        status = str(state["status"]).replace("_", " ")
        return f"{status}, {state['assignee']}" if state["assignee"] else status
    if "model_id" in state:
        aliases = ", ".join(f"{new} as {old}" for new, old in (state.get("aliases") or {}).items())
        told = f"{state['model_id']}, threshold {state['threshold']}, revision {state['revision']}"
        return f"{told}, {aliases}" if aliases else told
    if "filter" in state:
        asked = ", ".join(f"{name}={value}" for name, value in state["filter"].items()) or "no filter"
        if "rows_at_most" in state:
            return f"at most {state['rows_at_most']:,} rows, {asked}"
        return f"{state['rows']:,} rows, {asked}"
    if "refused" in state:
        return "suggestion refused"
    return orjson.dumps(state).decode()


FILE_NAME: Final = "changes.csv"
COLUMNS: Final = (
    "at", "actor", "verified", "action", "subject", "alert_id", "before", "after", "why",
    "change_id", "undoes", "undone_by", "session", "hash",
)  # fmt: skip

api = Api("audit")


@api.operation("GET", "/api/audit", page("changes", ListedChange))
def list_changes(query: ChangeList) -> object:
    """The changes that people made, the newest first."""
    found = ChangeReader(parts().store).page(query, before=query.cursor, limit=query.limit)
    return {"changes": found, "next_cursor": query.following([each.seq for each in found])}


@api.operation("GET", "/api/audit/head", Head)
def chain_head() -> object:
    """The newest change's hash, which covers all before it."""
    with parts().store.reading() as connection:
        return head(connection)


@api.operation("GET", "/api/audit.csv", str, media_type="text/csv")
def changes_csv(query: ChangeQuery) -> Response:
    """Every change that matches as a CSV file, oldest first, a line for each alert that it touched."""
    reader = ChangeReader(parts().store)
    up_to = reader.latest_seq()
    return file_response(FILE_NAME, _csv(reader.every(query, up_to=up_to)), lambda: reader.count(query))


def _csv(pages: Iterator[list[AlertChange]]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe(name) for name in COLUMNS])
    for rows in pages:
        writer.writerows([cell(getattr(row, name)) for name in COLUMNS] for row in rows)
        yield taken(buffer)
    yield taken(buffer)


def _trail(connection: Connection) -> Object:
    """How the chain of hashes stands, as far as can be told while a page waits."""
    published = next(iter(stored_heads(connection, limit=1)), None)
    return {
        "head": head(connection),
        "checked": CHECKED,
        "broken": next(broken_links(connection, newest=CHECKED), None),
        "published": published,
        "holds": published is not None and holds(connection, published.seq, published.hash),
    }
