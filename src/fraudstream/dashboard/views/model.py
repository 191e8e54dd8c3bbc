"""Defines the API routes of the active model: threshold, schemas and aliases."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from fraudstream.dashboard.services.revisions import Deployments, change_of
from fraudstream.dashboard.services.schema_report import LISTED_SCHEMAS, Schemas, report
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.services.what_if import WhatIfService
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.queries import SchemaList, WhatIfQuery
from fraudstream.dashboard.web.routing import Api
from fraudstream.errors import ModelError, ModelNamedDirectly
from fraudstream.messages.answers import ActiveModel, Aliases, NewDeployment, WhatIf, answer
from fraudstream.messages.base import Object
from fraudstream.messages.requests import Alias, Command, NewThreshold, RemovedAlias
from fraudstream.model.deployment.aliases import declare_alias, remove_alias
from fraudstream.model.deployment.current import Deployment, DeploymentChange, changeable_models_dir
from fraudstream.model.deployment.registry import history
from fraudstream.model.evaluation.thresholds import set_threshold
from fraudstream.store.changes import Actor
from fraudstream.store.store import AlertStore
from fraudstream.transactions.cards import masked_text

LISTED_CHANGES: Final = 10


class FormerChange(NamedTuple):
    """A past change of the deployment, with the threshold `before` it (None if no model was active).

    `what` else it changed; `can_undo` is whether it is the newest one and changed only the threshold.
    """

    change: DeploymentChange
    before: float | None
    what: str
    can_undo: bool


api = Api("model")


@dataclass(frozen=True)
class ModelViews:
    """Shows and changes the active model's threshold and aliases."""

    model: Path
    store: AlertStore
    statistics: Statistics
    deployments: Deployments
    what_if: WhatIfService
    actors: Actors

    @api.operation("GET", "/api/what-if", WhatIf, 409)
    def show_what_if(self, query: WhatIfQuery) -> object:
        """The effect of another threshold, from three sources."""
        return self.what_if.at(query.threshold, query.review_cost).document(with_curve=query.curve == 1)

    @api.operation("POST", "/api/threshold", NewDeployment, 409, 422)
    def deploy_threshold(self, body: NewThreshold) -> object:
        """Deploy a threshold, if the active revision is the one that the analyst saw."""
        who = self.actors.require(body.who).name
        write = partial(set_threshold, value=body.threshold, revision=body.revision)
        change = self.deployments.change(write, who, body.why.strip())
        deployment = {name: change.after[name] for name in ActiveModel.model_fields}
        former_threshold = (change.before or {}).get("threshold")
        return deployment | {"former_threshold": former_threshold, "change_id": change_of(change)[0].change_id}

    @api.operation("GET", "/api/schemas", Schemas)
    def schemas(self, query: SchemaList) -> object:
        """The stream's schemas compared with the model's contract, and suggested aliases."""
        return self.schema_report(limit=query.limit)

    @api.operation("POST", "/api/schema/aliases", Aliases, 409, 422)
    def declare(self, body: Alias) -> object:
        """Declare a column as the alias of a feature, from the next revision on."""
        return self._realias(body, partial(declare_alias, new=body.new, old=body.old), "declared on the dashboard")

    @api.operation("POST", "/api/schema/aliases/remove", Aliases, 409, 422)
    def remove(self, body: RemovedAlias) -> object:
        """Remove an alias."""
        return self._realias(body, partial(remove_alias, new=body.new), "removed on the dashboard")

    @api.operation(
        "POST", "/api/schema/suggestions/refuse", answer("RefusedAlias", new=str, old=str, refused=Literal[True]), 422
    )
    def refuse(self, body: Alias) -> object:
        """Never suggest this alias again."""
        who = self._who(body)
        self.store.refuse_alias(body.new, body.old, who=who.name, why=body.why or "", session=who.session)
        return {"new": body.new, "old": body.old, "refused": True}

    def former_changes(self) -> list[FormerChange]:
        """Return the latest changes of the deployment, the newest first; none if they cannot be read."""
        try:
            newest = history(changeable_models_dir(self.model))[: -LISTED_CHANGES - 1 : -1]
        except (ModelNamedDirectly, ModelError):
            return []
        changes = []
        for index, each in enumerate(newest):
            before, what = (each.before or {}).get("threshold"), masked_text(_other(each.before or {}, each.after))
            can_undo = index == 0 and before not in (None, each.after["threshold"]) and not what
            change = replace(each, who=masked_text(each.who), why=masked_text(each.why))
            changes.append(FormerChange(change, before, what, can_undo))
        return changes

    def schema_report(self, *, limit: int = LISTED_SCHEMAS) -> Schemas:
        """Return the schema report of this dashboard."""
        try:
            changeable_models_dir(self.model)
            changeable = True
        except ModelNamedDirectly:
            changeable = False
        statistics = self.statistics
        return report(self.store, statistics.columns, statistics.contract(), changeable=changeable, limit=limit)

    def _who(self, body: Command) -> Actor:
        acting = self.actors.current(body.who)
        return acting if acting.name else Actor("dashboard", session=acting.session)

    def _realias(self, body: Alias | RemovedAlias, write: Callable[..., Deployment], why: str) -> Object:
        after = self.deployments.change(write, self._who(body).name, body.why or why).after
        return {name: after[name] for name in ("aliases", "model_id", "revision")}


def _other(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Describe the other changes."""
    if not before:
        return f"first deployment: {after['model_id']}"
    changes = []
    if before.get("model_id") != after["model_id"]:
        changes.append(f"model {after['model_id']}")
    if before.get("aliases", {}) != after.get("aliases", {}):
        changes.append("aliases")
    return " and ".join(changes)
