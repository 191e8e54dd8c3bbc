"""The routes of the whole system's state: what is wrong with it, and acknowledging losses."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

from fraudstream.alerts.changes import Action
from fraudstream.dashboard.actor import actor
from fraudstream.dashboard.asked import posted_object, posted_text
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.errors import RequestError

LONGEST_WHY: Final = 4_000

blueprint = Blueprint("system", __name__)


@blueprint.get("/api/system")
def system() -> Response:
    """Processes, partitions, losses and problems; 200 also where something is wrong."""
    return json_response(parts().system.document())


@blueprint.post("/api/system/acknowledge")
def acknowledge() -> Response:
    """Have the losses up to an entry of the ledger no longer reported; they stay in the ledger."""
    who, posted = actor(), posted_object()
    until, why = posted.get("until_seq"), (posted_text(posted, "why", LONGEST_WHY, needed=False) or "").strip()
    if isinstance(until, bool) or not isinstance(until, int):
        raise RequestError("until_seq must be the whole number that GET /api/system tells in losses")
    using = parts()
    losses = using.store.ledger.unacknowledged_losses(until=until)
    if not losses.records:
        raise RequestError("there is no loss up to this entry that was not acknowledged before", status=409)
    after = {"until_seq": losses.until_seq, "records": losses.records}
    change_id = using.changes.record(who, Action.ACKNOWLEDGE, f"{losses.records:,} lost records", None, after, why)
    return json_response({"acknowledged": losses.records, "change_id": change_id})
