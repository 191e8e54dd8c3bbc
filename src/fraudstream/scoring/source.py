"""What Kafka's source gives of a record: its columns, its headers, its id and its text; what it scores is `judge.py`'s.

Stream (`detector/`) and batch (`topic.py`) read a record by these same expressions, so that they cannot differ.
"""

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.transactions.wire import LONGEST_EVENT_ID, Header


class Source:
    """Names of the columns of Kafka's source."""

    KEY: Final = "key"
    VALUE: Final = "value"
    TOPIC: Final = "topic"
    PARTITION: Final = "partition"
    OFFSET: Final = "offset"
    TIMESTAMP: Final = "timestamp"
    HEADERS: Final = "headers"
    SAMPLED: Final = "sampled"


def record_text(max_record_bytes: int) -> Column:
    """The value as text; null where it is larger than the limit, and so no transaction."""
    fits = F.octet_length(Source.VALUE) <= F.lit(max_record_bytes)
    return F.when(fits, F.col(Source.VALUE).cast("string"))


def header(name: Header) -> Column:
    """The first value of a header as text, null where it is absent."""
    found = F.filter(F.col(Source.HEADERS), lambda each: each["key"] == F.lit(name.value))
    return F.try_element_at(found, F.lit(1))["value"].cast("string")


def alert_id() -> Column:
    """The record's `event_id`; of topic, partition and offset where there is none."""
    given = header(Header.EVENT_ID)
    usable = F.is_valid_utf8(given) & F.length(given).between(1, LONGEST_EVENT_ID)
    place = F.concat_ws("/", Source.TOPIC, F.col(Source.PARTITION), F.col(Source.OFFSET))
    return F.when(usable, given).otherwise(place)
