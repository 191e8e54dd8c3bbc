"""Alerts as files: streamed, exact, safe to open in a spreadsheet, and recorded as a change."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from flask import Response, request

from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.services.reasons import ReasonWork
from fraudstream.dashboard.web.actor import actor_or_nobody
from fraudstream.dashboard.web.security import same_origin
from fraudstream.errors import RequestError
from fraudstream.store.changes import Action
from fraudstream.store.filters import AlertFilter
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
WORK_COLUMNS: Final = ("status", "assignee", "decided_at")
COLLISION_PREFIX: Final = "transaction_"

_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_NUMBER = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?", re.ASCII)
# At the beginning, in full width and behind blanks as well; and where a spreadsheet divides cells at semicolons.
_FORMULA = re.compile(
    rf"^[\s\u200b\ufeff]*(?=[{_SIGNS}])|^(?=[\t\r\n])|(?<=;)[\s\u200b\ufeff]*(?=[{_SIGNS}])(?!{_NUMBER.pattern}\s*(?:;|$))"
)


def export_csv(store: AlertStore, wanted: AlertFilter, *, with_work: bool = False) -> Iterator[str]:
    """The alerts as CSV, some hundred at a time, in order of commit up to the newest at the time of the call.

    `with_work` adds what people made of them, in the last columns.
    """
    up_to = store.latest_seq()
    names = store.search.transaction_columns(wanted, up_to=up_to)
    work = WORK_COLUMNS if with_work else ()
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe(name) for name in (*OWN_COLUMNS, *_headings(names, {*OWN_COLUMNS, *work}), *work)])
    for found in store.search.walk(wanted, up_to=up_to):
        states = store.triage_states([alert.seq for alert in found]) if with_work else {}
        for alert in found:
            document = alert.document()
            transaction = document[AlertField.TRANSACTION]
            cells = [document.get(name) for name in OWN_COLUMNS] + [transaction.get(name) for name in names]
            writer.writerow([cell(value) for value in (*cells, *states.get(alert.seq, ()))])
        yield taken(buffer)
    yield taken(buffer)


def export_json(store: AlertStore, reasons: ReasonWork, wanted: AlertFilter) -> Iterator[bytes]:
    """The alerts as one JSON array, an alert a line, as the list gives each of them."""
    before = b"[\n"
    for found in store.search.walk(wanted):
        yield before + b",\n".join(alert.body for alert in reasons.attached(found))
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def cell(value: Any) -> str:
    """A value as text: numbers with every digit, text as it is unless a spreadsheet would run it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return safe(value if isinstance(value, str) else orjson.dumps(value).decode())


def safe(text: str) -> str:
    """Text that a spreadsheet takes for text."""
    # OWASP, "CSV Injection": a leading apostrophe makes a spreadsheet take the cell for text.
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"'\g<0>", text)


def taken(buffer: io.StringIO) -> str:
    """What a buffer holds, which is empty afterwards."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def file_response(
    file: str, pieces: Iterator[str] | Iterator[bytes], rows: Callable[[], int], *, at_most: bool = False
) -> Response:
    """A file for download, recorded as an export; a request for the headers alone takes no data out.

    `rows` counts what the file will hold, or (`at_most`) the most that it can, where counting exactly would take as
    long as the file. Raises StoreError where it cannot be recorded.
    """
    if request.method == "GET":
        _record_export(file, rows, at_most=at_most)
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(pieces, mimetype=MIMETYPES[file.rpartition(".")[2]], headers=headers)


def _record_export(file: str, rows: Callable[[], int], *, at_most: bool) -> None:
    if not same_origin(request, parts().settings):
        # Each file is a row in the record for good: not for another site's page to write.
        raise RequestError("a file is asked for from the dashboard's own pages; open its address by itself", status=403)
    asked = {name: values[0] if len(values) == 1 else values for name, values in request.args.lists()}
    after = {"filter": typed(asked), "rows_at_most" if at_most else "rows": rows()}
    parts().changes.record(actor_or_nobody(), Action.EXPORT, file, None, after)


def _headings(names: list[str], own: set[str]) -> list[str]:
    taken = {*own, *names}
    headings = []
    for name in names:
        heading = name
        if name in own:
            heading = COLLISION_PREFIX + name
            while heading in taken:
                heading = COLLISION_PREFIX + heading
            taken.add(heading)
        headings.append(heading)
    return headings
