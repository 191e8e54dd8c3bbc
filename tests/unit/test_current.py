"""The deployment: one writer, revisions that grow, and readers that never meet a part of it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fraudstream.errors import ModelCorrupt, ModelError, ModelNotFound, SettingsError
from fraudstream.model.artifact import write_artifact
from fraudstream.model.deployment.current import Deployment, deploy, read_current, resolve, write_deployment
from fraudstream.model.manifest import LabelValues, Manifest, Metrics, Period, SplitRecord, TrainingData

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def manifest(model_id: str) -> Manifest:
    return Manifest(
        model_id=model_id,
        algorithm="gbt",
        features=(),
        missing_limit=0,
        label="Class",
        label_values=LabelValues("0", "1"),
        time_column=None,
        unseen_from_row=None,
        unseen_from_time=None,
        threshold=0.25,
        threshold_rule="",
        metrics=Metrics("nothing", reliable=False),
        split=SplitRecord("file order", Period(1, 1, "0", "0"), None, None),
        training_data=TrainingData("a.csv", "", 1, 1),
        legitimate_share=1.0,
        seed=1,
        parameters={},
        excluded={},
        warnings=(),
        versions={},
        files={},
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for model_id in ("gbt-1", "gbt-2"):
        write_artifact(tmp_path, manifest(model_id), lambda scaler, classifier: None)
    return tmp_path


def test_a_deployment_is_read_again(models: Path) -> None:
    put = write_deployment(models, Deployment("gbt-1", 0.5, {"sum": "Amount"}), who="ann", why="first", now=NOW)
    assert put == Deployment("gbt-1", 0.5, {"sum": "Amount"}, 1, "ann", "2026-01-02T03:04:05.000+00:00", "first")
    assert read_current(models / "current") == put


def test_each_change_is_the_next_revision_and_keeps_the_aliases(models: Path) -> None:
    write_deployment(models, Deployment("gbt-1", 0.5, {"sum": "Amount"}), who="ann", why="first", now=NOW)
    second = deploy(models, "gbt-2", 0.6, who="ben", why="better", now=NOW)
    third = write_deployment(models, Deployment("gbt-2", 0.6), who="ben", why="no aliases", now=NOW)
    assert (second.revision, dict(second.aliases)) == (2, {"sum": "Amount"})
    assert (third.revision, dict(third.aliases)) == (3, {})


def test_writers_at_once_lose_no_revision_and_readers_meet_no_part(models: Path) -> None:
    deploy(models, "gbt-1", 0.5, who="ann", why="first", now=NOW)
    done = threading.Event()
    revisions: list[int] = []

    def read() -> None:
        while not done.is_set():
            revisions.append(read_current(models / "current").revision)

    def write() -> None:
        for _ in range(20):
            deploy(models, "gbt-1", 0.5, who="ann", why="again", now=NOW)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(4)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert read_current(models / "current").revision == 81
    assert revisions == sorted(revisions)


def test_a_current_file_resolves_to_its_artifact(models: Path) -> None:
    put = deploy(models, "gbt-2", 0.7, who="ann", why="", now=NOW)
    for path in (models / "current", models):
        artifact, deployment = resolve(path)
        assert artifact.path == models / "gbt-2"
        assert deployment == put


def test_an_artifact_named_directly_brings_its_own_threshold(models: Path) -> None:
    deploy(models, "gbt-2", 0.7, who="ann", why="", now=NOW)
    artifact, deployment = resolve(models / "gbt-1")
    assert artifact.manifest.model_id == "gbt-1"
    assert (deployment.threshold, deployment.revision) == (0.25, 0)


@pytest.mark.parametrize("path", ["none/current", "none", "empty"])
def test_without_a_deployment_the_remedy_is_to_train(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFound) as error:
        resolve(tmp_path / path)
    assert "fraudstream train --data" in error.value.remedy


def test_an_artifact_that_is_gone_is_named(models: Path) -> None:
    deploy(models, "gbt-2", 0.7, who="ann", why="", now=NOW)
    (models / "gbt-2").rename(models / "elsewhere")
    with pytest.raises(ModelNotFound) as error:
        resolve(models / "current")
    assert error.value.where == str(models / "gbt-2")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model_id": "../other", "threshold": 0.5}', '{"model_id": "a"}'])
def test_a_current_that_is_none_is_refused(models: Path, text: str) -> None:
    (models / "current").write_text(text)
    with pytest.raises(ModelCorrupt):
        resolve(models / "current")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_threshold_that_is_no_probability_is_refused(models: Path, threshold: float) -> None:
    with pytest.raises(SettingsError):
        deploy(models, "gbt-1", threshold, who="", why="", now=NOW)
    assert not (models / "current").exists()


def test_a_missing_model_is_not_deployed(models: Path) -> None:
    with pytest.raises(ModelNotFound):
        deploy(models, "gbt-3", 0.5, who="", why="", now=NOW)


def test_a_place_that_cannot_be_written_is_an_error_of_ours(models: Path) -> None:
    (models / ".current.lock").mkdir()
    with pytest.raises(ModelError, match="cannot be written"):
        deploy(models, "gbt-1", 0.5, who="", why="", now=NOW)
