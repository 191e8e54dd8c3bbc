"""The routes about the stream's columns: what was seen, and the aliases that a person declares, takes back, refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Response

from fraudstream.alerts.changes import Actor
from fraudstream.alerts.sights import MOST_SCHEMAS
from fraudstream.dashboard.actor import actor_or_nobody
from fraudstream.dashboard.asked import posted_object, whole
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import Parts, parts
from fraudstream.dashboard.schema_report import LISTED_SCHEMAS, report
from fraudstream.errors import ModelNamedDirectly, RequestError
from fraudstream.model.aliases import declare_alias, remove_alias
from fraudstream.model.current import InForce, changeable_models_dir
from fraudstream.transactions.masking import typed

LONGEST_TEXT: Final = 1_000

blueprint = Blueprint("schema", __name__)


@blueprint.get("/api/schemas")
def schemas() -> Response:
    """The contract, the sets of columns, how the last rows stand to it, and the suggestions."""
    return json_response(schema_report(parts(), limit=whole("limit", str(LISTED_SCHEMAS), MOST_SCHEMAS)))


@blueprint.post("/api/schema/aliases")
def declare() -> Response:
    """Have a column read as a feature from the next revision on."""
    asked = _asked("new", "old")
    who, why = _who(asked).name, asked.get("why") or "declared on the dashboard"

    def change(using: Parts) -> InForce:
        return declare_alias(using.settings.model, asked["new"], asked["old"], who=who, why=why, now=using.clock())

    return _change(change)


@blueprint.post("/api/schema/aliases/remove")
def remove() -> Response:
    """Take an alias back."""
    asked = _asked("new")
    who, why = _who(asked).name, asked.get("why") or "taken back on the dashboard"
    return _change(lambda using: remove_alias(using.settings.model, asked["new"], who=who, why=why, now=using.clock()))


@blueprint.post("/api/schema/suggestions/refuse")
def refuse() -> Response:
    """Never suggest this alias again."""
    asked = _asked("new", "old")
    who, why = _who(asked), asked.get("why") or ""
    parts().store.refuse_alias(asked["new"], asked["old"], who=who.name, why=why, session=who.session)
    return json_response({"new": asked["new"], "old": asked["old"], "refused": True})


def schema_report(using: Parts, *, limit: int = LISTED_SCHEMAS) -> dict[str, Any]:
    """The report of this dashboard."""
    try:
        changeable_models_dir(using.settings.model)
        changeable = True
    except ModelNamedDirectly:
        changeable = False
    statistics = using.statistics
    return report(using.store, statistics.columns, statistics.contract(), changeable=changeable, limit=limit)


def _who(asked: dict[str, str]) -> Actor:
    found = actor_or_nobody(asked)
    return found if found.name else Actor("dashboard", session=found.session)


def _change(change: Callable[[Parts], InForce]) -> Response:
    using = parts()
    in_force = change(using)
    using.revisions.look()
    return json_response(
        {"aliases": dict(in_force.aliases), "model_id": in_force.model_id, "revision": in_force.revision}
    )


def _asked(*names: str) -> dict[str, str]:
    asked = posted_object()
    for name in ("new", "old", "why"):
        value = asked.get(name)
        if name in names and not value:
            raise RequestError(f"{name} must be given: {' and '.join(names)} are column names")
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST_TEXT):
            raise RequestError(f"{name} must be text of at most {LONGEST_TEXT} characters")
    return {name: typed(value) for name, value in asked.items()}
