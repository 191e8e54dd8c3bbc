"""The CSV of the alerts: streamed, exact, and safe to open in a spreadsheet; which alerts it holds is the API's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from fraudstream.alerts.store import AlertFilter, AlertStore
from fraudstream.transactions.wire import AlertField

FILE_NAME: Final = "fraudulent_transactions.csv"
OWN_COLUMNS: Final = (
    AlertField.ALERT_ID.value,
    AlertField.OUTCOME.value,
    AlertField.SCORE.value,
    AlertField.THRESHOLD.value,
    AlertField.PRODUCED_AT.value,
    AlertField.DETECTED_AT.value,
)
COLLISION_PREFIX: Final = "transaction_"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def export_csv(store: AlertStore, wanted: AlertFilter) -> Iterator[str]:
    """The alerts as CSV, a page of them at a time, up to the newest at the time of asking."""
    up_to = store.latest_seq()
    names = store.transaction_columns(wanted, up_to=up_to)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe(name) for name in (*OWN_COLUMNS, *_headings(names))])
    for page in store.all_alerts(wanted, up_to=up_to):
        for alert in page:
            document = alert.document()
            transaction = document[AlertField.TRANSACTION]
            cells = [document.get(name) for name in OWN_COLUMNS] + [transaction.get(name) for name in names]
            writer.writerow([cell(value) for value in cells])
        yield taken(buffer)
    yield taken(buffer)


def _headings(names: list[str]) -> list[str]:
    taken = {*OWN_COLUMNS, *names}
    headings = []
    for name in names:
        heading = name
        if name in OWN_COLUMNS:
            heading = COLLISION_PREFIX + name
            while heading in taken:
                heading = COLLISION_PREFIX + heading
            taken.add(heading)
        headings.append(heading)
    return headings


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
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def taken(buffer: io.StringIO) -> str:
    """What a buffer holds, which is empty afterwards."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
