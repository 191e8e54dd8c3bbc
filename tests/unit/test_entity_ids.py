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
from fraudstream.history.identity import LONGEST_VALUE, entity_id, entity_key, entity_value, key_fingerprint
from fraudstream.transactions.wire import KEYED


@pytest.mark.parametrize(
    ("record", "value"),
    [
        (b'{"card": "C-1"}', "C-1"),
        (b'{"card": 596}', "596"),
        (b'{"card": 596.0, "other": NaN}', "596.0"),
        (b'{"card": 1e5}', "1e5"),
        (b'{"card": 12345678901234567890123}', "12345678901234567890123"),
        (b'{"card": true}', "true"),
        (b'{"card": "a", "card": "b"}', "b"),
        ('{"card": "Zo\u00eb"}'.encode(), "Zo\u00eb"),
        (b'{"card": null}', None),
        (b'{"card": NaN}', None),
        (b'{"card": ""}', None),
        (b'{"card": {"id": 1}}', None),
        (b'{"card": [1]}', None),
        (b'{"other": 1}', None),
        (b'{"card": "C-1"', None),
        (b'["card"]', None),
        (b'{"card": "\xff"}', None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_the_value_is_the_text_in_the_transaction(record: bytes, value: str | None) -> None:
    assert entity_value(record, "card") == value


def test_a_value_that_is_longer_than_any_identifier_is_none() -> None:
    assert entity_value(b'{"card":"%s"}' % (b"x" * LONGEST_VALUE), "card") == "x" * LONGEST_VALUE
    assert entity_value(b'{"card":"%s"}' % (b"x" * (LONGEST_VALUE + 1)), "card") is None


def test_a_dotted_name_is_looked_up_in_nested_objects() -> None:
    assert entity_value(b'{"card.id": 1, "card": {"id": 2}}', "card.id") == "1"
    assert entity_value(b'{"card": {"id": 2}}', "card.id") == "2"
    assert entity_value(b'{"payer.card": {"id": 3.50}}', "payer.card.id") == "3.50"
    assert entity_value(b'{"card": 2}', "card.id") is None


@pytest.mark.parametrize(
    ("record", "envelope", "value"),
    [
        (b'{"payload": {"after": {"card": 1.0}}}', "debezium", "1.0"),
        (b'{"after": {"card": 1}}', "debezium", "1"),
        (b'{"payload": {"after": null}}', "debezium", None),
        (b'{"items": [{"item": {"card": 1}}, {"item": {"card": 1}}]}', "items[].item", "1"),
        (b'{"items": [{"item": {"card": 1}}, {"item": {"card": 2}}]}', "items[].item", None),
        (b'{"items": []}', "items[].item", None),
        (b'{"card": 1}', "payload", None),
    ],
)
def test_the_value_is_that_of_the_transaction_in_its_envelope(record: bytes, envelope: str, value: str | None) -> None:
    assert entity_value(record, "card", envelope) == value


def test_whole_numbers_of_a_decoded_record_are_written_without_a_fraction() -> None:
    assert entity_value({"card": 596.0}, "card") == "596"
    assert entity_value({"card": 0.5}, "card") == "0.5"
    assert entity_value({"card": b"596"}, "card") is None


@pytest.mark.parametrize(("value", "identity"), VECTOR)
def test_only_a_card_number_is_replaced_by_a_keyed_hash(value: str, identity: str) -> None:
    assert entity_id(value, SECRET) == identity


def test_another_key_makes_other_ids() -> None:
    assert entity_id(CARD, SECRET) != entity_id(CARD, bytes(32))
    assert key_fingerprint(SECRET) == key_fingerprint(SECRET) != key_fingerprint(bytes(32))


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
