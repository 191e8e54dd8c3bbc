"""The client of a schema registry, and the rows that `produce --avro` sends, against one in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from io import BytesIO

import fastavro
import pytest

from fraudstream.config import Settings
from fraudstream.errors import BrokenRow, DataError, SchemaRegistryFailed, SettingsError
from fraudstream.kafka.avro import AvroEncoder
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of, subject_of
from registries import FakeRegistry, fake_registry

SCHEMA = json.dumps({"type": "record", "name": "T", "fields": [{"name": "a", "type": "double"}]})
OTHER = json.dumps({"type": "record", "name": "T", "fields": [{"name": "b", "type": "double"}]})
NUMERIC = {"Amount": True, "Merchant": False}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry(login="me:p w") as registry:
        yield registry


def client(registry: FakeRegistry, user: str = "me", password: str = "p w") -> SchemaRegistry:
    return SchemaRegistry.of(
        Settings.load(schema_registry=f"{registry.url}/", schema_registry_user=user, schema_registry_password=password)
    )


def test_schemas_are_registered_once_and_read_by_id_and_subject(registry: FakeRegistry) -> None:
    answers = client(registry)
    assert answers.versions("t-value", 5) == {}
    assert [answers.register("t-value", schema) for schema in (SCHEMA, OTHER, SCHEMA)] == [1, 2, 1]
    assert answers.versions("t-value", 5) == {1: SCHEMA, 2: OTHER}
    assert answers.versions("t-value", 1) == {2: OTHER}
    assert answers.schema(2) == OTHER
    assert answers.schema(3) is None


def test_a_registry_that_is_down_or_refuses_is_named_with_the_remedy(registry: FakeRegistry) -> None:
    with pytest.raises(SchemaRegistryFailed, match="401: Unauthorized") as refused:
        client(registry, password="wrong").schema(1)
    assert "FRAUDSTREAM_SCHEMA_REGISTRY" in refused.value.remedy
    assert "wrong" not in str(refused.value)
    with pytest.raises(SchemaRegistryFailed, match="422"):
        client(registry).register("t-value", "{")
    with pytest.raises(SchemaRegistryFailed, match=r"does not answer: .*refused"):
        SchemaRegistry.of(Settings.load(schema_registry="http://127.0.0.1:1")).schema(1)


def test_settings_of_the_registry_are_checked() -> None:
    with pytest.raises(SettingsError, match="Avro needs a schema registry"):
        SchemaRegistry.of(Settings.load())
    with pytest.raises(SettingsError, match="schema_registry"):
        Settings.load(schema_registry="http://me:secret@127.0.0.1")
    with pytest.raises(SettingsError, match="no file"):
        SchemaRegistry.of(Settings.load(schema_registry="https://127.0.0.1", schema_registry_ca="/nowhere.pem"))
    assert "secret" not in repr(Settings.load(schema_registry_password="secret"))


def test_rows_are_encoded_with_a_schema_for_each_set_of_columns(registry: FakeRegistry) -> None:
    encode = AvroEncoder(NUMERIC, partial(client(registry).register, subject_of("t")))
    rows = [b'{"Amount":149.60,"Merchant":"caf\xc3\xa9"}', b'{"Amount":5}', b'{"Amount":null,"Merchant":null}']
    encoded = [encode(row) for row in rows]
    assert [each[:5] for each in encoded] == [prefix_of(1), prefix_of(2), prefix_of(1)]
    schemas = {schema_id: json.loads(schema) for schema_id, schema in registry.schemas.items()}
    decoded = [
        fastavro.schemaless_reader(BytesIO(each[5:]), fastavro.parse_schema(schemas[each[4]]), None) for each in encoded
    ]
    assert decoded == [json.loads(row) for row in rows]
    assert schemas[1]["fields"][1] == {"name": "Merchant", "type": ["null", "string"], "default": None}
    assert registry.subjects == {"t-value": [1, 2]}
    again = AvroEncoder(NUMERIC, partial(client(registry).register, subject_of("t")))
    assert [again(row) for row in rows] == encoded


@pytest.mark.parametrize("value", [b'"n/a"', b"9007199254740993", b"-9007199254740993"])
def test_a_value_that_is_no_double_is_refused_with_its_column(value: bytes) -> None:
    encode = AvroEncoder({"a": True}, lambda schema: 1)
    with pytest.raises(BrokenRow, match="no number") as refused:
        encode(b'{"a":' + value + b"}")
    assert refused.value.where == "a"


def test_a_column_name_that_avro_forbids_is_refused() -> None:
    with pytest.raises(DataError, match="Amount \\(EUR\\)"):
        AvroEncoder({"Amount (EUR)": True}, lambda schema: 1)(b'{"Amount (EUR)":1}')
