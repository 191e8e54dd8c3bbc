"""What the pages show of the model in force, read from `models/current`; what it means is `model/`'s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fraudstream.dashboard.stats import ModelInForce
from fraudstream.errors import ModelError
from fraudstream.model.artifact import MANIFEST_FILE, is_artifact
from fraudstream.model.current import CURRENT_FILE, read_current
from fraudstream.model.manifest import Manifest, manifest_from_json


def model_in_force(path: Path) -> Callable[[], ModelInForce | None]:
    """A function that tells the model in force at `path` now; None while there is none that can be read.

    It is called once a second: `current` is read each time, a manifest once.
    """
    manifests: dict[Path, Manifest] = {}

    def manifest_of(artifact: Path) -> Manifest:
        if artifact not in manifests:
            manifests.clear()
            file = artifact / MANIFEST_FILE
            manifests[artifact] = manifest_from_json(file.read_bytes(), file)
        return manifests[artifact]

    def read() -> ModelInForce | None:
        try:
            if is_artifact(path):
                manifest = manifest_of(path)
                threshold = manifest.threshold
            else:
                current = path / CURRENT_FILE if path.is_dir() else path
                in_force = read_current(current)
                manifest = manifest_of(current.parent / in_force.model_id)
                threshold = in_force.threshold
        except (ModelError, OSError):
            return None
        return ModelInForce(manifest.model_id, threshold, manifest.unseen_from_row, manifest.training_data.fingerprint)

    return read
