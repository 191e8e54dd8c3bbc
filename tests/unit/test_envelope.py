"""The setting that says where the transaction is in a record."""

from __future__ import annotations

import json

import pytest

from fraudstream.config import Settings
from fraudstream.errors import SettingsError
from fraudstream.transactions.envelope import envelope_paths, steps, wrapped


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("after", ["after"]),
        ("payload.after", ["payload", "after"]),
        ("notificationItems[].item", ["notificationItems", "[]", "item"]),
        ("a.items[]", ["a", "items", "[]"]),
        ("[].data-ü", ["[]", "data-ü"]),
    ],
)
def test_a_path_is_split_into_names_and_lists(path: str, expected: list[str]) -> None:
    assert envelope_paths(path) == (path,)
    assert steps(path) == expected


@pytest.mark.parametrize(
    "envelope", ["$.payload.after", "a..b", "a.", ".a", "a[0]", "a[*]", "a[]b", 'a"b', "a b", "a'b", "`a`", "a.[]"]
)
def test_what_is_no_path_is_refused_with_an_example(envelope: str) -> None:
    with pytest.raises(SettingsError, match=r"'envelope'.*names joined by dots.*notificationItems\[\]\.item"):
        Settings.load(envelope=envelope)


@pytest.mark.parametrize("envelope", ["", "debezium", "cloudevents", "payload.after", "items[].item", "[]"])
def test_a_wrapped_transaction_is_where_the_setting_says(envelope: str) -> None:
    value = json.loads(wrapped(b'{"a":1.50}', envelope))
    for step in steps(envelope_paths(envelope)[-1]) if envelope else ():
        value = value[0] if step == "[]" else value[step]
    assert value == {"a": 1.5}
