"""The route that scores one alert again; reading alerts is `api.py`'s, what people make of them `work_api.py`'s."""

from __future__ import annotations

from flask import Blueprint, Response

from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.rescoring import rescored
from fraudstream.errors import RequestError

blueprint = Blueprint("rescore", __name__)


@blueprint.get("/api/alerts/<path:alert_id>/rescore")
def rescore(alert_id: str) -> Response:
    """An alert scored again with the model in force, and what differs from the stored score."""
    using = parts()
    found = using.store.alert(alert_id)
    if found is None:
        # An id may hold slashes, and end so.
        found = using.store.alert(f"{alert_id}/rescore")
        if found is None:
            raise RequestError("there is no alert with this id", status=404)
        return json_response(using.reasons.attached([found])[0].body)
    return json_response(rescored(using.explainers, using.settings.model, found.document()))
