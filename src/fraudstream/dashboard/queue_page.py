"""The page Queue as it is served: alerts to be worked on; `queue_query.py` reads its address, `queue.js` decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlencode

from flask import abort, redirect, render_template, request
from werkzeug.wrappers import Response

from fraudstream.alerts.status import AlertStatus
from fraudstream.alerts.store import AlertFilter
from fraudstream.dashboard import presentation
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queue_query import OPERATORS, ORDERS, OUTCOMES, QueueQuery
from fraudstream.transactions.wire import AlertField

ROWS: Final = 50
ID_CHARS: Final = 240


def queue_page() -> str | Response:
    """The alerts that the address asks for, a page of them; an untidy address leads to the tidy one."""
    using = parts()
    query = QueueQuery(request.args)
    if not query.is_tidy:
        return redirect(query.address(), code=303)
    # Before the rows, so that the page's stream begins no later than what the page shows.
    latest = using.store.latest_seq()
    name = _name()
    asked = query.asked(name)
    found = using.reasons.attached(using.store.alerts(AlertFilter(), limit=ROWS))
    documents = [alert.document() for alert in found]
    cursor = None
    in_hand = request.args.get("alert", "")[:ID_CHARS]
    stats = using.statistics.current()
    return render_template(
        "queue.html",
        notice=using.notice,
        latest=latest,
        stats=stats,
        query=query,
        name=name,
        rows=[_row(document, stats) for document in documents],
        blank=_row(None, stats),
        in_hand=_one(in_hand, stats) if in_hand else None,
        columns=sorted({column for document in documents for column in document[AlertField.TRANSACTION]}),
        orders=ORDERS,
        operators=OPERATORS,
        outcomes=OUTCOMES,
        statuses={each.value: each.value.replace("_", " ") for each in AlertStatus},
        asked=urlencode(list(asked.items(multi=True))),
        older=None if cursor is None else query.address(("cursor", cursor)),
        is_first="cursor" not in request.args,
        needs_token=using.settings.ingest_token is not None,
    )


def _name() -> str:
    return unquote(request.cookies.get("fraudstream_actor", ""))


def _one(alert_id: str, stats: Mapping[str, Any]) -> dict[str, Any]:
    using = parts()
    found = using.store.alert(alert_id)
    if found is None:
        abort(404, "there is no alert with this id")
    return _row(using.reasons.attached([found])[0].document(), stats)


def _row(document: Mapping[str, Any] | None, stats: Mapping[str, Any]) -> dict[str, Any]:
    if document is None:
        return {"row": presentation.BLANK_ROW, "loss": ""}
    return {"row": presentation.row(document, stats), "loss": presentation.expected_loss(document)}
