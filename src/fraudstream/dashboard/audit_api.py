"""The record of changes as a list and as a file; `audit_page.py` shows it to people, `alerts/changes.py` keeps it."""

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from flask import Response

from fraudstream.alerts import chain
from fraudstream.alerts.change_reading import ChangeQuery, ChangeReader, StoredChange
from fraudstream.dashboard.export import cell, safe, taken
from fraudstream.dashboard.exports import record_export
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import ChangeList
from fraudstream.dashboard.routing import Api
from fraudstream.messages.answers import Change, answer, page

FILE_NAME: Final = "changes.csv"
COLUMNS: Final = (
    "at", "actor", "verified", "action", "subject", "alert_id", "before", "after", "why",
    "change_id", "undoes", "undone_by", "session", "hash",
)  # fmt: skip

api = Api("audit")


@api.operation("GET", "/api/audit", page("changes", Change))
def list_changes(query: ChangeList) -> object:
    """The changes that people made, the newest first."""
    found = ChangeReader(parts().store).page(query, before=query.cursor, limit=query.limit)
    following = query.following([each.seq for each in found])
    return {"changes": [change_document(each) for each in found], "next_cursor": following}


@api.operation("GET", "/api/audit/head", answer("ChainHead", seq=int, hash=str, entries=int))
def chain_head() -> object:
    """The newest change's hash, which covers all before it."""
    with parts().store.reading() as connection:
        return chain.head(connection)._asdict()


@api.operation("GET", "/api/audit.csv", str, media_type="text/csv")
def changes_csv(query: ChangeQuery) -> Response:
    """Every change that matches as a CSV file, oldest first, a line for each alert that it touched."""
    reader = ChangeReader(parts().store)
    up_to = reader.latest_seq()
    record_export(FILE_NAME, lambda: reader.count(query))
    rows = _csv(reader.every(query, up_to=up_to))
    return Response(rows, mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}"'})


def change_document(change: StoredChange) -> dict[str, Any]:
    """A change as the API gives it: with how many alerts it touched, and the first of them."""
    touched = [each._asdict() for each in change.touched]
    return {"seq": change.seq, **change.document, "alerts": change.alerts, "touched": touched}


def _csv(pages: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe(name) for name in COLUMNS])
    for rows in pages:
        writer.writerows([cell(row.get(name)) for name in COLUMNS] for row in rows)
        yield taken(buffer)
    yield taken(buffer)
