"""The artifact: written once, the same when read again, and refused when anything in it is not as written."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from fraudstream.errors import ModelCorrupt, ModelError, ModelNotFound
from fraudstream.history.spec import HistoryEntity, HistorySpec, with_features
from fraudstream.model.artifact import ModelArtifact, load_artifact, write_artifact
from fraudstream.model.calibration import IDENTITY, Calibration
from fraudstream.model.manifest import (
    HISTORY_FORMAT,
    MANIFEST_FORMAT,
    Feature,
    FeatureType,
    LabelValues,
    Manifest,
    Metrics,
    Period,
    SplitRecord,
    TrainingData,
    manifest_from_json,
    manifest_to_json,
)
from fraudstream.model.training.recipe import require_complete

MANIFEST = Manifest(
    model_id="logistic-regression-0123456789ab",
    algorithm="logistic-regression",
    features=(Feature("Amount", FeatureType.NUMBER, 22.0, 0.0, 900.5, 0.1, 700.0),),
    missing_limit=0,
    label="Class",
    label_values=LabelValues("0", "1"),
    time_column="Time",
    unseen_from_row=80,
    unseen_from_time=None,
    threshold=0.1,
    threshold_rule="maximises F1",
    metrics=Metrics("test period", reliable=True, average_precision=0.75),
    split=SplitRecord("time column 'Time'", Period(80, 8, "0", "79"), Period(20, 2, "60", "79"), None),
    training_data=TrainingData("a.csv", "ff" * 32, 100, 10),
    legitimate_share=1.0,
    seed=1,
    parameters={"maxIter": 100, "regParam": 0.0},
    excluded={"Time": "orders the rows"},
    warnings=(),
    versions={"pyspark": "4.2.0"},
    files={},
)


def save(scaler: Path, classifier: Path) -> None:
    (scaler / "metadata").mkdir(parents=True)
    (scaler / "metadata" / ".part-0.crc").write_bytes(b"sum")
    (scaler / "metadata" / "part-0").write_text("a scaler")
    classifier.mkdir()
    (classifier / "data").write_text("a classifier")


@pytest.fixture
def artifact(tmp_path: Path) -> ModelArtifact:
    return write_artifact(tmp_path / "models", MANIFEST, save)


def test_what_was_written_is_read_again(artifact: ModelArtifact) -> None:
    assert artifact.path.name == MANIFEST.model_id
    assert load_artifact(artifact.path) == artifact
    assert replace(artifact.manifest, files={}) == MANIFEST
    assert set(artifact.manifest.files) == {
        "scaler_model/metadata/.part-0.crc",
        "scaler_model/metadata/part-0",
        "fraud_detection_model/data",
    }
    assert [entry.name for entry in artifact.path.parent.iterdir()] == [MANIFEST.model_id]


def test_an_artifact_is_never_changed_once_written(artifact: ModelArtifact) -> None:
    again = write_artifact(artifact.path.parent, replace(MANIFEST, threshold=0.9), save)
    assert again.manifest.threshold == MANIFEST.threshold


def test_a_failed_save_leaves_no_artifact(tmp_path: Path) -> None:
    def fail(scaler: Path, classifier: Path) -> None:
        scaler.mkdir()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_artifact(tmp_path, MANIFEST, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_named(artifact: ModelArtifact) -> None:
    changed = artifact.classifier_path / "data"
    changed.write_text("another classifier")
    with pytest.raises(ModelCorrupt, match="changed") as error:
        load_artifact(artifact.path)
    assert error.value.where == str(changed)
    assert "train" in error.value.remedy


def test_a_missing_file_is_named(artifact: ModelArtifact) -> None:
    missing = artifact.scaler_path / "metadata" / "part-0"
    missing.unlink()
    with pytest.raises(ModelCorrupt, match="missing") as error:
        load_artifact(artifact.path)
    assert error.value.where == str(missing)


def test_a_file_too_many_is_named_and_never_unpickled(artifact: ModelArtifact) -> None:
    extra = artifact.path / "model.pkl"
    extra.write_bytes(pickle.dumps(MANIFEST))
    with pytest.raises(ModelCorrupt, match="not in its manifest") as error:
        load_artifact(artifact.path)
    assert error.value.where == str(extra)


def test_a_changed_manifest_is_refused(artifact: ModelArtifact) -> None:
    path = artifact.path / "manifest.json"
    content = json.loads(path.read_text())
    content["threshold"] = 0.999
    path.write_text(json.dumps(content))
    with pytest.raises(ModelCorrupt, match="manifest was changed") as error:
        load_artifact(artifact.path)
    assert error.value.where == str(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"model_id": 7}'])
def test_a_manifest_that_is_none_is_refused(artifact: ModelArtifact, text: str) -> None:
    (artifact.path / "manifest.json").write_text(text)
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        load_artifact(artifact.path)


def test_where_no_artifact_is_the_remedy_is_to_train(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as error:
        load_artifact(tmp_path / "none")
    assert "fraudstream train --data" in error.value.remedy


def test_a_manifest_of_an_earlier_format_is_read_without_a_calibration(artifact: ModelArtifact) -> None:
    path = artifact.path / "manifest.json"
    content = json.loads(path.read_text())
    for key in ("manifest_sha256", "calibration", "requested"):
        del content[key]
    content["format"] = 2
    seal = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    path.write_text(json.dumps({**content, "manifest_sha256": seal}))
    manifest = load_artifact(artifact.path).manifest
    assert (manifest.format, manifest.calibration, manifest.requested) == (2, IDENTITY, "")


def test_a_calibration_and_what_lies_beside_are_kept_and_verified(tmp_path: Path) -> None:
    calibrated = replace(MANIFEST, calibration=Calibration(2.0, 0.5, -1.25))
    artifact = write_artifact(tmp_path, calibrated, save, {"evaluation.json": b"{}"})
    assert load_artifact(artifact.path).manifest.calibration == Calibration(2.0, 0.5, -1.25)
    (artifact.path / "evaluation.json").write_bytes(b"{ }")
    with pytest.raises(ModelCorrupt, match="changed") as error:
        load_artifact(artifact.path)
    assert error.value.where.endswith("evaluation.json")


def test_a_model_whose_parts_are_on_other_hosts_is_refused(tmp_path: Path) -> None:
    saved = tmp_path / "scaler_model"
    for name in ("metadata", "data"):
        (saved / name).mkdir(parents=True)
        (saved / name / "_SUCCESS").touch()
        (saved / name / "part-00000").touch()
    require_complete(saved)
    (saved / "data" / "part-00000").unlink()
    with pytest.raises(ModelError, match="not complete") as error:
        require_complete(saved)
    assert error.value.where == str(saved / "data")
    assert "shared mount" in error.value.remedy


def test_only_a_manifest_with_history_has_another_format() -> None:
    plain = orjson.loads(manifest_to_json(MANIFEST))
    assert "history" not in plain
    assert plain["format"] == MANIFEST_FORMAT
    entities = (HistoryEntity("card", "card_id"), HistoryEntity("terminal", "terminal_id"))
    history = with_features(HistorySpec(entities, time="at", amount="Amount", clock=1000))
    written = manifest_to_json(replace(MANIFEST, history=history))
    again = manifest_from_json(written, Path("manifest.json"))
    assert again.history == history
    assert again.format == HISTORY_FORMAT
