"""Defines the API routes that receive records and labels, and those that list events, the ledger and labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final

import structlog
from flask import Response

from fraudstream.dashboard.services.instances import Instances
from fraudstream.dashboard.services.ledger_report import LedgerReport, ledger_report
from fraudstream.dashboard.services.reasons import ReasonWorker
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.system_state import Health, SystemState
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.export import Exports, csv_text
from fraudstream.dashboard.web.queries import EventList
from fraudstream.dashboard.web.routing import Api, read_json_body
from fraudstream.errors import RequestError, StoreError
from fraudstream.messages.answers import Received, page
from fraudstream.messages.base import Object
from fraudstream.messages.labels import AddedLabels, NewLabels, StoredLabel
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.messages.posted import DeadLetter, EndsEvent, Event, PostedAlert, Progress, Sample, check_event
from fraudstream.messages.requests import MOST_RECORDS, Page
from fraudstream.store.entities import ColumnsOf
from fraudstream.store.labels import LabelQuery, add_labels
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import Added, AlertStore
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.presentable import read_json

LABEL_COLUMNS: Final = ("event_id", "label", "source", "known_at", "event_at", "who")

log = structlog.get_logger(__name__)

api = Api("records")


class LabelList(Page, LabelQuery):
    """A page of labels."""


@dataclass(frozen=True)
class RecordViews:
    """Stores posted records and labels, and lists them."""

    store: AlertStore
    mask: DataMask
    instances: Instances
    statistics: Statistics
    health: Health
    system: SystemState
    reasons: ReasonWorker
    entity_columns: ColumnsOf
    actors: Actors
    exports: Exports

    @api.operation("POST", "/api/alerts", Received, 413, body=list[PostedAlert])
    def post_alerts(self) -> object:
        """Store alerts and unscorable transactions; answered after the commit, so that the relay may commit its
        offset.
        """

        def publish(alerts: list[StoredAlert]) -> None:
            self.statistics.committed(alerts)
            self.instances.publish(alerts)
            self.reasons.offer(alerts)

        describe, columns_of = self.statistics.describe, self.entity_columns
        add = partial(self.store.add_alerts, on_commit=publish, describe=describe, columns_of=columns_of)
        return self._receive("alert", add)

    @api.operation("POST", "/api/events", Received, 413, body=list[Sample | EndsEvent | Progress | Event])
    def post_events(self) -> object:
        """Store events of the detector and positions of the relay, and update the counters."""

        def add(posted: list[object]) -> Added:
            added = self.store.add_events(posted, describe=self.statistics.describe)
            self.statistics.observe_events(added.events, added.samples)
            weights = {id(sample): weight for sample, weight in added.samples}
            self.instances.send("events", [[event.document, weights.get(id(event))] for event in added.events])
            return added

        return self._receive("event", add)

    @api.operation("POST", "/api/dead-letters", Received, 413, body=list[DeadLetter])
    def post_dead_letters(self) -> object:
        """Store dead letters; counts are kept for good, payloads of the newest 10,000."""
        return self._receive("dead letter", self.store.add_dead_letters)

    @api.operation("POST", "/api/ledger", Received, 413, body=list[LedgerEntry])
    def post_ledger(self) -> object:
        """Store entries of the detector's ledger, as they are on the topic `detector_ledger`."""
        return self._receive("ledger entry", self.store.add_ledger)

    @api.operation("GET", "/api/events", page("events", Object))
    def list_events(self, query: EventList) -> object:
        """Events, the newest first."""
        rows = self.store.events(kind=query.type, before=query.cursor, limit=query.limit)
        events = [{"seq": row.seq} | row.document for row in rows]
        return {"events": events, "next_cursor": query.following([row.seq for row in rows])}

    @api.operation("GET", "/api/ledger", LedgerReport)
    def ledger(self, query: Page) -> object:
        """The outcomes of all records, by partition, and the newest entries."""
        return ledger_report(self.store, before=query.cursor, limit=query.limit)

    @api.operation("POST", "/api/labels", AddedLabels)
    def post_labels(self, body: NewLabels) -> AddedLabels:
        """Store labels of transactions, all or none; those that say nothing new are `unchanged`."""
        return add_labels(self.store.database, body.labels, self.actors.current(body.who), "POST /api/labels")

    @api.operation("GET", "/api/labels", page("labels", StoredLabel))
    def list_labels(self, query: LabelList) -> object:
        """The labels that match, the newest in the store first."""
        labels = self.store.labels.page(query, before=query.cursor, limit=query.limit)
        return {"labels": labels, "next_cursor": query.following([each.seq for each in labels])}

    @api.operation("GET", "/api/labels.csv", str, media_type="text/csv")
    def labels_csv(self, query: LabelQuery) -> Response:
        """All labels that match as a CSV file, the oldest in the store first."""
        pages = (map(attrgetter(*LABEL_COLUMNS), labels) for labels in self.store.labels.every(query))
        text, rows = csv_text(LABEL_COLUMNS, pages), partial(self.store.labels.count, query)
        return self.exports.response("labels.csv", text, rows)

    def receive_events(self, items: Sequence[Sequence[Any]]) -> None:
        """Update the counters from events that were posted to another dashboard, each with its weight if a sample."""
        events = [(check_event(document), weight) for document, weight in items]
        samples = [(event, weight) for event, weight in events if isinstance(event, Sample)]
        self.statistics.observe_events([event for event, _ in events], samples)
        self.system.posted([document for document, _ in items])

    def _receive(self, kind: str, add: Callable[[list[object]], Added]) -> Object:
        body = read_json_body()
        try:
            # One NaN, half a surrogate pair or an endless subtree must not cost the rest of the list.
            posted = read_json(body)
        except ValueError as e:
            raise RequestError("the body is not JSON") from e
        if not isinstance(posted, list):
            raise RequestError("post a list of objects")
        if len(posted) > MOST_RECORDS:
            raise RequestError(f"post at most {MOST_RECORDS} records at once", status=413)
        # Once, before the writer's lock is taken; values that the relay has masked stay as they are.
        posted = [self.mask.record(each) for each in posted]
        try:
            self.store.database.backend.check_identity()
            added = self._add(kind, posted, add)
        except StoreError as e:
            self.health.write_failed(e)
            raise
        self.health.written()
        self.system.posted(posted)
        return {name: getattr(added, name) for name in Received.model_fields}

    def _add(self, kind: str, posted: list[object], add: Callable[[list[object]], Added]) -> Added:
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
                return self.store.reject(kind, posted[0], f"{type(e).__name__}: {e}")
        added = Added()
        for index, record in enumerate(posted):
            added.merge(self._add(kind, [record], add), index)
        return added
