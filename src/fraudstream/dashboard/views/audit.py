"""Defines the page and the API routes of the change log."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Final
from urllib.parse import urlencode

import orjson
from flask import Response, render_template, request
from sqlalchemy import Connection

from fraudstream.dashboard.web.export import Exports, csv_text
from fraudstream.dashboard.web.formats import when, zoned
from fraudstream.dashboard.web.presentation import triage_label
from fraudstream.dashboard.web.queries import ChangeList
from fraudstream.dashboard.web.routing import Api
from fraudstream.messages.answers import ListedChange, page
from fraudstream.messages.base import Object
from fraudstream.messages.requests import PublishedVerdicts
from fraudstream.messages.verdicts import UnpublishedVerdicts, label_of
from fraudstream.store.change_reading import NO_NAME, ChangeQuery, ChangeReader
from fraudstream.store.changes import Action, Head, broken_links, head, holds, stored_heads
from fraudstream.store.database import Database

ROWS: Final = 50
CHECKED: Final = 1_000
"""Entries whose hashes the page checks; `fraudstream audit` checks all of them."""

ACTION_LABELS: Final[dict[str, str]] = {
    Action.CLAIM: "claimed", Action.RELEASE: "released", Action.VERDICT: "decided", Action.NOTE: "noted",
    Action.UNDO: "undone", Action.THRESHOLD: "threshold", Action.ALIAS: "alias", Action.MODEL: "model",
    Action.EXPORT: "exported", Action.ACKNOWLEDGE: "acknowledged", Action.ESCALATE: "escalated",
    Action.NEEDS_INFORMATION: "needs information", Action.REASON_CODES: "reason codes", Action.LABELS: "labels",
}  # fmt: skip


def summary(state: Object | None) -> str:
    """Summarise the state before or after a change; the file has all of it."""
    if state is None:
        return ""
    if "status" in state and "version" in state:
        label = triage_label(state)
        return (label.by or label.text) + (f", due {when(label.due).full}" if label.due else "")
    if "false_alarm" in state and isinstance(state["false_alarm"], list):
        return "; ".join(f"{label_of(verdict)}: {', '.join(labels)}" for verdict, labels in state.items())
    if "model_id" in state:
        aliases = ", ".join(f"{new} as {old}" for new, old in (state.get("aliases") or {}).items())
        text = f"{state['model_id']}, threshold {state['threshold']}, revision {state['revision']}"
        return f"{text}, {aliases}" if aliases else text
    if "filter" in state:
        filters = ", ".join(f"{name}={value}" for name, value in state["filter"].items()) or "no filter"
        if "rows_at_most" in state:
            return f"at most {state['rows_at_most']:,} rows, {filters}"
        return f"{state['rows']:,} rows, {filters}"
    if "labels" in state:
        return ", ".join(f"{number:,} {label}" for label, number in state["labels"].items())
    if "refused" in state:
        return "suggestion refused"
    return orjson.dumps(state).decode()


COLUMNS: Final = (
    "at", "actor", "verified", "action", "subject", "alert_id", "before", "after", "why",
    "change_id", "undoes", "undone_by", "session", "hash",
)  # fmt: skip

api = Api("audit")


@dataclass(frozen=True)
class AuditViews:
    """Shows, lists and exports the changes."""

    database: Database
    exports: Exports

    @api.operation("GET", "/api/audit", page("changes", ListedChange))
    def list_changes(self, query: ChangeList) -> object:
        """The changes that people made, the newest first."""
        changes = ChangeReader(self.database).page(query, before=query.cursor, limit=query.limit)
        return {"changes": changes, "next_cursor": query.following([each.seq for each in changes])}

    @api.operation("GET", "/api/audit/head", Head)
    def chain_head(self) -> object:
        """The newest change's hash, which covers all before it."""
        with self.database.read() as connection:
            return head(connection)

    @api.operation("GET", "/api/audit.csv", str, media_type="text/csv")
    def changes_csv(self, query: ChangeQuery) -> Response:
        """All matching changes as a CSV file, the oldest first, a line for each alert concerned."""
        reader = ChangeReader(self.database)
        up_to = reader.latest_seq()
        rows = (map(attrgetter(*COLUMNS), changes) for changes in reader.every(query, up_to=up_to))
        return self.exports.response("changes.csv", csv_text(COLUMNS, rows), lambda: reader.count(query))

    @api.operation("POST", "/api/verdicts/unpublished", UnpublishedVerdicts)
    def unpublished_verdicts(self, body: PublishedVerdicts) -> object:
        """The next verdicts for Kafka, after those `until` a position were published."""
        return ChangeReader(self.database).unpublished_verdicts(body.until)

    def render(self) -> str:
        """Render a page of the changes that match the query."""
        args = zoned(request.args, "since", "until")
        filters = {name: args[name] for name in ChangeQuery.model_fields if args.get(name)}
        query = ChangeList.read(args)
        reader = ChangeReader(self.database)
        # One more than is listed shows whether there is another page.
        matches = reader.page(query, before=query.cursor, limit=ROWS + 1)
        changes, more = matches[:ROWS], matches[ROWS:]
        with self.database.read() as connection:
            chain = _chain_state(connection)
        return render_template(
            "audit.html",
            chain=chain,
            changes=changes,
            summary=summary,
            matching=reader.count(query),
            filters=filters,
            query=urlencode(filters),
            older=urlencode(filters | {"cursor": str(changes[-1].seq)}) if more else None,
            is_first=query.cursor is None,
            actions=ACTION_LABELS,
            no_name=NO_NAME,
        )


def _chain_state(connection: Connection) -> Object:
    """Return the state of the hash chain, as far as it can be checked while a page loads."""
    published = next(iter(stored_heads(connection, limit=1)), None)
    return {
        "head": head(connection),
        "checked": CHECKED,
        "broken": next(broken_links(connection, newest=CHECKED), None),
        "published": published,
        "holds": published is not None and holds(connection, published.seq, published.hash),
    }
