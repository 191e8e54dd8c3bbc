"""Models that somebody crafted: links, pipes, devices and huge sizes end in an error, soon and in little memory."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.errors import ModelCorrupt, ModelError
from fraudstream.model.artifact import MANIFEST_FILE, MOST_FILE_BYTES, MOST_MANIFEST_BYTES, load_artifact
from fraudstream.model.deployment.current import CURRENT_FILE, MOST_CURRENT_BYTES, read_current
from fraudstream.model.deployment.registry import list_models, verify_models
from fraudstream.model.explanation.spark_files import MOST_COMPONENTS, MOST_ROWS, read_moments, read_rows
from saved_models import linear_model


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return linear_model(tmp_path / "models").path


def trouble(models_dir: Path) -> str:
    (verified,) = verify_models(models_dir)
    return verified.trouble


def test_a_linked_folder_within_an_artifact_is_refused(artifact: Path, tmp_path: Path) -> None:
    assert trouble(artifact.parent) == ""
    saved = artifact / "scaler_model"
    saved.rename(tmp_path / "elsewhere")
    saved.symlink_to(tmp_path / "elsewhere")
    # The same bytes, today; whoever owns the other folder can change them unseen.
    assert "it is a link" in trouble(artifact.parent)
    with pytest.raises(ModelCorrupt, match="it is a link"):
        load_artifact(artifact)


def test_a_further_linked_folder_is_refused(artifact: Path, tmp_path: Path) -> None:
    (artifact / "more").symlink_to(tmp_path)
    assert "it is a link" in trouble(artifact.parent)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "huge"])
def test_what_is_no_file_of_a_model_is_refused_at_once(artifact: Path, kind: str) -> None:
    file = artifact / "more"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "loop":
        file.symlink_to(file)
    else:
        with file.open("wb") as sparse:
            sparse.truncate(MOST_FILE_BYTES + 1)
    with pytest.raises(ModelCorrupt, match="cannot be read") as error:
        load_artifact(artifact)
    assert error.value.where == str(file)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "huge"])
def test_a_manifest_or_current_that_is_no_file_is_refused_at_once(artifact: Path, kind: str) -> None:
    for file, most in ((artifact / MANIFEST_FILE, MOST_MANIFEST_BYTES), (artifact.parent / "now", MOST_CURRENT_BYTES)):
        file.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "loop":
            file.symlink_to(file)
        else:
            with file.open("wb") as sparse:
                sparse.truncate(most + 1)
        with pytest.raises(ModelError, match="cannot be read"):
            load_artifact(artifact) if file.name == MANIFEST_FILE else read_current(file)
    list_models(artifact.parent)


def test_a_pipe_in_place_of_current_is_refused_by_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CURRENT_FILE)
    with pytest.raises(ModelError, match="it is not a regular file") as error:
        read_current(tmp_path / CURRENT_FILE)
    assert error.value.remedy


def test_sizes_that_no_model_has_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    vector = {"type": 0, "size": MOST_COMPONENTS + 1, "indices": [0], "values": [1.0]}
    (tmp_path / "scaler" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([{"mean": vector, "std": vector}]), tmp_path / "scaler" / "data" / "a.parquet")
    with pytest.raises(ModelCorrupt, match="a vector of"):
        read_moments(tmp_path / "scaler")
    (tmp_path / "trees").mkdir()
    column = pa.DictionaryArray.from_arrays(pa.nulls(MOST_ROWS + 1, pa.int8()).fill_null(0), pa.array(["a"]))
    pq.write_table(pa.table({"a": column}), tmp_path / "trees" / "a.parquet")
    assert (tmp_path / "trees" / "a.parquet").stat().st_size < 1_000_000
    with pytest.raises(ModelCorrupt, match="more than any model"):
        read_rows(tmp_path / "trees")
