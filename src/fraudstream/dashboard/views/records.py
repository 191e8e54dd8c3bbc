"""Defines the API routes that receive records from the relay, and those that list events and the ledger."""

from collections.abc import Callable
from typing import Any

import structlog

from fraudstream.dashboard.services.ledger_report import LedgerReport, ledger_report
from fraudstream.dashboard.services.parts import Parts, parts
from fraudstream.dashboard.web.queries import EventList
from fraudstream.dashboard.web.routing import Api, read_json_body
from fraudstream.errors import RequestError, StoreError
from fraudstream.messages.answers import Received, page
from fraudstream.messages.base import Object
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.messages.posted import DeadLetter, EndsEvent, Event, PostedAlert, Progress, Sample
from fraudstream.messages.requests import MOST_RECORDS, Page
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import Added
from fraudstream.transactions.presentable import read_json

log = structlog.get_logger(__name__)

api = Api("records")


@api.operation("POST", "/api/alerts", Received, 413, body=list[PostedAlert])
def post_alerts() -> object:
    """Store alerts and unscorable transactions; answered after the commit, so that the relay may commit its offset."""
    using = parts()

    def publish(alerts: list[StoredAlert]) -> None:
        using.statistics.committed(alerts)
        using.hub.publish(alerts)
        using.reasons.offer(alerts)

    return _receive(
        using,
        "alert",
        lambda posted: using.store.add_alerts(posted, on_commit=publish, describe=using.statistics.describe),
    )


@api.operation("POST", "/api/events", Received, 413, body=list[Sample | EndsEvent | Progress | Event])
def post_events() -> object:
    """Store events of the detector and positions of the relay, and update the counters."""
    using = parts()

    def add(posted: list[object]) -> Added:
        added = using.store.add_events(posted, describe=using.statistics.describe)
        using.statistics.observe_events(added.events, added.samples)
        return added

    return _receive(using, "event", add)


@api.operation("POST", "/api/dead-letters", Received, 413, body=list[DeadLetter])
def post_dead_letters() -> object:
    """Store dead letters; counts are kept for good, payloads of the newest 10,000."""
    using = parts()
    return _receive(using, "dead letter", using.store.add_dead_letters)


@api.operation("POST", "/api/ledger", Received, 413, body=list[LedgerEntry])
def post_ledger() -> object:
    """Store entries of the detector's ledger, as they are on the topic `detector_ledger`."""
    using = parts()
    return _receive(using, "ledger entry", using.store.add_ledger)


@api.operation("GET", "/api/events", page("events", Object))
def list_events(query: EventList) -> object:
    """Events, the newest first."""
    rows = parts().store.events(kind=query.type, before=query.cursor, limit=query.limit)
    events = [{"seq": row.seq} | row.document for row in rows]
    return {"events": events, "next_cursor": query.following([row.seq for row in rows])}


@api.operation("GET", "/api/ledger", LedgerReport)
def ledger(query: Page) -> object:
    """The outcomes of all records, by partition, and the newest entries."""
    return ledger_report(parts().store, before=query.cursor, limit=query.limit)


def _receive(using: Parts, kind: str, add: Callable[[list[object]], Added]) -> Object:
    posted = _parse(read_json_body())
    if not isinstance(posted, list):
        raise RequestError("post a list of objects")
    if len(posted) > MOST_RECORDS:
        raise RequestError(f"post at most {MOST_RECORDS} records at once", status=413)
    # Once, before the writer's lock is taken; values that the relay has masked stay as they are.
    posted = [using.mask.record(each) for each in posted]
    try:
        using.health.check_file()
        added = _add(using, kind, posted, add)
    except StoreError as e:
        using.health.write_failed(e)
        raise
    using.health.written()
    using.system.posted(posted)
    return {name: getattr(added, name) for name in Received.model_fields}


def _add(using: Parts, kind: str, posted: list[object], add: Callable[[list[object]], Added]) -> Added:
    """Store records; on an unforeseen error each by itself, and reject the one that causes it.

    Otherwise the relay would resend it for ever, and never those after it.
    """
    try:
        return add(posted)
    except StoreError:
        raise
    except Exception as e:
        log.exception("posted records could not be stored", kind=kind, records=len(posted))
        if len(posted) == 1:
            return using.store.reject(kind, posted[0], f"{type(e).__name__}: {e}")
    added = Added()
    for index, record in enumerate(posted):
        added.merge(_add(using, kind, [record], add), index)
    return added


def _parse(body: bytes) -> Any:
    # One NaN, half a surrogate pair or an endless subtree must not cost the rest of the list.
    try:
        return read_json(body)
    except ValueError as e:
        raise RequestError("the body is not JSON") from e
