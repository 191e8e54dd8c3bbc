"""Writes and verifies model artifacts: directories that are written once and checked at every load."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fraudstream.errors import ModelCorrupt, ModelError, ModelNotFound
from fraudstream.model.manifest import Manifest, manifest_from_json, manifest_to_json
from fraudstream.runtime.files import open_regular, read_regular

MANIFEST_FILE: Final = "manifest.json"
SCALER_DIRECTORY: Final = "scaler_model"
CLASSIFIER_DIRECTORY: Final = "fraud_detection_model"
EVALUATED_DIRECTORY: Final = "evaluated_fit"
MOST_MANIFEST_BYTES: Final = 64 * 1024 * 1024
MOST_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""A model of a thousand deep trees takes some hundred MB."""
TRAIN_REMEDY: Final = "train one: fraudstream train --data CSV"


@dataclass(frozen=True)
class ModelArtifact:
    """A verified artifact."""

    path: Path
    manifest: Manifest

    @property
    def scaler_path(self) -> Path:
        """The fitted StandardScalerModel, as Spark ML saves it."""
        return self.path / SCALER_DIRECTORY

    @property
    def classifier_path(self) -> Path:
        """The fitted classifier, as Spark ML saves it."""
        return self.path / CLASSIFIER_DIRECTORY

    @property
    def evaluated(self) -> "ModelArtifact | None":
        """The fit of the metrics, saved beside one that was fitted again afterwards; None if there is none."""
        path = self.path / EVALUATED_DIRECTORY
        return replace(self, path=path) if path.is_dir() else None


def is_artifact(path: Path) -> bool:
    """Return whether `path` looks like an artifact's directory, without verifying it."""
    try:
        return (path / MANIFEST_FILE).is_file()
    except PermissionError as e:
        raise ModelError(
            f"the model cannot be read: {e.strerror}", where=str(path), remedy="grant this user read access"
        ) from e


def read_manifest(artifact: Path) -> Manifest:
    """Read the manifest of an artifact, without verifying the checksums of its other files.

    Raises:
        ModelNotFound: There is no artifact.
        ModelCorrupt: It was changed, or is no manifest.
        ModelError: It cannot be read.
    """
    file = artifact / MANIFEST_FILE
    try:
        return manifest_from_json(read_regular(file, MOST_MANIFEST_BYTES), file)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ModelNotFound("there is no model artifact", where=str(artifact), remedy=TRAIN_REMEDY) from e
    except OSError as e:
        raise ModelError(
            f"the model's manifest cannot be read: {e.strerror}",
            where=str(file),
            remedy="grant this user read access, or train again: fraudstream train --data CSV",
        ) from e


def load_artifact(path: Path) -> ModelArtifact:
    """Read the manifest and verify the checksum of every file. Nothing is ever unpickled.

    Raises:
        ModelNotFound: There is no artifact at `path`.
        ModelCorrupt: A file is missing, changed or not in the manifest; names the first one.
    """
    manifest = read_manifest(path)
    _verify(path, manifest.files)
    return ModelArtifact(path, manifest)


def write_artifact(
    models_dir: Path,
    manifest: Manifest,
    save: Callable[[Path, Path], None],
    extra_files: Mapping[str, bytes] = MappingProxyType({}),
) -> ModelArtifact:
    """Write a new artifact at `models_dir/<model_id>`: in a temporary directory first, then renamed.

    `save` saves the scaler at the first path and the classifier at the second; `extra_files` maps further file names to
    contents. The manifest's `files` are filled in here. If another process has written the same artifact meanwhile,
    returns that one. Raises ModelError if the directory cannot be written.
    """
    target = models_dir / manifest.model_id
    try:
        with unfinished_directory(models_dir) as unfinished:
            draft = unfinished / manifest.model_id
            draft.mkdir()
            save(draft / SCALER_DIRECTORY, draft / CLASSIFIER_DIRECTORY)
            for name, content in extra_files.items():
                (draft / name).write_bytes(content)
            complete = replace(manifest, files=sums(draft))
            (draft / MANIFEST_FILE).write_bytes(manifest_to_json(complete))
            if not is_artifact(target):
                draft.rename(target)
    except OSError as e:
        if not is_artifact(target):
            raise _unwritable(target, e) from e
    return load_artifact(target)


@contextmanager
def unfinished_directory(models_dir: Path) -> Iterator[Path]:
    """Create a temporary directory beside the models, which the executors of a cluster can write; or ModelError."""
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(dir=models_dir, prefix=".unfinished-")
    except OSError as e:
        raise _unwritable(models_dir, e) from e
    with directory as unfinished:
        yield Path(unfinished)


def _unwritable(path: Path, e: OSError) -> ModelError:
    return ModelError(
        f"the model cannot be written: {e.strerror}", where=str(path), remedy="check the disk and --models"
    )


def sums(path: Path) -> Mapping[str, str]:
    """Return the sha256 of every file below `path` except the manifest, by relative POSIX path, in order.

    Raises OSError if a file cannot be read, is larger than any model's, or is not a regular file: the target of a link
    could be changed unnoticed.
    """
    files = sorted(entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir())
    return {entry.relative_to(path).as_posix(): _sum(entry) for entry in files if entry != path / MANIFEST_FILE}


def _sum(path: Path) -> str:
    if path.is_symlink():
        raise OSError(errno.EINVAL, "it is a link", str(path))
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_FILE_BYTES:,} bytes", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, expected: Mapping[str, str]) -> None:
    try:
        actual = sums(path)
    except OSError as e:
        raise ModelCorrupt(
            f"a file of the model cannot be read: {e.strerror}", where=str(e.filename or path), remedy=TRAIN_REMEDY
        ) from e
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            what = "a file of the model is missing"
        elif name not in expected:
            what = "a file of the model is not in its manifest"
        elif actual[name] != expected[name]:
            what = "a file of the model was changed after it was written (its sha256 differs from the manifest's)"
        else:
            continue
        raise ModelCorrupt(
            what, where=str(path / name), remedy=f"remove {path} and train again: fraudstream train --data CSV"
        )
