"""The key that `produce` gives to rows where none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from columns import NOW
from fraudstream.cli.stream import key_of_history
from fraudstream.history.spec import HistoryEntity, HistorySpec, with_features
from fraudstream.model.deployment.aliases import declare_alias
from fraudstream.model.deployment.current import deploy
from saved_models import LINEAR_ID, deployed_linear_model, linear_manifest, linear_model

SPEC = with_features(HistorySpec((HistoryEntity("card", "CARD"), HistoryEntity("terminal", "T")), "TIME", "Amount"))


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """The active model, which reads a history."""
    linear_model(tmp_path, linear=replace(linear_manifest(), history=SPEC))
    deploy(tmp_path, LINEAR_ID, 0.5, who="test", why="", now=NOW)
    return tmp_path / "current"


def test_the_key_is_the_first_entity_of_the_active_model(current: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert key_of_history(current, ("TIME", "T", "CARD")) == "CARD"
    assert capsys.readouterr().err == f"key: CARD, that of the history of {LINEAR_ID}\n"


def test_the_key_of_a_renamed_column_has_its_new_name(current: Path) -> None:
    declare_alias(current, "card_number", "CARD", who="test", why="", now=NOW)
    assert key_of_history(current, ("CARD", "card_number")) == "card_number"


def test_payments_without_the_column_of_the_key_are_sent_without(
    current: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert key_of_history(current, ("TIME", "T")) is None
    assert "there is no column 'CARD'" in capsys.readouterr().err


def test_without_a_model_or_a_history_there_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert key_of_history(tmp_path / "current", ("CARD",)) is None
    assert key_of_history(deployed_linear_model(tmp_path), ("CARD",)) is None
    assert not capsys.readouterr().err
