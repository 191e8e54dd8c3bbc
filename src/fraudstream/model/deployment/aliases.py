"""Declares and removes aliases: stream columns that are read as a feature of another name."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from fraudstream.errors import AliasRefused
from fraudstream.model.artifact import read_manifest
from fraudstream.model.deployment.current import (
    CURRENT_FILE,
    Deployment,
    changeable_models_dir,
    deployment_lock,
    read_current,
    read_model,
    write_deployment,
)
from fraudstream.model.manifest import Feature, Manifest
from fraudstream.transactions.drift import Contract


def contract_of(manifest: Manifest, deployment: Deployment) -> Contract:
    """Return the columns that an active model expects in a transaction."""
    others = {manifest.label, *manifest.excluded}
    if manifest.time_column is not None:
        others.add(manifest.time_column)
    return Contract(
        model_id=manifest.model_id,
        revision=deployment.revision,
        features={feature.name: feature.type.value for feature in _read_features(manifest)},
        aliases=dict(deployment.aliases),
        others=frozenset(others),
        missing_limit=manifest.missing_limit,
        quantiles={feature.name: feature.quantiles for feature in manifest.features if feature.quantiles},
    )


def _read_features(manifest: Manifest) -> list[Feature]:
    """Return the features that are columns of a transaction: those of the history are computed."""
    computed = () if manifest.history is None else manifest.history.names
    return [feature for feature in manifest.features if feature.name not in computed]


def declare_alias(model: Path, new: str, old: str, *, who: str, why: str, now: datetime) -> Deployment:
    """Read the stream's column `new` as the feature `old`, or as a column of the history, from the next revision on.

    Raises AliasRefused if there is no such one, `new` is itself a feature, or `old` already has an alias; else
    ModelNamedDirectly if `model` names an artifact, or ModelError.
    """
    models_dir = changeable_models_dir(model)
    with deployment_lock(models_dir):
        before = read_current(models_dir / CURRENT_FILE)
        manifest = read_manifest(models_dir / before.model_id)
        features = [feature.name for feature in _read_features(manifest)]
        features += () if manifest.history is None else (n for n in manifest.history.columns if n not in features)
        _check(new, old, before, features)
        after = replace(before, aliases={**before.aliases, new: old})
        return write_deployment(models_dir, after, who=who, why=why, now=now)


def remove_alias(model: Path, new: str, *, who: str, why: str, now: datetime) -> Deployment:
    """Stop reading the column `new` as a feature of another name from the next revision on.

    Raises AliasRefused if there is no such alias, else as `declare_alias`.
    """
    models_dir = changeable_models_dir(model)
    with deployment_lock(models_dir):
        before = read_current(models_dir / CURRENT_FILE)
        if new not in before.aliases:
            remedy = f"name one of: {', '.join(before.aliases) or 'there are none'}"
            raise AliasRefused(f"{new!r} is not an alias", where=before.model_id, remedy=remedy)
        after = replace(before, aliases={name: old for name, old in before.aliases.items() if name != new})
        return write_deployment(models_dir, after, who=who, why=why, now=now)


def active_contract(model: Path) -> Contract:
    """Return the contract of an artifact or of a `current` file; raises ModelError if it cannot be read."""
    return contract_of(*read_model(model))


def _check(new: str, old: str, deployment: Deployment, features: list[str]) -> None:
    where = deployment.model_id
    if old not in features:
        raise AliasRefused(
            f"the model has no feature {old!r}", where=where, remedy=f"name one of: {', '.join(features)}"[:500]
        )
    if not new or new in features:
        raise AliasRefused(
            f"{new!r} is itself a feature of the model" if new else "the new name is empty",
            where=where,
            remedy="write the stream's name first, then the feature's name: NEW=OLD",
        )
    taken = next((name for name, feature in deployment.aliases.items() if feature == old and name != new), None)
    if taken is not None:
        remedy = f"remove that alias first: fraudstream schema unalias {taken}"
        raise AliasRefused(f"{old!r} is already read from {taken!r}", where=where, remedy=remedy)
