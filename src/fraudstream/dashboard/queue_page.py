"""The page Queue as it is served: alerts to be worked on; `queue_query.py` reads its address, `queue.js` decides."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from flask import redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from fraudstream.alerts.change_reading import ChangeReader
from fraudstream.alerts.changes import NOBODY
from fraudstream.alerts.cursor import write_cursor
from fraudstream.alerts.search import Page
from fraudstream.alerts.status import AlertStatus
from fraudstream.dashboard import presentation
from fraudstream.dashboard.actor import actor_or_nobody
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import AlertList
from fraudstream.dashboard.queue_query import OPERATORS, ORDERS, OUTCOMES, QueueQuery
from fraudstream.errors import RequestError
from fraudstream.times import iso_time
from fraudstream.transactions.wire import AlertField

ROWS: Final = 50
ID_CHARS: Final = 240
EMPTY: Final = Page([], None)
"""What is with somebody whose name is not known."""


def queue_page() -> str | Response:
    """The alerts that the address asks for, a page of them; an untidy address leads to the tidy one."""
    using = parts()
    query = QueueQuery(request.args)
    if not query.is_tidy:
        return redirect(query.address(), code=303)
    # Before the rows, so that the page's stream and its look at the changes begin no later than what the page shows.
    latest = using.store.latest_seq()
    changed = ChangeReader(using.store).latest_seq()
    who = actor_or_nobody()
    name = "" if who == NOBODY else who.name
    asked = query.asked(name)
    before = ("cursor", request.args.get("cursor", ""))
    wanted = AlertList.read(MultiDict([*asked.items(multi=True), before]))
    page = EMPTY
    if not (query.is_mine and not name):
        page = using.store.search.page(wanted.filter(), sort=wanted.sort, after=wanted.position(), limit=ROWS)
    documents = [alert.document() for alert in using.reasons.attached(page.alerts)]
    in_hand = request.args.get("alert", "")[:ID_CHARS]
    if in_hand in {document[AlertField.ALERT_ID] for document in documents}:
        in_hand = ""
    stats = using.statistics.current()
    cursor = None if page.following is None else write_cursor(wanted.sort, page.following)
    return render_template(
        "queue.html",
        notice=using.notice,
        latest=latest,
        changed=changed,
        stats=stats,
        query=query,
        name=name,
        rows=[_row(document, stats) for document in documents],
        in_hand=_one(in_hand, stats) if in_hand else None,
        columns=sorted({column for document in documents for column in document[AlertField.TRANSACTION]}),
        orders=ORDERS,
        operators=OPERATORS,
        outcomes=OUTCOMES,
        statuses={each.value: each.value.replace("_", " ") for each in AlertStatus},
        asked=urlencode(list(asked.items(multi=True))),
        back_to=iso_time(page.reached_us),
        older=None if cursor is None else query.address(("cursor", cursor)),
        is_first="cursor" not in request.args,
    )


def _one(alert_id: str, stats: Mapping[str, Any]) -> dict[str, Any]:
    using = parts()
    found = using.store.alert(alert_id)
    if found is None:
        raise RequestError("there is no alert with this id", status=404)
    return _row(using.reasons.attached([found])[0].document(), stats)


def _row(document: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    return {"row": presentation.row(document, stats), "loss": presentation.expected_loss(document)}
