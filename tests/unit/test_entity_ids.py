"""Ids of entities: the value itself, but a keyed hash of a card number; and the file with the key."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entity_ids import CARD, SECRET, VECTOR
from fraudstream.errors import SettingsError
from fraudstream.history.identity import KEYED, entity_id, entity_key


@pytest.mark.parametrize(("value", "identity"), VECTOR)
def test_only_a_card_number_is_replaced_by_a_keyed_hash(value: str, identity: str) -> None:
    assert entity_id(value, SECRET) == identity


def test_another_key_makes_other_ids() -> None:
    assert entity_id(CARD, SECRET) != entity_id(CARD, bytes(32))


@given(st.text())
def test_an_id_is_the_value_or_a_hash_and_stays_as_it_is(value: str) -> None:
    identity = entity_id(value, SECRET)
    assert identity == value or (identity.startswith(KEYED) and len(identity) == len(KEYED) + 32)
    assert entity_id(identity, SECRET) == identity


def test_the_key_is_created_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "entity.key"
    key = entity_key(path)
    assert len(key) == 32
    assert entity_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["entity.key"]


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    code = "import sys, pathlib; from fraudstream.history.identity import entity_key; sys.stdin.read(1);"
    code += "print(entity_key(pathlib.Path(sys.argv[1])).hex())"
    command = [sys.executable, "-c", code, str(tmp_path / "entity.key")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    keys = {each.communicate("\n", timeout=60)[0] for each in processes}
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64


@pytest.mark.parametrize("content", ["", "00" * 31, "zz" * 32, "\u0664" * 64])
def test_a_damaged_key_file_is_refused_and_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "entity.key"
    path.write_text(content)
    with pytest.raises(SettingsError, match="key file of card numbers") as raised:
        entity_key(path)
    assert raised.value.where == str(path)
    assert path.read_text() == content


def test_a_folder_in_place_of_the_key_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read or written"):
        entity_key(tmp_path)
