"""Reads and changes the active model, and records each revision of `models/current` in the change log once.

Revisions are read from the history in the models directory, so that none is missed while the dashboard is down; each
change id is a hash of the revision, so that none is recorded twice.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.background import BackgroundService
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.errors import ModelError, StoreError
from fraudstream.messages.base import Object
from fraudstream.model.artifact import MANIFEST_FILE, read_manifest
from fraudstream.model.deployment.aliases import contract_of
from fraudstream.model.deployment.current import (
    Deployment,
    changeable_models_dir,
    current_file,
    read_changes,
    read_current,
    read_model,
)
from fraudstream.model.deployment.current import DeploymentChange as Revision
from fraudstream.model.deployment.registry import history
from fraudstream.model.manifest import Manifest
from fraudstream.store.changes import Action, Actor, Change, ChangeLog
from fraudstream.store.minutes import MinuteLabel
from fraudstream.times import parse_time


def deployed_model(path: Path) -> Callable[[], DeployedModel | None]:
    """Return a function that reads the active model at `path`; None while there is none that can be read.

    It is called once a second: `current` is read each time, a manifest once.
    """
    trained_us = 0

    @lru_cache(maxsize=1)
    def manifest_of(artifact: Path) -> Manifest:
        nonlocal trained_us
        trained_us = int((artifact / MANIFEST_FILE).stat().st_mtime * 1e6)  # an artifact is written once
        return read_manifest(artifact)

    def read() -> DeployedModel | None:
        try:
            manifest, deployment = read_model(path, manifest_of)
        except (ModelError, OSError):
            return None
        return DeployedModel(
            manifest.model_id,
            deployment.threshold,
            manifest.unseen_from_row,
            manifest.training_data.fingerprint,
            contract_of(manifest, deployment),
            MinuteLabel(manifest.label, manifest.label_values.fraud),
            trained_us,
        )

    return read


log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 15.0
STATE_FIELDS: Final = ("model_id", "threshold", "aliases", "revision")
"""The members of a deployment in a change, before and after; who, when and why belong to the change."""


class Deployments(BackgroundService):
    """Changes the active deployment, and records and publishes its revisions, whichever process made them.

    The history in the models directory is the only one; the change log has a copy of each of its entries. A thread,
    from `start` to `close`, looks for new ones once a second.
    """

    def __init__(
        self, model: Path, changes: ChangeLog, *, publish: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        super().__init__("revisions")
        self._model = model
        self._changes = changes
        self._publish = publish
        self._clock = clock
        self._recorded: Deployment | None = None
        self._lock = threading.Lock()

    def change(self, write: Callable[..., Deployment], who: str, why: str) -> Revision:
        """Change the deployment by a function such as `set_threshold`, record and publish the change, and return it."""
        after = write(self._model, who=who, why=why, now=self._clock())
        self.record()
        revisions = history(changeable_models_dir(self._model))
        return next(each for each in revisions if each.revision == after.revision)

    def record(self) -> bool:
        """Record and publish the revisions since the last call; return False if that failed, to be tried again."""
        current = current_file(self._model)
        if current is None:  # an artifact, which never changes
            return True
        with self._lock:
            try:
                deployment = read_current(current)
                if deployment == self._recorded:
                    return True
                revisions = read_changes(current.parent, asdict(deployment))
                self._changes.record_once([change_of(each) for each in revisions])
                self._publish()
            except ModelError:
                return True
            except (StoreError, SQLAlchemyError, OSError) as e:
                reason = e.what if isinstance(e, StoreError) else str(e)
                log.warning("cannot record a new deployment", reason=reason)
                return False
            self._recorded = deployment
        return True

    def _run(self) -> None:
        rest = POLL_SECONDS
        while not self._ending.wait(rest):
            rest = POLL_SECONDS if self.record() else RETRY_SECONDS


def change_of(revision: Revision) -> tuple[Change, datetime]:
    """Return a revision as a change, with the time at which it was deployed."""
    before, after = revision.before, revision.after
    digest = hashlib.sha256(orjson.dumps([after.get(name) for name in (*STATE_FIELDS, "when", "who")]))
    try:
        at = parse_time(revision.when)
    except ValueError:
        at = datetime.now(UTC)  # edited by hand
    change = Change(
        Actor(revision.who),
        _action(before, after),
        str(after["model_id"]),
        _state_fields(before),
        _state_fields(after),
        revision.why,
        change_id=digest.hexdigest()[:32],
    )
    return change, at


def _action(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Action:
    if before is None or before["model_id"] != after["model_id"]:
        return Action.MODEL
    return Action.ALIAS if before.get("aliases") != after.get("aliases") else Action.THRESHOLD


def _state_fields(state: Mapping[str, Any] | None) -> Object | None:
    return None if state is None else {name: state.get(name) for name in STATE_FIELDS}
