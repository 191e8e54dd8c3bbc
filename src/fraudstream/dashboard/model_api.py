"""The routes of the active model: another threshold, the stream's schemas against its contract, aliases."""

from collections.abc import Callable
from typing import Any, Literal

from fraudstream.alerts.changes import Actor
from fraudstream.dashboard.actor import actor, actor_or_nobody
from fraudstream.dashboard.parts import Parts, parts
from fraudstream.dashboard.queries import SchemaList, WhatIfQuery
from fraudstream.dashboard.routing import Api
from fraudstream.dashboard.schema_report import LISTED_SCHEMAS, report
from fraudstream.dashboard.threshold_change import change
from fraudstream.dashboard.what_if import what_if
from fraudstream.errors import ModelNamedDirectly
from fraudstream.messages.answers import Aliases, NewDeployment, WhatIf, answer
from fraudstream.messages.base import Object
from fraudstream.messages.requests import Alias, Command, NewThreshold, RemovedAlias
from fraudstream.model.aliases import declare_alias, remove_alias
from fraudstream.model.current import InForce, changeable_models_dir

api = Api("model")


@api.operation("GET", "/api/what-if", WhatIf, 409)
def show_what_if(query: WhatIfQuery) -> object:
    """What another threshold would do, from three sources."""
    return what_if(parts(), query.threshold, query.review_cost).document(with_curve=query.curve == 1)


@api.operation("POST", "/api/threshold", NewDeployment, 409, 422)
def set_threshold(body: NewThreshold) -> object:
    """Deploy a threshold, if the active revision is the one that the person saw."""
    return change(parts(), actor(body.who), body.threshold, body.why.strip(), body.revision)


@api.operation("GET", "/api/schemas", answer("Schemas", contract=Object | None, current=Object, schemas=list[Object]))
def schemas(query: SchemaList) -> object:
    """The stream's schemas against the model's contract, and suggested aliases."""
    return schema_report(parts(), limit=query.limit)


@api.operation("POST", "/api/schema/aliases", Aliases, 409, 422)
def declare(body: Alias) -> object:
    """Have a column read as a feature from the next revision on."""
    who, why = _who(body).name, body.why or "declared on the dashboard"
    return _realias(lambda of: declare_alias(of.settings.model, body.new, body.old, who=who, why=why, now=of.clock()))


@api.operation("POST", "/api/schema/aliases/remove", Aliases, 409, 422)
def remove(body: RemovedAlias) -> object:
    """Take an alias back."""
    who, why = _who(body).name, body.why or "taken back on the dashboard"
    return _realias(lambda of: remove_alias(of.settings.model, body.new, who=who, why=why, now=of.clock()))


@api.operation(
    "POST", "/api/schema/suggestions/refuse", answer("RefusedAlias", new=str, old=str, refused=Literal[True]), 422
)
def refuse(body: Alias) -> object:
    """Never suggest this alias again."""
    who = _who(body)
    parts().store.refuse_alias(body.new, body.old, who=who.name, why=body.why or "", session=who.session)
    return {"new": body.new, "old": body.old, "refused": True}


def schema_report(using: Parts, *, limit: int = LISTED_SCHEMAS) -> dict[str, Any]:
    """The report of this dashboard."""
    try:
        changeable_models_dir(using.settings.model)
        changeable = True
    except ModelNamedDirectly:
        changeable = False
    statistics = using.statistics
    return report(using.store, statistics.columns, statistics.contract(), changeable=changeable, limit=limit)


def _who(body: Command) -> Actor:
    acting = actor_or_nobody(body.who)
    return acting if acting.name else Actor("dashboard", session=acting.session)


def _realias(apply: Callable[[Parts], InForce]) -> dict[str, Any]:
    using = parts()
    active = apply(using)
    using.revisions.look()
    return {"aliases": dict(active.aliases), "model_id": active.model_id, "revision": active.revision}
