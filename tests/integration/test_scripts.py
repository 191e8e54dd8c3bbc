"""The four scripts' own part: where their files are, what they read of the settings, which master they ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.cli.machine import TOOLS, tool_class, tool_command
from fraudstream.config import Settings
from fraudstream.errors import ModelError, SettingsError
from fraudstream.model.artifact import ModelArtifact
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import with_enough_slots
from launch import copy_models, script_settings

PROJECT = Path(__file__).parents[2] / "fraud_detection_project"


def test_what_nobody_set_lies_beside_the_scripts(tmp_path: Path) -> None:
    settings = script_settings(tmp_path)
    assert settings.models == tmp_path / "models"
    assert settings.model == tmp_path / "models" / "current"
    assert settings.checkpoint == tmp_path / "checkpoint"
    assert settings.database == f"sqlite:///{tmp_path / 'alerts.db'}"
    assert settings.api == Settings.load().api


def test_environment_and_file_go_before_what_lies_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fraudstream.toml").write_text('models = "elsewhere"\nport = 5001\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAUDSTREAM_DATABASE", "sqlite:///other.db")
    settings = script_settings(tmp_path / "scripts")
    assert settings.models == Path("elsewhere")
    assert settings.model == Path("elsewhere/current")
    assert settings.database == "sqlite:///other.db"
    assert settings.checkpoint == tmp_path / "scripts" / "checkpoint"
    assert settings.api == "http://127.0.0.1:5001"


@pytest.mark.parametrize(("host", "api"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]")])
def test_the_relay_posts_to_where_the_dashboard_listens(
    host: str, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUDSTREAM_HOST", host)
    assert script_settings(tmp_path).api == f"http://{api}:5000"


@pytest.mark.parametrize("script", ["dashboard.py", "kafka_producer.py", "model.py", "spark_consumer.py"])
def test_a_python_without_fraudstream_learns_which_one_to_take(script: str) -> None:
    process = subprocess.run(
        [sys.executable, "-S", "-I", str(PROJECT / script)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert "source .venv/bin/activate" in process.stderr


@pytest.mark.parametrize(
    ("master_url", "master"),
    [
        ("local[*]", "local[5]"),
        ("local", "local[5]"),
        ("local[4]", "local[5]"),
        ("local[2, 3]", "local[5]"),
        ("local[6]", "local[6]"),
        ("spark://somewhere:7077", "spark://somewhere:7077"),
        ("local-cluster[2,1,1024]", "local-cluster[2,1,1024]"),
    ],
)
def test_a_local_master_with_too_few_slots_gets_enough(master_url: str, master: str) -> None:
    assert with_enough_slots(master_url, "local[5]", cores=2) == master


def test_a_local_master_stays_where_a_cluster_would_be_the_default() -> None:
    assert with_enough_slots("local[2]", "spark://somewhere:7077", cores=2) == "local[2]"


@pytest.mark.parametrize("name", ["topics", "kafka-topics", "kafka-topics.sh"])
def test_a_kafka_tool_is_known_by_its_name_and_that_of_its_script(name: str) -> None:
    assert tool_class(name) == TOOLS["topics"]


def test_an_unknown_kafka_tool_is_answered_with_those_there_are() -> None:
    with pytest.raises(SettingsError) as error:
        tool_class("mirror-maker")
    assert all(name in error.value.remedy for name in TOOLS)


def test_a_kafka_tool_gets_its_arguments_as_they_are() -> None:
    java = Java(Path("/java"), 17, "PATH")
    command = tool_command(TOOLS["topics"], ["--create", "--topic", "a b"], java, [Path("/x.jar"), Path("/y.jar")])
    assert command[0] == "/java/bin/java"
    assert "/x.jar:/y.jar" in command
    assert command[-4:] == [TOOLS["topics"], "--create", "--topic", "a b"]


def test_the_log_configuration_of_the_kafka_tools_exists() -> None:
    command = tool_command(TOOLS["topics"], [], Java(Path("/java"), 17, "PATH"), [])
    (option,) = [each for each in command if each.startswith("-Dlog4j2.configurationFile=")]
    assert Path(option.partition("=")[2]).is_file()


def saved(folder: Path, text: str) -> ModelArtifact:
    artifact = ModelArtifact(folder, manifest=None)  # type: ignore[arg-type]
    for path in (artifact.scaler_path, artifact.classifier_path):
        path.mkdir(parents=True)
        (path / "part").write_text(text)
    return artifact


def test_copies_of_the_models_replace_the_former_ones(tmp_path: Path) -> None:
    copy_models(saved(tmp_path / "first", "1"), tmp_path)
    (tmp_path / "scaler_model" / "of the former").touch()
    copy_models(saved(tmp_path / "second", "2"), tmp_path)
    assert [path.name for path in (tmp_path / "scaler_model").iterdir()] == ["part"]
    assert (tmp_path / "fraud_detection_model" / "part").read_text() == "2"
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "scaler_model", "fraud_detection_model"}


def test_copies_that_cannot_be_written_are_reported_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as failed:
        copy_models(saved(tmp_path / "first", "1"), tmp_path / "nowhere")
    assert "nowhere" in failed.value.where
