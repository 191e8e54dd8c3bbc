"""Routes scored transactions to their output topics, with key, headers and JSON."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fraudstream.history.spec import STATE_FORMAT, HistorySpec
from fraudstream.model.features.history import HistoryColumn
from fraudstream.model.features.reading import STRICT_JSON, Projected, parse_strings, strings_of
from fraudstream.scoring.avro import is_framed, schema_id_of
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import ScoreColumn, Scorer, TopicColumn, alert_id, header
from fraudstream.transactions.envelope import envelope_paths
from fraudstream.transactions.wire import LONGEST_KEY, AlertField, EventField, EventType, Header, Outcome, Topic

Topics = Mapping[Topic, str]
"""The names of the topics."""

LONGEST_REPLAY_OF = 300
"""A topic name has at most 249 characters; a longer `replay_of` is not ours and is left out of the alert."""

LONGEST_SAMPLED_TEXT = 16_384
"""A sample contains its transaction up to this length in bytes, above that only its column names."""

_HEADERS = T.ArrayType(
    T.StructType([T.StructField("key", T.StringType()), T.StructField("value", T.BinaryType())]), containsNull=True
)


def route(
    scored: DataFrame,
    scorer: Scorer,
    topics: Topics,
    message_format: MessageFormat,
    history: HistorySpec | None = None,
) -> DataFrame:
    """Turn scored transactions into records for Kafka's sink (`topic`, `key`, `value`, `headers`).

    A sampled transaction is emitted twice: by its outcome (nothing for a clear one) and as a sample. `scored` has the
    columns `sampled`, `as_expected`, `is_object`, `imputed`, `score` and `outcome`. A value above the limit
    of the input is truncated, with its original size in a header. With a `history`, an alert has the values of its
    features, and the text is that before they were added.
    """
    outcome = F.col(ScoreColumn.OUTCOME)
    is_alert = outcome.isin(Outcome.ALERT.value, Outcome.UNSCORABLE.value)
    dead_letter = _record(
        F.lit(topics[Topic.DEAD_LETTERS]),
        _capped(TopicColumn.VALUE, message_format.max_record_bytes),
        _dead_letter_headers(message_format),
    )
    alert = _record(
        F.when(outcome == Outcome.ALERT.value, F.lit(topics[Topic.ALERTS])).otherwise(F.lit(topics[Topic.UNSCORABLE])),
        _alert_json(scorer, history).cast("binary"),
        F.array(_header(Header.EVENT_ID, alert_id())),
    )
    sample = _sample_json(scorer, _original(history)).cast("binary")
    sample = _record(F.lit(topics[Topic.EVENTS]), sample, F.array().cast(_HEADERS))
    records = F.array_compact(
        F.array(
            F.when(outcome == Outcome.DEAD_LETTER.value, dead_letter).when(is_alert, alert),
            F.when(F.col(TopicColumn.SAMPLED), sample),
        )
    )
    return scored.select(F.explode(records).alias("record")).select("record.*")


def _record(topic: Column, value: Column, headers: Column) -> Column:
    return F.struct(
        topic.alias("topic"),
        _capped(TopicColumn.KEY, LONGEST_KEY).alias("key"),
        value.alias("value"),
        headers.cast(_HEADERS).alias("headers"),
    )


def time_text(timestamp: Column) -> Column:
    """Format a timestamp as ISO 8601 with milliseconds and zone; null for a year outside 1 to 9999."""
    return F.when(F.year(timestamp).between(1, 9999), F.date_format(timestamp, "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"))


def _original(history: HistorySpec | None) -> Column:
    return F.col(Projected.TEXT if history is None else TopicColumn.ORIGINAL)


def _history_fields(history: HistorySpec | None) -> list[Column]:
    if history is None:
        return []
    # There are no names while a model without history is active.
    kinds, names = strings_of([entity.kind for entity in history.entities]), strings_of(history.names)
    return [
        F.map_from_arrays(kinds, F.col(HistoryColumn.ENTITY_IDS)).alias(AlertField.ENTITY_IDS),
        F.map_from_arrays(names, F.col(HistoryColumn.VALUES)).alias(AlertField.HISTORY),
        F.col(HistoryColumn.PROFILE_DATE).alias(AlertField.PROFILE_DATE),
        F.lit(STATE_FORMAT).alias(AlertField.STATE_FORMAT),
    ]


def _alert_json(scorer: Scorer, history: HistorySpec | None) -> Column:
    """Build the alert as JSON around the transaction's original text, so that nothing is lost.

    Text that is JSON only to a lenient parser (NaN, Infinity) would make the alert invalid for others: such a
    transaction is included as a map of strings, and verbatim in `transaction_text`.
    """
    outcome = F.col(ScoreColumn.OUTCOME)
    fields = F.to_json(
        F.struct(
            alert_id().alias(AlertField.ALERT_ID),
            F.col(TopicColumn.TOPIC).alias(AlertField.TOPIC),
            F.col(TopicColumn.PARTITION).alias(AlertField.PARTITION),
            F.col(TopicColumn.OFFSET).alias(AlertField.OFFSET),
            header(Header.SOURCE_ROW).try_cast("bigint").alias(AlertField.SOURCE_ROW),
            time_text(F.col(TopicColumn.TIMESTAMP)).alias(AlertField.PRODUCED_AT),
            outcome.alias(AlertField.OUTCOME),
            F.when(outcome == Outcome.UNSCORABLE.value, _unscorable_reason(scorer)).alias(AlertField.REASON),
            F.col(ScoreColumn.SCORE).alias(AlertField.SCORE),
            F.lit(scorer.threshold).alias(AlertField.THRESHOLD),
            F.lit(scorer.model_id).alias(AlertField.MODEL_ID),
            F.lit(scorer.revision).alias(AlertField.REVISION),
            *_history_fields(history),
            F.col(Projected.IMPUTED).alias(AlertField.IMPUTED),
        ),
        {"ignoreNullFields": "false"},
    )
    text = _original(history)
    lenient = F.to_json(
        F.struct(parse_strings(text).alias(AlertField.TRANSACTION), text.alias(AlertField.TRANSACTION_TEXT))
    )
    # `imputed` comes last in `fields`, so exactly one brace is trimmed at each seam.
    head = F.concat(F.rtrim(fields, F.lit("}")), _replay_of())
    return F.when(
        parse_strings(text, STRICT_JSON).isNotNull(),
        F.concat(head, F.lit(f',"{AlertField.TRANSACTION.value}":'), text, F.lit("}")),
    ).otherwise(F.concat(head, F.lit(","), F.ltrim(lenient, F.lit("{"))))


def _replay_of() -> Column:
    """Build the key `replay_of` with a leading comma; empty if the record is no replay, so that the key is left out."""
    origin = header(Header.REPLAY_OF)
    is_usable = F.is_valid_utf8(origin) & F.length(origin).between(1, LONGEST_REPLAY_OF)
    key = F.to_json(F.struct(origin.alias(AlertField.REPLAY_OF)))
    return F.when(is_usable, F.concat(F.lit(","), F.btrim(key, F.lit("{}")))).otherwise(F.lit(""))


def _unscorable_reason(scorer: Scorer) -> Column:
    missing = F.size(Projected.IMPUTED)
    return F.when(
        missing > F.lit(scorer.missing_limit),
        F.concat(missing, F.lit(f" of {len(scorer.features)} features missing, at most {scorer.missing_limit} may be")),
    ).otherwise(F.lit("the score is not a finite number"))


def _sample_json(scorer: Scorer, text: Column) -> Column:
    """Build a sample with the transaction's original text; the relay derives columns, types and `schema_id`."""
    is_short = F.octet_length(text) <= LONGEST_SAMPLED_TEXT
    is_transaction = F.col(ScoreColumn.OUTCOME) != Outcome.DEAD_LETTER.value
    return F.to_json(
        F.struct(
            F.lit(EventType.SAMPLE.value).alias(EventField.TYPE),
            F.col(TopicColumn.TOPIC).alias(EventField.TOPIC),
            F.col(TopicColumn.PARTITION).alias(EventField.PARTITION),
            F.col(TopicColumn.OFFSET).alias(EventField.OFFSET),
            time_text(F.col(TopicColumn.TIMESTAMP)).alias(EventField.PRODUCED_AT),
            F.col(ScoreColumn.SCORE).alias(EventField.SCORE),
            F.col(ScoreColumn.OUTCOME).alias(EventField.OUTCOME),
            F.when(is_transaction, F.col(Projected.IMPUTED)).alias(EventField.IMPUTED),
            F.when(is_transaction & is_short, text).alias(EventField.TRANSACTION_TEXT),
            F.when(is_transaction & ~is_short, F.json_object_keys(text)).alias(EventField.COLUMNS),
            F.lit(scorer.model_id).alias(EventField.MODEL_ID),
            F.lit(scorer.revision).alias(EventField.REVISION),
            F.lit(scorer.threshold).alias(EventField.THRESHOLD),
        )
    )


def _header(name: Header, text: Column) -> Column:
    return F.struct(F.lit(name.value).alias("key"), text.cast("binary").alias("value"))


def _capped(column: str, limit: int) -> Column:
    """Truncate a binary column at `limit` bytes: a record above the sink's limit would stop the query."""
    value = F.col(column)
    return F.when(F.octet_length(value) > F.lit(limit), F.substring(value, 1, limit)).otherwise(value)


def _dead_letter_headers(message_format: MessageFormat) -> Column:
    """Build the record's original headers and, as Kafka Connect does, those for its origin and the error."""
    headers = F.coalesce(F.col(TopicColumn.HEADERS), F.array().cast(_HEADERS))
    size = F.aggregate(
        headers,
        F.lit(0),
        lambda total, each: total + F.coalesce(F.octet_length(each["key"]) + F.octet_length(each["value"]), F.lit(0)),
    )
    headers = F.when(size <= F.lit(message_format.max_record_bytes), headers).otherwise(F.array().cast(_HEADERS))
    errors = F.array(
        _header(Header.ERROR_TOPIC, F.col(TopicColumn.TOPIC)),
        _header(Header.ERROR_PARTITION, F.col(TopicColumn.PARTITION).cast("string")),
        _header(Header.ERROR_OFFSET, F.col(TopicColumn.OFFSET).cast("string")),
        _header(Header.ERROR_STAGE, F.lit("VALUE_CONVERTER")),
        _header(Header.ERROR_MESSAGE, dead_letter_reason(message_format)),
        _header(Header.ERROR_ORIGINAL_BYTES, F.coalesce(F.octet_length(TopicColumn.VALUE), F.lit(0)).cast("string")),
        _header(Header.PRODUCED_AT, time_text(F.col(TopicColumn.TIMESTAMP))),
    )
    return F.concat(headers, errors.cast(_HEADERS))


def dead_letter_reason(message_format: MessageFormat) -> Column:
    """Describe why the value cannot be parsed as a transaction."""
    value, limit = F.col(TopicColumn.VALUE), message_format.max_record_bytes
    text = value.cast("string")
    case = (
        F.when(value.isNull(), F.lit("tombstone: the record has no value"))
        .when(F.octet_length(value) == 0, F.lit("the value is empty"))
        .when(F.octet_length(value) > limit, F.lit(f"the value is larger than {limit} bytes"))
    )
    if message_format.catalog is None:
        reason = F.lit("looks like Avro or Protobuf of a schema registry, schema id ")
        case = case.when(is_framed(value), F.concat(reason, schema_id_of(value), F.lit(": set schema_registry")))
    else:
        case = case.when(is_framed(value), message_format.catalog.reason(value))
    return (
        case.when(~F.is_valid_utf8(text), F.lit("the value is not UTF-8"))
        .when(
            F.lit(bool(message_format.envelope)) & parse_strings(text).isNotNull(),
            F.lit(f"there is no object at {' or '.join(envelope_paths(message_format.envelope))} (setting envelope)"),
        )
        .when(~F.startswith(F.ltrim(text), F.lit("{")), F.lit("the value is not a JSON object"))
        .otherwise(F.lit("the value is not one well-formed JSON object"))
    )
