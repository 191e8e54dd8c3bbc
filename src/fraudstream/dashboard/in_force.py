"""What the pages show of the model in force, read from `models/current`; what it means is `model/`'s."""

from collections.abc import Callable
from pathlib import Path

from fraudstream.alerts.minutes import Label
from fraudstream.dashboard.stats import ModelInForce
from fraudstream.errors import ModelError
from fraudstream.model.aliases import contract_of, read_manifest
from fraudstream.model.artifact import is_artifact
from fraudstream.model.current import CURRENT_FILE, InForce, read_current
from fraudstream.model.manifest import Manifest


def model_in_force(path: Path) -> Callable[[], ModelInForce | None]:
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

    def read() -> ModelInForce | None:
        try:
            current = None
            if is_artifact(path):
                manifest = manifest_of(path)
                in_force = InForce(manifest.model_id, manifest.threshold)
            else:
                current = path / CURRENT_FILE if path.is_dir() else path
                in_force = read_current(current)
                manifest = manifest_of(current.parent / in_force.model_id)
        except (ModelError, OSError):
            return None
        return ModelInForce(
            manifest.model_id,
            in_force.threshold,
            manifest.unseen_from_row,
            manifest.training_data.fingerprint,
            contract_of(manifest, in_force),
            None if current is None else current.parent,
            None if current is None else in_force,
            Label(manifest.label, manifest.label_values.fraud),
        )

    return read
