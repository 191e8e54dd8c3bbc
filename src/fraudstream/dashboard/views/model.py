"""The routes of the active model: another threshold, the stream's schemas against its contract, aliases."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal, NamedTuple

from fraudstream.dashboard.services.parts import Parts, parts
from fraudstream.dashboard.services.rescoring import deployment_at
from fraudstream.dashboard.services.revisions import recorded
from fraudstream.dashboard.services.schema_report import LISTED_SCHEMAS, Schemas, report
from fraudstream.dashboard.services.what_if import what_if
from fraudstream.dashboard.web.actor import actor, actor_or_nobody
from fraudstream.dashboard.web.queries import SchemaList, WhatIfQuery
from fraudstream.dashboard.web.routing import Api
from fraudstream.errors import ModelError, ModelNamedDirectly
from fraudstream.messages.answers import ActiveModel, Aliases, NewDeployment, WhatIf, answer
from fraudstream.messages.base import Object
from fraudstream.messages.requests import Alias, Command, NewThreshold, RemovedAlias
from fraudstream.model.deployment.aliases import declare_alias, remove_alias
from fraudstream.model.deployment.current import Deployment, change_between, changeable_models_dir
from fraudstream.model.deployment.registry import history
from fraudstream.model.evaluation.thresholds import set_threshold
from fraudstream.store.changes import Actor
from fraudstream.transactions.cards import masked_text

SHOWN_CHANGES: Final = 10


class FormerChange(NamedTuple):
    """A change of the deployment, made by `revision`, as the page lists it.

    Attributes:
        when: ISO 8601.
        before: The threshold before; None where no model was active.
        what: What changed beside it; empty where nothing did.
        can_undo: Whether it is the newest one, of the threshold alone.
    """

    revision: int
    when: str
    who: str
    why: str
    before: float | None
    after: float
    what: str
    can_undo: bool


def change(using: Parts, who: Actor, threshold: float, why: str, revision: int) -> Object:
    """Deploy a threshold while `revision`, which the person saw, is active; returns the deployment and the one before.

    Raises SettingsError where it is no score, ChangedMeanwhile for another revision, or ModelError.
    """
    before = deployment_at(using.settings.model)
    after = set_threshold(
        using.settings.model, value=threshold, revision=revision, who=who.name, why=why, now=using.clock()
    )
    # Within a second it would be recorded anyhow; so it is there when the page asks.
    using.revisions.look()
    change_id = recorded(change_between(asdict(before), asdict(after)))[0].change_id
    deployment = {name: getattr(after, name) for name in ActiveModel.model_fields}
    return deployment | {"former_threshold": before.threshold, "change_id": change_id}


def former_changes(using: Parts) -> list[FormerChange]:
    """The newest changes of what is in force, the newest first; none where they cannot be read."""
    try:
        found = history(changeable_models_dir(using.settings.model))[: -SHOWN_CHANGES - 1 : -1]
    except (ModelNamedDirectly, ModelError):
        return []
    told = []
    for place, each in enumerate(found):
        before, after = each.before or {}, each.after
        what = _other(before, after)
        was = before.get("threshold")
        is_threshold = was is not None and was != after["threshold"] and not what
        who, why, what = (masked_text(text) for text in (each.who, each.why, what))
        told.append(
            FormerChange(each.revision, each.when, who, why, was, after["threshold"], what, place == 0 and is_threshold)
        )
    return told


api = Api("model")


@api.operation("GET", "/api/what-if", WhatIf, 409)
def show_what_if(query: WhatIfQuery) -> object:
    """What another threshold would do, from three sources."""
    return what_if(parts(), query.threshold, query.review_cost).document(with_curve=query.curve == 1)


@api.operation("POST", "/api/threshold", NewDeployment, 409, 422)
def deploy_threshold(body: NewThreshold) -> object:
    """Deploy a threshold, if the active revision is the one that the person saw."""
    return change(parts(), actor(body.who), body.threshold, body.why.strip(), body.revision)


@api.operation("GET", "/api/schemas", Schemas)
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


def schema_report(using: Parts, *, limit: int = LISTED_SCHEMAS) -> Schemas:
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


def _realias(apply: Callable[[Parts], Deployment]) -> Object:
    using = parts()
    active = apply(using)
    using.revisions.look()
    return {"aliases": dict(active.aliases), "model_id": active.model_id, "revision": active.revision}


def _other(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What else changed."""
    if not before:
        return f"first in force: {after['model_id']}"
    changes = []
    if before.get("model_id") != after["model_id"]:
        changes.append(f"model {after['model_id']}")
    if before.get("aliases", {}) != after.get("aliases", {}):
        changes.append("aliases")
    return " and ".join(changes)
