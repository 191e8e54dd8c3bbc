"""Lists the entities with the most alerts, and renders the page of one: a card, terminal, customer or merchant."""

from dataclasses import asdict, dataclass
from typing import Final

from flask import render_template

from fraudstream.dashboard.services.entity_past import ArchivedPayment, EntityPast, Profile
from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.web import presentation
from fraudstream.dashboard.web.formats import duration
from fraudstream.dashboard.web.queries import EntityList
from fraudstream.dashboard.web.routing import Api
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Text, answer, many
from fraudstream.messages.base import Object, instant
from fraudstream.messages.requests import MOST_ALERTS
from fraudstream.store.entities import BARS, Bar, EntityTotals
from fraudstream.store.filters import AlertFilter
from fraudstream.store.store import AlertStore
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.entities import Entity

ROWS: Final = 50

api = Api("entities")


@dataclass(frozen=True)
class EntityViews:
    """Counts the alerts of entities, and renders their pages."""

    store: AlertStore
    statistics: Statistics
    reasons: ReasonStore
    past: EntityPast

    @api.operation(
        "GET", "/api/entities", answer("Entities", columns=list[str], column=Text, entities=many(EntityTotals))
    )
    def list_entities(self, query: EntityList) -> object:
        """The entities in a column with the most alerts that match.

        Of the newest 100,000 alerts; `columns` are all that identify entities.
        """
        filter_ = query.filter()
        columns = self.store.entities.columns()
        column = query.column or next(iter(columns), None)
        entities = [] if column is None else self.store.entities.top(column, filter_, query.limit)
        return {"columns": columns, "column": column, "entities": list(map(asdict, entities))}

    @api.operation(
        "GET", "/api/entities/<column>/<path:value>",
        answer(
            "OneEntity", totals=EntityTotals, statuses=dict[str, int], timeline=many(Bar),
            payments=many(ArchivedPayment), profile=Profile | None,
        ), 404,
    )  # fmt: skip
    def one_entity(self, column: str, value: str) -> Object:
        """An entity: the sums of its alerts, their number by status, and when they came; its past.

        `payments` are the newest 50 of the archive, `profile` its newest daily profile: what is on this machine.
        """
        entity, totals = self._entity(column, value)
        timeline = list(map(asdict, self.store.entities.timeline(totals)))
        statuses = self.store.entities.statuses(entity)
        payments, profile = list(map(asdict, self.past.payments(entity))), self.past.profile(entity)
        past: Object = {"payments": payments, "profile": None if profile is None else asdict(profile)}
        return {"totals": asdict(totals), "statuses": statuses, "timeline": timeline, **past}

    def render(self, column: str, value: str) -> str:
        """Render the page of an entity."""
        entity, totals = self._entity(column, value)
        stats = self.statistics.current()
        page = self.store.search.page(AlertFilter(entities=(entity,)), limit=ROWS)
        alerts = self.store.entities.with_entities(self.reasons.with_reasons(page.alerts))
        rows = [presentation.row(alert.document(), stats) for alert in alerts]
        return render_template(
            "entity.html",
            totals=totals,
            statuses=self.store.entities.statuses(entity),
            timeline=self.store.entities.timeline(totals),
            bars=BARS,
            payments=[(each, amount_of(each.transaction)) for each in self.past.payments(entity)],
            profile=self.past.profile(entity),
            alert_ids={row.alert_id for row in rows},
            undecided=self.store.entities.undecided(entity, MOST_ALERTS),
            alerts_text=presentation.alerts_text,
            within=duration((instant(totals.last_at) - instant(totals.first_at)) / 1e6),
            rows=[
                row._replace(entities=[each for each in row.entities if (each["column"], each["value"]) != entity])
                for row in rows
            ],
        )

    def _entity(self, column: str, value: str) -> tuple[Entity, EntityTotals]:
        entity = Entity(column, masked_text(value))  # as it is stored
        totals = self.store.entities.totals(entity)
        if totals is None:
            raise RequestError("there is no alert of this entity", status=404)
        return entity, totals
