"""Puts another threshold in force for a person; what it would do is `what_if.py`'s.

It is written by `model/`, as by `fraudstream threshold`; `revisions.py` records it like every other revision.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from fraudstream.alerts.changes import Actor
from fraudstream.dashboard.parts import Parts
from fraudstream.dashboard.rescoring import in_force_at
from fraudstream.dashboard.revisions import recorded
from fraudstream.errors import ModelError, ModelNamedDirectly
from fraudstream.model.current import change_between, changeable_models_dir
from fraudstream.model.registry import history
from fraudstream.model.thresholds import set_threshold
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


def change(using: Parts, who: Actor, threshold: float, why: str, revision: int) -> dict[str, Any]:
    """Deploy a threshold while `revision`, which the person saw, is active; returns the deployment and the one before.

    Raises SettingsError where it is no score, ChangedMeanwhile for another revision, or ModelError.
    """
    before = in_force_at(using.settings.model)
    after = set_threshold(
        using.settings.model, value=threshold, revision=revision, who=who.name, why=why, now=using.clock()
    )
    # Within a second it would be recorded anyhow; so it is there when the page asks.
    using.revisions.look()
    return {
        "model_id": after.model_id,
        "threshold": after.threshold,
        "former_threshold": before.threshold,
        "revision": after.revision,
        "who": after.who,
        "when": after.when,
        "why": after.why,
        "change_id": recorded(change_between(asdict(before), asdict(after)))[0].change_id,
    }


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
