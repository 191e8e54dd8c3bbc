"""Exports alerts as CSV and JSON files that are safe to open in a spreadsheet, recorded in the change log."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import orjson
from flask import Response, request

from fraudstream.config import Settings
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.security import same_origin
from fraudstream.errors import RequestError
from fraudstream.store.changes import Action, ChangeLog
from fraudstream.store.filters import AlertFilter
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore
from fraudstream.transactions.masking import typed
from fraudstream.transactions.wire import AlertField

OWN_COLUMNS: Final = (
    AlertField.ALERT_ID.value,
    AlertField.OUTCOME.value,
    AlertField.SCORE.value,
    AlertField.THRESHOLD.value,
    AlertField.PRODUCED_AT.value,
    AlertField.DETECTED_AT.value,
)
MIMETYPES: Final = {"csv": "text/csv", "json": "application/json", "jsonl": "application/x-ndjson"}
TRIAGE_COLUMNS: Final = ("status", "assignee", "decided_at", "reason_code", "due_at", "escalated_by")
"""The assignee of a decided alert is who decided it."""
COLLISION_PREFIX: Final = "transaction_"

_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_NUMBER = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?", re.ASCII)
# At the start, full-width and after blanks as well; and after semicolons, where some spreadsheets split cells.
_FORMULA = re.compile(
    rf"^[\s\u200b\ufeff]*(?=[{_SIGNS}])|^(?=[\t\r\n])|(?<=;)[\s\u200b\ufeff]*(?=[{_SIGNS}])(?!{_NUMBER.pattern}\s*(?:;|$))"
)


def export_csv(store: AlertStore, query: AlertFilter, *, with_triage: bool = True) -> Iterator[str]:
    """Yield the alerts as CSV, some hundred at a time, in order of commit up to the newest at the time of the call.

    `with_triage` adds the triage state in the last columns: the verdict, who decided, when and why.
    """
    up_to = store.latest_seq()
    names = store.search.transaction_columns(query, up_to=up_to)
    triage = TRIAGE_COLUMNS if with_triage else ()

    def rows(alerts: Sequence[StoredAlert]) -> Iterator[list[Any]]:
        for document in (alert.document() for alert in alerts):
            transaction, state = document[AlertField.TRANSACTION], document["work"]
            cells = [document.get(name) for name in OWN_COLUMNS] + [transaction.get(name) for name in names]
            yield cells + [state.get(name) for name in triage]

    headings = (*OWN_COLUMNS, *_headings(names, {*OWN_COLUMNS, *triage}), *triage)
    yield from csv_text(headings, map(rows, store.search.walk(query, up_to=up_to)))


def export_json(store: AlertStore, reasons: ReasonStore, query: AlertFilter) -> Iterator[bytes]:
    """Yield the alerts as one JSON array, an alert per line, in the format of the list."""
    before = b"[\n"
    for alerts in store.search.walk(query):
        yield before + b",\n".join(alert.body for alert in reasons.with_reasons(alerts))
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def cell(value: Any) -> str:
    """Format a value: numbers with every digit, text as it is unless a spreadsheet would run it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # OWASP, "CSV Injection": a leading apostrophe makes a spreadsheet treat the cell as text.
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"'\g<0>", text)


def csv_text(headings: Iterable[str], pages: Iterable[Iterable[Iterable[Any]]]) -> Iterator[str]:
    """Yield rows as CSV, page by page, the first with the headings; no cell is a formula."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(map(cell, headings))
    for rows in pages:
        writer.writerows(map(cell, row) for row in rows)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


@dataclass(frozen=True)
class Exports:
    """Sends files for download and records each in the change log."""

    settings: Settings
    changes: ChangeLog
    actors: Actors

    def response(
        self, file: str, pieces: Iterator[str] | Iterator[bytes], rows: Callable[[], int], *, at_most: bool = False
    ) -> Response:
        """Return a file for download, recorded as an export; a HEAD request exports nothing.

        `rows` counts the rows of the file, or (`at_most`) the most that it can have, if counting exactly would take as
        long as the file. Raises StoreError if it cannot be recorded.
        """
        if request.method == "GET":
            if not same_origin(request, self.settings):
                # Each export stays in the change log for good: no other site may cause one.
                raise RequestError("another site may not request this file; open its address directly", status=403)
            query = {name: values[0] if len(values) == 1 else values for name, values in request.args.lists()}
            after = {"filter": typed(query), "rows_at_most" if at_most else "rows": rows()}
            self.changes.record(self.actors.current(), Action.EXPORT, file, after)
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return Response(pieces, mimetype=MIMETYPES[file.rpartition(".")[2]], headers=headers)


def _headings(names: list[str], own: set[str]) -> list[str]:
    """Return the names as headings, with a prefix where one is a column of ours."""
    headings: list[str] = []
    for name in names:
        heading = name
        while heading in own or (heading != name and heading in (*names, *headings)):
            heading = COLLISION_PREFIX + heading
        headings.append(heading)
    return headings
