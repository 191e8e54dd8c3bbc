"""Defines the API routes of the system: counters, problems, acknowledgement of losses, charts and health."""

from dataclasses import dataclass

import orjson
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.system_state import Health, SystemState
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.queries import ChartQuery
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Stats, System, answer
from fraudstream.messages.base import Object
from fraudstream.messages.requests import Acknowledgement
from fraudstream.store.changes import Action, ChangeLog
from fraudstream.store.store import AlertStore

api = Api("system")


@dataclass(frozen=True)
class SystemViews:
    """Shows the state of the system, and acknowledges losses."""

    store: AlertStore
    statistics: Statistics
    state: SystemState
    chart_data: Charts
    database: Health
    changes: ChangeLog
    actors: Actors

    @api.operation("GET", "/api/stats", Stats)
    def stats(self) -> object:
        """The counters."""
        return self.statistics.current()

    @api.operation("GET", "/api/system", System)
    def system(self) -> object:
        """Processes, partitions, losses and problems; 200 even if there are problems."""
        return self.state.document()

    @api.operation("POST", "/api/system/acknowledge", answer("Acknowledged", acknowledged=int, change_id=str), 409)
    def acknowledge(self, body: Acknowledgement) -> object:
        """Acknowledge the losses up to a ledger entry: they stay in the ledger, but are no longer reported."""
        who = self.actors.require(body.who)
        losses = self.store.ledger.unacknowledged_losses(until=body.until_seq)
        if not losses.records:
            raise RequestError("there is no unacknowledged loss up to this entry", status=409)
        after = {"until_seq": losses.until_seq, "records": losses.records}
        what, why = f"{losses.records:,} lost records", (body.why or "").strip()
        change_id = self.changes.record(who, Action.ACKNOWLEDGE, what, after, why)
        return {"acknowledged": losses.records, "change_id": change_id}

    @api.operation("GET", "/api/charts", answer("Charts", minutes=Object, scores=object, precision=object))
    def charts(self, query: ChartQuery) -> Response:
        """Payments, alerts, scores, amounts, latency and precision of each of the last minutes."""
        return json_response(self.chart_data.rendered("json", query.minutes, orjson.dumps, query.until))

    @api.operation("GET", "/health", answer("Health", status=str, checks=dict[str, str]), same=(503,))
    def health(self) -> Response:
        """200 while the process is running and its database accepts writes; 503 with the problem."""
        self.store.latest_seq()  # fails if the database does not respond
        problem = self.database.problem()
        body = {"status": "failing" if problem else "ok", "checks": {"database": problem or "ok"}}
        return json_response(body, 503 if problem else 200)

    @api.operation("GET", "/ready", answer("Ready", ready=bool, reasons=list[str]), same=(503,))
    def ready(self) -> Response:
        """200 while this process can serve; 503 with the reasons while it cannot."""
        problem = self.database.problem()
        return json_response({"ready": not problem, "reasons": [problem] if problem else []}, 503 if problem else 200)

    @api.operation("GET", "/metrics", str, media_type="text/plain")
    def metrics(self) -> Response:
        """The counters for Prometheus."""
        return Response(generate_latest(self.statistics.registry), content_type=CONTENT_TYPE_LATEST)
