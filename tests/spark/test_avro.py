"""Records in Confluent's Avro format, written by fastavro, through the query's plan and in batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from pyspark.errors import PySparkException
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Settings
from fraudstream.detector.query import detect
from fraudstream.errors import SchemaRegistryFailed
from fraudstream.kafka.avro import avro_decoder
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of
from fraudstream.messages.ledger import Range
from fraudstream.scoring.avro import NEAR, SchemaCatalog
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.scoring.topic import count_outcomes
from fraudstream.transactions.wire import Outcome, Topic
from registries import FakeRegistry, fake_registry

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

LIMIT = 4_000
SUBJECT = "credit_card_transactions-value"
COLUMNS = (
    "key binary, value binary, topic string, partition int, offset long, timestamp timestamp,"
    " headers array<struct<key:string,value:binary>>"
)


def schema_of(**types: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return {"type": "record", "name": "Transaction", "fields": fields}


def body(schema: Any, value: Any) -> bytes:
    encoded = BytesIO()
    fastavro.schemaless_writer(encoded, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return encoded.getvalue()


def logical(of: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": of, "logicalType": kind, **more}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as registry:
        yield registry


@pytest.fixture
def message_format(registry: FakeRegistry) -> MessageFormat:
    return MessageFormat.of(Settings.load(schema_registry=registry.url, max_record_bytes=LIMIT))


def catalog_of(message_format: MessageFormat) -> SchemaCatalog:
    assert message_format.catalog is not None
    return message_format.catalog


def texts(spark: SparkSession, message_format: MessageFormat, *values: bytes) -> list[str | None]:
    """The JSON that the model gets, as the query reads it."""
    frame = spark.createDataFrame([(bytearray(value),) for value in values], "value binary")
    return [row[0] for row in frame.select(catalog_of(message_format).text(F.col("value"))).collect()]


TYPES = schema_of(
    missing=["null", "double"],
    whole="long",
    single="float",
    flag="boolean",
    text="string",
    amount=logical("bytes", "decimal", precision=12, scale=2),
    small={"type": "fixed", "name": "f8", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4},
    day=logical("int", "date"),
    at=logical("long", "timestamp-millis"),
    exactly=logical("long", "timestamp-micros"),
    here=logical("long", "local-timestamp-micros"),
    clock=logical("long", "time-micros"),
    identity=logical("string", "uuid"),
    channel={"type": "enum", "name": "Channel", "symbols": ["POS", "WEB"]},
    raw="bytes",
    items={"type": "array", "items": "double"},
    labels={"type": "map", "values": "string"},
    place={"type": "record", "name": "Place", "fields": [{"name": "city", "type": ["null", "string"]}]},
    mixed=["null", "double", "string"],
    number_in_mixed=["string", "double"],
    merged=["null", "int", "long"],
)
VALUES: dict[str, Any] = {
    "missing": None,
    "whole": 2**60,
    "single": 1.5,
    "flag": True,
    "text": 'x"é\n',
    "amount": Decimal("149.60"),
    "small": Decimal("-0.0001"),
    "day": date(2023, 2, 10),
    "at": datetime(2023, 2, 10, 23, 51, 0, 123_000, tzinfo=UTC),
    "exactly": datetime(2023, 2, 10, 23, 51, 0, 123_456, tzinfo=UTC),
    "here": datetime(2023, 2, 10, 23, 51, 0),  # noqa: DTZ001
    "clock": time(1, 2, 3),
    "identity": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "channel": "WEB",
    "raw": b"\1\2",
    "items": [1.0, 2.5],
    "labels": {"a": "b"},
    "place": {"city": None},
    "mixed": "many",
    "number_in_mixed": 7.25,
    "merged": 5,
}
AS_JSON = {
    **VALUES,
    "amount": 149.60,
    "small": -0.0001,
    "day": "2023-02-10",
    "at": "2023-02-10T23:51:00.123000Z",
    "exactly": "2023-02-10T23:51:00.123456Z",
    "here": "2023-02-10T23:51:00.000000",
    "clock": 3_723_000_000,
    "raw": "AQI=",
    "number_in_mixed": "7.25",
}


def test_every_type_is_read_as_json_and_damage_as_nothing(
    spark: SparkSession, registry: FakeRegistry, message_format: MessageFormat
) -> None:
    registry.register(SUBJECT, json.dumps(TYPES))
    of_nulls = schema_of(a=["null", "double"], b=["null", "string"])
    registry.register(SUBJECT, json.dumps(of_nulls))
    of_times = schema_of(
        d=logical("int", "date"), t=logical("long", "timestamp-micros"), c=logical("long", "time-micros")
    )
    registry.register(SUBJECT, json.dumps(of_times))
    of_lists = schema_of(items={"type": "array", "items": "null"})
    registry.register(SUBJECT, json.dumps(of_lists))
    assert message_format.fetch_schemas(spark) == []
    whole = body(TYPES, VALUES)
    first, last = 2**31 - 1, 2**63 - 1
    huge = [body("long", length) + b"ab" for length in (2**31 - 10, 2**30, 2**40, -5)]
    read = texts(
        spark,
        message_format,
        prefix_of(1) + whole,
        *(prefix_of(1) + whole[:length] for length in (0, 10, len(whole) - 1)),
        prefix_of(2) + body(of_nulls, {"a": None, "b": None}),
        *(prefix_of(2) + b"\2" + b"\0" * 8 + b"\2" + length for length in huge),
        prefix_of(2) + b"\4",
        prefix_of(3) + b"".join(body("long", number) for number in (first, last, last)),
        prefix_of(3) + b"".join(body("long", -number) for number in (first, last, last)),
        *(prefix_of(4) + length for length in huge[:2]),
    )
    assert json.loads(read[0] or "") == AS_JSON
    assert list(json.loads(read[0] or "")) == list(VALUES)
    assert read[1:4] == [None, None, None]
    assert read[4] == '{"a":null,"b":null}'
    assert read[5:10] == [None] * 5
    # What no clock shows is text that is no date, and stops no query.
    assert [sorted(json.loads(text or "")) for text in read[10:12]] == [["c", "d", "t"]] * 2
    assert read[12:] == [None, None]


SMALL = schema_of(a=["null", "double"], b=["null", "double"], c=["null", "double"])
WIDER = schema_of(a=["null", "double"], b=["null", "double"], c=["null", "double"], channel=["null", "string"])
FRAUD, CLEAR = {"a": 5.0, "b": 0.1, "c": 0.0}, {"a": -5.0, "b": 0.0, "c": 0.0}
ALIASES = {"b": "b b", "c": "c.d"}


@pytest.fixture
def avro_scorer(scorer: Scorer) -> Scorer:
    """The scorer of this folder, with aliases for the names that Avro does not allow."""
    return replace(scorer, aliases=ALIASES)


def routed(spark: SparkSession, scorer: Scorer, message_format: MessageFormat, *values: bytes) -> list[Row]:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [(None, value, "t", 0, offset, at, None) for offset, value in enumerate(values)]
    topics = {topic: topic.value for topic in Topic}
    frame = detect(
        spark.createDataFrame(rows, COLUMNS), scorer, topics, message_format, partitions=1, sample_every=10_000_000
    )
    return [row for row in frame.collect() if row.topic != "detector_events"]


def reason(record: Row) -> str:
    return next(bytes(each.value).decode() for each in record.headers if each.key.endswith("exception.message"))


def test_the_archive_decodes_the_same_values_without_spark(registry: FakeRegistry) -> None:
    decode = avro_decoder(SchemaRegistry.of(Settings.load(schema_registry=registry.url)))
    of_lists = schema_of(items={"type": "array", "items": "null"})
    for schema in (TYPES, of_lists, "long"):
        registry.register(SUBJECT, json.dumps(schema))
    whole = prefix_of(1) + body(TYPES, VALUES)
    # A union of several types keeps its value, and a time without a fraction has none.
    assert decode(whole) == {**AS_JSON, "number_in_mixed": 7.25, "here": "2023-02-10T23:51:00"}
    assert [decode(whole[:length]) for length in (5, 15, len(whole) - 1)] == [None] * 3
    assert decode(prefix_of(2) + body("long", 2**40)) is None
    assert decode(prefix_of(3) + body("long", 1)) is None
    assert decode(prefix_of(99) + b"\2") is None
    requests = len(registry.requests)
    assert decode(whole) is not None
    assert len(registry.requests) == requests
    registry.status = 500
    with pytest.raises(SchemaRegistryFailed):
        decode(prefix_of(98) + b"\2")


def test_avro_of_each_version_and_json_are_scored_and_the_rest_are_dead_letters(
    spark: SparkSession, avro_scorer: Scorer, registry: FakeRegistry, message_format: MessageFormat
) -> None:
    registry.register(SUBJECT, json.dumps(SMALL))
    registry.register(SUBJECT, json.dumps(WIDER))
    registry.register(SUBJECT, '"string"')
    records = routed(
        spark,
        avro_scorer,
        message_format,
        prefix_of(1) + body(SMALL, FRAUD),
        prefix_of(2) + body(WIDER, {**FRAUD, "channel": "web"}),
        b'{"a":5,"b b":0.1,"c.d":0}',
        prefix_of(1) + body(SMALL, CLEAR),
        prefix_of(1) + body(SMALL, {"a": 5.0, "b": None, "c": None}),
        prefix_of(2) + b"\4",
        prefix_of(3) + b"\2a",
        prefix_of(9) + b"\2a",
        b"\0\0\0\0",
        prefix_of(0) + b"{}",
    )
    alerts = [json.loads(bytes(each.value)) for each in records if each.topic == Topic.ALERTS.value]
    assert [each["offset"] for each in alerts] == [0, 1, 2]
    assert [each["transaction"] for each in alerts[:2]] == [FRAUD, {**FRAUD, "channel": "web"}]
    assert len({each["score"] for each in alerts}) == 1
    (unscorable,) = [json.loads(bytes(each.value)) for each in records if each.topic == Topic.UNSCORABLE.value]
    assert (unscorable["offset"], unscorable["imputed"]) == (4, ["b b", "c.d"])
    reasons = [reason(each) for each in records if each.topic == Topic.DEAD_LETTERS.value]
    assert len(reasons) == 5
    assert reasons[0] == "the value does not match its Avro schema, id 2"
    assert reasons[1] == "the schema of id 3 cannot be read: it is not an Avro record"
    assert reasons[2] == f"schema id 9 is not in the schema registry at {registry.url}"
    assert reasons[4] == f"schema id 0 is not in the schema registry at {registry.url}"


CHANGE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", SMALL], "default": None},
        {"name": "after", "type": ["null", "Transaction"], "default": None},
        {"name": "op", "type": "string"},
    ],
}
"""As the Debezium connector registers it."""


def test_changes_of_debezium_in_avro_are_decoded_once_and_scored(
    spark: SparkSession, avro_scorer: Scorer, registry: FakeRegistry, message_format: MessageFormat
) -> None:
    registry.register(SUBJECT, json.dumps(CHANGE))
    message_format = replace(message_format, envelope="debezium")
    message_format.fetch_schemas(spark)
    changes = [
        {"before": None, "after": FRAUD, "op": "c"},
        {"before": FRAUD, "after": CLEAR, "op": "u"},
        {"before": FRAUD, "after": None, "op": "d"},
    ]
    values = [prefix_of(1) + body(CHANGE, change) for change in changes]
    records = routed(spark, avro_scorer, message_format, *values, b'{"after":{"a":5,"b b":0.1,"c.d":0},"op":"c"}')
    alerts = [json.loads(bytes(each.value)) for each in records if each.topic == Topic.ALERTS.value]
    assert [(each["offset"], each["transaction"]) for each in alerts][:1] == [(0, FRAUD)]
    assert [each["offset"] for each in alerts] == [0, 3]
    assert {each.topic for each in records} == {Topic.ALERTS.value}  # a delete and a clear transaction leave nothing
    frame = spark.createDataFrame([(None, values[0], "t", 0, 0, None, None)], COLUMNS)
    transactions = message_format.transactions(frame).where(~F.col("is_empty"))
    plan = transactions._jdf.queryExecution().executedPlan().toString()  # noqa: SLF001
    assert plan.count("from_avro") == 1


def test_an_unknown_id_fails_the_query_until_it_is_fetched(
    spark: SparkSession, registry: FakeRegistry, message_format: MessageFormat
) -> None:
    message_format.fetch_schemas(spark)
    later = registry.register("another-subject", json.dumps(SMALL))
    for schema_id, text in ((later, json.dumps(FRAUD, separators=(",", ":"))), (77, None)):
        value = prefix_of(schema_id) + body(SMALL, FRAUD)
        with pytest.raises(PySparkException) as failed:
            texts(spark, message_format, value)
        assert message_format.new_schema(failed.value) == schema_id
        assert message_format.new_schema(failed.value) is None
        registry.status = 503
        with pytest.raises(SchemaRegistryFailed, match="503"):
            message_format.fetch_schemas(spark)
        registry.status = 0
        problems = message_format.fetch_schemas(spark)
        assert problems == ([] if text else [f"schema id 77 is not in the schema registry at {registry.url}"])
        assert texts(spark, message_format, value) == [text]
        assert message_format.new_schema(failed.value) is None
    assert message_format.new_schema(PySparkException("a task failed")) is None


def test_a_batch_fetches_the_schemas_of_its_own_records(
    spark: SparkSession,
    avro_scorer: Scorer,
    cluster: Cluster,
    new_topic: Callable[..., str],
    registry: FakeRegistry,
    message_format: MessageFormat,
) -> None:
    registry.register("another-subject", json.dumps(SMALL))
    topic, producer = new_topic(), Producer({"bootstrap.servers": cluster.bootstrap_servers})
    strange = [prefix_of(schema_id) for schema_id in (2, NEAR, NEAR + 10, 2**31 - 1)]
    for value in (prefix_of(1) + body(SMALL, FRAUD), prefix_of(1) + body(SMALL, CLEAR), *strange):
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    with cluster.spark_options(is_local=True) as kafka:
        counts = count_outcomes(spark, avro_scorer, kafka, topic, [Range(0, 0, len(strange) + 2)], message_format)
    assert counts == {0: Counter({Outcome.ALERT: 1, Outcome.CLEAR: 1, Outcome.DEAD_LETTER: len(strange)})}
    # One far from the known ones is not asked for: it could be the first bytes of anything.
    requested = [each for each in registry.requests if each.startswith("GET /schemas")]
    assert requested == [f"GET /schemas/ids/{schema_id}" for schema_id in (1, 2, NEAR)]
