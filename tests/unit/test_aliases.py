"""Aliases in `current`: only such as fit the model, one writer at a time, nothing beside a named artifact."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from columns import MODEL_ID, NOW, SPREADS, manifest, model_with_contract
from fraudstream.errors import AliasRefused, ModelNamedDirectly, ModelNotFound
from fraudstream.history.spec import HistoryEntity, HistorySpec, LiveFeature, Measure
from fraudstream.model.artifact import write_artifact
from fraudstream.model.deployment.aliases import active_contract, declare_alias, remove_alias
from fraudstream.model.deployment.current import deploy, read_current


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return model_with_contract(tmp_path)


def declare(model: Path, new: str, old: str) -> None:
    declare_alias(model, new, old, who="ann", why="renamed upstream", now=NOW)


def test_an_alias_is_the_next_revision_with_who_when_and_why(current: Path) -> None:
    declare(current, "third", "V3")
    now = read_current(current)
    assert (dict(now.aliases), now.revision, now.model_id) == ({"third": "V3"}, 2, MODEL_ID)
    assert (now.who, now.why, now.when) == ("ann", "renamed upstream", "2026-01-02T03:04:05.000+00:00")
    remove_alias(current.parent, "third", who="ben", why="back again", now=NOW)
    assert (dict(read_current(current).aliases), read_current(current).revision) == ({}, 3)


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [("x", "V9", "no feature 'V9'"), ("V1", "V3", "a feature"), ("", "V3", "empty"), ("other", "V3", "from 'third'")],
)
def test_an_alias_that_does_not_fit_is_refused_and_changes_nothing(
    current: Path, new: str, old: str, reason: str
) -> None:
    declare(current, "third", "V3")
    with pytest.raises(AliasRefused, match=reason) as error:
        declare(current, new, old)
    assert error.value.remedy
    assert read_current(current).revision == 2


def test_an_alias_that_is_not_there_cannot_be_taken_back(current: Path) -> None:
    with pytest.raises(AliasRefused, match="not an alias"):
        remove_alias(current, "third", who="", why="", now=NOW)


def test_beside_an_artifact_that_was_named_directly_nothing_can_be_declared(current: Path) -> None:
    with pytest.raises(ModelNamedDirectly):
        declare(current.parent / MODEL_ID, "third", "V3")


def test_without_a_model_there_is_no_alias(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        declare(tmp_path / "current", "third", "V3")


def test_writers_at_once_lose_no_alias(current: Path) -> None:
    threads = [threading.Thread(target=declare, args=(current, f"new {name}", name)) for name in SPREADS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_current(current).aliases.values()) == set(SPREADS)


def test_another_model_keeps_the_aliases_and_the_contract_tells_them(current: Path) -> None:
    declare(current, "third", "V3")
    deploy(current.parent, MODEL_ID, 0.7, who="ann", why="", now=NOW)
    contract = active_contract(current)
    assert (contract.aliases, contract.revision) == ({"third": "V3"}, 3)
    assert contract.others == {"Class", "Time"}
    assert active_contract(current.parent / MODEL_ID).aliases == {}


def test_columns_of_the_history_take_aliases_and_its_features_are_no_columns(tmp_path: Path) -> None:
    history = HistorySpec((HistoryEntity("card", "card_id"),), time="Time", amount="Amount")
    history = replace(history, live=(LiveFeature("V2", Measure.COUNT, 24),))
    write_artifact(tmp_path, replace(manifest(), history=history), lambda scaler, classifier: None)
    deploy(tmp_path, MODEL_ID, 0.5, who="ann", why="test", now=NOW)
    declare(tmp_path / "current", "pan", "card_id")
    assert active_contract(tmp_path / "current").features.keys() == SPREADS.keys() - {"V2"}
    with pytest.raises(AliasRefused, match="no feature 'V2'"):
        declare(tmp_path / "current", "second", "V2")
