"""`fraudstream models` and the history of deployments: who, when, why, before and after, and the way back."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from columns import NOW
from fraudstream.cli import options
from fraudstream.cli.entry import cli
from fraudstream.errors import ModelCorrupt, ModelNotFound
from fraudstream.interface import load
from fraudstream.model.deployment.current import HISTORY_FILE, Deployment, deploy, read_current, write_deployment
from fraudstream.model.deployment.registry import aliases_at, history, roll_back
from fraudstream.model.manifest import Refit
from saved_models import linear_manifest, linear_model

ONE, TWO, THREE = (f"logistic-regression-{digit * 12}" for digit in "123")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for number, model_id in enumerate((ONE, TWO, THREE)):
        path = linear_model(tmp_path, model_id, linear_manifest(model_id)).path
        os.utime(path / "manifest.json", (1e9 + number, 1e9 + number))
    return tmp_path


def use(models: Path, model_id: str, threshold: float = 0.5, aliases: Mapping[str, str] | None = None) -> Deployment:
    why = f"use {model_id[-1]}"
    if aliases is None:
        return deploy(models, model_id, threshold, who="ann", why=why, now=NOW)
    return write_deployment(models, Deployment(model_id, threshold, aliases), who="ann", why=why, now=NOW)


def back(models: Path) -> str:
    return roll_back(models, who="ben", why="worse", now=NOW + timedelta(hours=1)).model_id


def run(*arguments: Sequence[object] | object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=True)


def document_of(*arguments: object) -> Any:
    answer = run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return orjson.loads(answer.stdout)


def test_each_change_is_a_line_with_who_when_why_before_and_after(models: Path) -> None:
    use(models, ONE)
    use(models, TWO, 0.6, aliases={"v": "V1"})
    first, second = history(models)
    assert (first.before, first.after["model_id"], first.restores) == (None, ONE, None)
    assert (second.who, second.why, second.when) == ("ann", "use 2", "2026-01-02T03:04:05.000+00:00")
    assert second.before == first.after
    assert second.after == {
        "model_id": TWO, "threshold": 0.6, "aliases": {"v": "V1"}, "revision": 2,
        "who": "ann", "when": "2026-01-02T03:04:05.000+00:00", "why": "use 2",
    }  # fmt: skip


def test_going_back_twice_goes_back_two_changes_and_no_further(models: Path) -> None:
    use(models, ONE, 0.1)
    use(models, TWO, 0.2, aliases={"v": "V1"})
    use(models, THREE, 0.3, aliases={})
    assert back(models) == TWO
    current = read_current(models / "current")
    assert (current.threshold, dict(current.aliases), current.revision, current.why) == (0.2, {"v": "V1"}, 4, "worse")
    assert back(models) == ONE
    assert [change.restores for change in history(models)] == [None, None, None, 2, 1]
    with pytest.raises(ModelNotFound, match="there is no earlier deployment"):
        back(models)
    assert read_current(models / "current").revision == 5


def test_after_going_back_a_new_change_is_what_is_undone_next(models: Path) -> None:
    use(models, ONE)
    use(models, TWO)
    assert back(models) == ONE
    use(models, THREE)
    assert back(models) == ONE


def test_an_unknown_revision_has_the_active_aliases(models: Path) -> None:
    use(models, ONE, aliases={"v": "V1"})
    assert aliases_at(models, 99) == {"v": "V1"}


def test_an_alias_is_a_change_that_can_be_gone_back_on(models: Path) -> None:
    use(models, ONE)
    use(models, ONE, aliases={"v": "V1"})
    assert back(models) == ONE
    assert dict(read_current(models / "current").aliases) == {}
    assert [aliases_at(models, revision) for revision in (1, 2, 3)] == [{}, {"v": "V1"}, {}]


def test_a_model_that_is_gone_is_not_gone_back_to(models: Path) -> None:
    use(models, ONE)
    use(models, TWO)
    (models / ONE / "manifest.json").unlink()
    with pytest.raises(ModelNotFound, match="previously active model is missing"):
        back(models)
    assert read_current(models / "current").model_id == TWO


def test_missing_history_is_entered_with_the_next_change(
    models: Path,
) -> None:
    use(models, ONE)
    (models / HISTORY_FILE).unlink()
    use(models, TWO)
    with (models / HISTORY_FILE).open("ab") as file:
        file.write(b'{"when": "2026')
    assert [change.after["model_id"] for change in history(models)] == [ONE, TWO]
    use(models, THREE)
    assert [change.revision for change in history(models)] == [1, 2, 3]
    assert back(models) == TWO


def test_writers_at_once_leave_one_line_each_in_order(models: Path) -> None:
    writers = [threading.Thread(target=lambda: [use(models, ONE) for _ in range(10)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    changes = history(models)
    assert [change.revision for change in changes] == list(range(1, 41))
    assert all(change.before == before.after for before, change in itertools.pairwise(changes))


def test_the_list_has_the_newest_first_and_marks_the_active_model(models: Path) -> None:
    use(models, TWO)
    listed = document_of("models", "list", "--models", models)
    assert [(each["model_id"], each["in_force"]) for each in listed] == [(THREE, False), (TWO, True), (ONE, False)]
    assert f"▶  {TWO}" in run("models", "list", "--models", models).stdout


def test_use_and_rollback_by_command_with_the_beginning_of_an_id(models: Path) -> None:
    assert "needs" not in run("models", "use", "logistic-regression-2", "--models", models, "--why", "better").output
    answer = run("models", "use", ONE, "--threshold", "0.25", "--who", "eve", "--why", "cheaper", "--models", models)
    assert answer.stdout.startswith(f"revision 2: {ONE} at threshold 0.25 is deployed")
    assert f"{TWO} at threshold 0.5" in run("models", "rollback", "--why", "no", "--models", models).stdout
    newest = document_of("models", "history", "--models", models)[0]
    assert (newest["why"], newest["restores"], newest["after"]["model_id"]) == ("no", 1, TWO)
    assert "back to revision 1" in run("models", "history", "--models", models).stdout


def test_a_change_without_a_why_or_of_an_unclear_id_is_refused(models: Path) -> None:
    assert "--why" in run("models", "use", ONE, "--models", models).output
    unclear = run("models", "use", "logistic", "--why", "x", "--models", models)
    assert isinstance(unclear.exception, ModelNotFound)
    assert "3 models match" in str(unclear.exception)
    assert not (models / "current").exists()


def test_a_damaged_model_is_listed_reported_by_verify_and_never_deployed(models: Path) -> None:
    use(models, TWO)
    part = next((models / ONE / "scaler_model" / "data").iterdir())
    part.write_bytes(part.read_bytes() + b"x")
    answer = run("models", "verify", "--models", models)
    assert isinstance(answer.exception, ModelCorrupt)
    assert "1 of 3 models are damaged" in str(answer.exception)
    assert f"{ONE}: a file of the model was changed" in answer.stdout
    assert f"{TWO}: 2 files are unchanged" in answer.stdout
    assert isinstance(run("models", "use", ONE, "--why", "x", "--models", models).exception, ModelCorrupt)
    (models / ONE / "manifest.json").write_text("{}")
    listed = {each["model_id"]: each["trouble"] for each in document_of("models", "list", "--models", models)}
    assert listed[ONE] == "the manifest cannot be read"
    assert read_current(models / "current").model_id == TWO


def test_two_models_are_compared_by_what_they_do_not_share(models: Path) -> None:
    other = linear_manifest("gbt-1")
    linear_model(models, "gbt-1", other.__class__(**{**vars(other), "algorithm": "gbt", "threshold": 0.75}))
    comparison = document_of("models", "compare", ONE, "gbt-1", "--models", models)
    assert comparison["differences"] == {
        "algorithm": ["logistic-regression", "gbt"],
        "recommended threshold": [0.5, 0.75],
    }
    assert not comparison["comparable"]
    assert "cannot be compared" in run("models", "compare", ONE, "gbt-1", "--models", models).stdout


def test_a_model_is_found_by_its_name_or_a_tag_and_lists_them(models: Path) -> None:
    named = replace(linear_manifest("gbt-1"), name="no amounts", note="tried for Ann", tags=("weekly", "trial"))
    linear_model(models, "gbt-1", named)
    linear_model(models, "gbt-2", replace(linear_manifest("gbt-2"), name="with amounts", tags=("trial",)))
    for text in ("no amounts", "weekly", "gbt-1"):
        assert document_of("models", "show", text, "--models", models)["model_id"] == "gbt-1"
    assert "tried for Ann" in run("models", "show", "weekly", "--models", models).stdout
    listing = CliRunner().invoke(cli, ["models", "list", "--models", str(models)], env={"COLUMNS": "160"}).stdout
    assert "no amounts, weekly, trial" in listing
    listed = {each["model_id"]: each["tags"] for each in document_of("models", "list", "--models", models)}
    assert listed["gbt-1"] == ["weekly", "trial"]
    both = run("models", "use", "trial", "--why", "x", "--models", models).exception
    assert isinstance(both, ModelNotFound)
    assert "gbt-1" in both.remedy
    assert "gbt-2" in both.remedy


def test_an_exact_name_or_tag_comes_before_the_beginning_of_an_id(models: Path) -> None:
    for model_id, text in (("gbt-1", "logistic"), ("gbt-2", "gbt")):
        linear_model(models, model_id, replace(linear_manifest(model_id), name=text, tags=(f"{text}-",)))
        for each in (text, f"{text}-"):
            assert document_of("models", "show", each, "--models", models)["model_id"] == model_id
    assert document_of("models", "show", "logistic-regression-1", "--models", models)["model_id"] == ONE


def test_force_without_deploy_is_refused(models: Path) -> None:
    forced = run("train", "--data", models / "none.csv", "--models", models, "--force")
    assert (forced.exit_code, "--deploy" in forced.output) == (2, True)


def test_models_are_not_compared_on_a_file_that_has_changed(models: Path) -> None:
    data = models / "payments.csv"
    data.write_text("Time,V1,Class\n1,2,0\n2,3,1\n")
    newer = linear_manifest("gbt-1")
    training_data = replace(newer.training_data, paths=(str(data),), fingerprint="0" * 64)
    linear_model(models, "gbt-1", replace(newer, training_data=training_data))
    assert "--data FILE" in run("models", "compare", ONE, "gbt-1", "--models", models).stdout


def test_models_without_their_data_are_compared_once_some_are_named(models: Path) -> None:
    assert document_of("models", "compare", ONE, TWO, "--models", models)["comparison"] is None
    assert "--data FILE" in run("models", "compare", ONE, TWO, "--models", models).stdout


def test_a_model_fitted_again_says_which_figures_are_of_which_fit(models: Path) -> None:
    linear_model(models, "gbt-1", replace(linear_manifest("gbt-1"), refit=Refit(4321, 20, "metrics of the fit before")))
    assert "metrics of the fit before" in run("models", "show", "gbt-1", "--models", models).stdout
    assert document_of("models", "show", "gbt-1", "--models", models)["manifest"]["refit"]["frauds"] == 20
    comparison = document_of("models", "compare", ONE, "gbt-1", "--models", models)
    assert comparison["differences"]["rows of the deployed fit"][1] == 4321
    assert "the one that was evaluated" in run("models", "show", ONE, "--models", models).stdout


def test_a_model_is_shown_with_all_that_it_says_of_itself(models: Path) -> None:
    document = document_of("models", "show", ONE, "--models", models)
    assert document["manifest"]["features"][0]["name"] == "V1"
    assert "2, each with its sha256" in " ".join(run("models", "show", ONE, "--models", models).stdout.split())


def test_every_way_to_name_a_model_finds_it_with_its_deployment(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(models, TWO, 0.6)
    monkeypatch.setenv("FRAUDSTREAM_MODELS", str(models))
    monkeypatch.chdir(models.parent)
    active, other = models / "current", models / ONE
    names = {"current": active, TWO: active, TWO[:-5]: active, ONE[:-5]: other, str(other): other, str(active): active}
    for name, path in names.items():
        assert options.load_settings(model=Path(name)).model == path
        assert load(name).in_force.threshold == (0.6 if path == active else linear_manifest(ONE).threshold)
    assert options.load_settings().model == Path("models/current")
    with pytest.raises(ModelNotFound, match="3 models match 'log'"):
        load("log")
    assert document_of("models", "show", "current")["model_id"] == TWO
    assert document_of("models", "compare", "current", ONE)["a"] == TWO
