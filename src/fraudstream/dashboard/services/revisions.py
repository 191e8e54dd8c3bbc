"""Records each revision of `models/current` once, as it comes into force, and reads it.

The history that the models' directory keeps says what came between two looks, so that nothing is missed while the
dashboard is away; the name of each change is made of the revision, so that nothing is recorded twice.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.errors import ModelError, StoreError
from fraudstream.messages.base import Object
from fraudstream.model.artifact import is_artifact
from fraudstream.model.deployment.aliases import contract_of, read_manifest
from fraudstream.model.deployment.current import CURRENT_FILE, Deployment, read_changes, read_current
from fraudstream.model.deployment.current import Change as Revision
from fraudstream.model.manifest import Manifest
from fraudstream.store.changes import Action, Actor, Change, ChangeLog
from fraudstream.store.minutes import Label
from fraudstream.times import parse_time


def deployed_model(path: Path) -> Callable[[], DeployedModel | None]:
    """A function that tells the model in force at `path` now; None while there is none that can be read.

    It is called once a second: `current` is read each time, a manifest once.
    """
    manifests: dict[Path, Manifest] = {}

    def manifest_of(artifact: Path) -> Manifest:
        found = manifests.get(artifact)
        if found is None:
            found = read_manifest(artifact)
            manifests.clear()  # another thread may be here too: it has its own `found`
            manifests[artifact] = found
        return found

    def read() -> DeployedModel | None:
        try:
            current = None
            if is_artifact(path):
                manifest = manifest_of(path)
                deployment = Deployment(manifest.model_id, manifest.threshold)
            else:
                current = path / CURRENT_FILE if path.is_dir() else path
                deployment = read_current(current)
                manifest = manifest_of(current.parent / deployment.model_id)
        except (ModelError, OSError):
            return None
        return DeployedModel(
            manifest.model_id,
            deployment.threshold,
            manifest.unseen_from_row,
            manifest.training_data.fingerprint,
            contract_of(manifest, deployment),
            None if current is None else current.parent,
            None if current is None else deployment,
            Label(manifest.label, manifest.label_values.fraud),
        )

    return read


log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 15.0
SHOWN: Final = ("model_id", "threshold", "aliases", "revision")
"""What a change says of what was and is in force; who, when and why are the change's own."""


class RevisionWatch:
    """Looks at what is in force once a second, in its own thread from `start` to `close`."""

    def __init__(self, changes: ChangeLog, deployment: Callable[[], DeployedModel | None]) -> None:
        self._changes = changes
        self._deployment = deployment
        self._recorded: Deployment | None = None
        self._looking = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="revisions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> bool:
        """Record what has come into force since the last look; False where that failed: the next look does it."""
        found = self._deployment()
        if found is None or found.state is None or found.models_dir is None or found.state == self._recorded:
            return True
        with self._looking:
            try:
                revisions = read_changes(found.models_dir, asdict(found.state))
                self._changes.record_once([recorded(each) for each in revisions])
            except (StoreError, SQLAlchemyError, OSError) as e:
                reason = e.what if isinstance(e, StoreError) else str(e)
                log.warning("what came into force could not be recorded", reason=reason)
                return False
            self._recorded = found.state
        return True

    def _run(self) -> None:
        rest = LOOK_SECONDS
        while not self._ending.wait(rest):
            rest = LOOK_SECONDS if self.look() else RETRY_SECONDS


def recorded(revision: Revision) -> tuple[Change, datetime]:
    """A revision as a change, with the time at which it came into force."""
    before, after = revision.before, revision.after
    made = hashlib.sha256(orjson.dumps([after.get(name) for name in (*SHOWN, "when", "who")]))
    change = Change(
        Actor(revision.who),
        _action(before, after),
        str(after["model_id"]),
        _shown(before),
        _shown(after),
        revision.why,
        change_id=made.hexdigest()[:32],
    )
    return change, _instant(revision.when)


def _action(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Action:
    if before is None or before["model_id"] != after["model_id"]:
        return Action.MODEL
    return Action.ALIAS if before.get("aliases") != after.get("aliases") else Action.THRESHOLD


def _shown(state: Mapping[str, Any] | None) -> Object | None:
    return None if state is None else {name: state.get(name) for name in SHOWN}


def _instant(when: str) -> datetime:
    try:
        return parse_time(when)
    except ValueError:
        return datetime.now(UTC)  # written by hand
