"""A streaming query that adds the history to a topic's records, in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, Producer, TopicPartition
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.model.features.history import HistoryColumn, with_live_history
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.spark import spark_session
from fraudstream.scoring.scorer import TopicColumn, alert_id
from fraudstream.transactions.wire import Header


@dataclass(frozen=True)
class HistoryStream:
    """A query from one topic to another; `config` is that of the operator."""

    servers: str
    topic: str
    output: str
    folder: str
    config: dict[str, Any]
    base: int = 1
    interval: str = "5 seconds"

    @property
    def state(self) -> Path:
        return Path(self.folder) / "state"

    def start(self, spark: SparkSession) -> StreamingQuery:
        records = (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self.servers)
            .option("subscribe", self.topic)
            .option("startingOffsets", "earliest")
            .option("includeHeaders", "true")
            .load()
        )
        added = with_live_history(transactions(records), self.config, self.state, self.base)
        writer = (
            added.select(F.to_json(F.struct("partition", "offset", *HistoryColumn.ALL)).alias("value"))
            .writeStream.format("kafka")
            .option("kafka.bootstrap.servers", self.servers)
            .option("topic", self.output)
            .option("checkpointLocation", str(Path(self.folder) / "checkpoint"))
        )
        return cast(StreamingQuery, cast(Any, writer.outputMode("update")).trigger(realTime=self.interval).start())

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the query in a process of its own, with its JVM; kill -9 at the end."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with (Path(self.folder) / "query.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, json.dumps(asdict(self))],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def transactions(records: DataFrame) -> DataFrame:
    """The operator's input from records of Kafka's source."""
    return records.withColumn(TopicColumn.INDEX, F.lit(None).cast("int")).select(
        "partition", "offset", "timestamp", F.col("value").cast("string").alias("text"), alert_id().alias("alert_id")
    )


def send(servers: str, topic: str, rows: Sequence[tuple[int, str, str]]) -> None:
    """Send texts with event ids to partitions."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
    for partition, text, event_id in rows:
        producer.produce(topic, text.encode(), partition=partition, headers={Header.EVENT_ID.value: event_id.encode()})
        producer.poll(0)
    assert producer.flush(30) == 0


class Outputs:
    """What a query has written: by partition and offset of the record the distinct results, and how many in all."""

    def __init__(self, servers: str, topic: str) -> None:
        self.results: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        self.count = 0
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": topic, "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(topic, 0, 0)])

    def poll(self, seconds: float) -> bool:
        """Read what there is; true, so that it can be part of a condition."""
        for message in self._consumer.consume(10_000, seconds):
            assert message.error() is None
            result = json.loads(message.value() or b"")
            self.results[result.pop("partition"), result.pop("offset")].add(json.dumps(result, sort_keys=True))
            self.count += 1
        return True

    def close(self) -> None:
        self._consumer.close()


def _run(stream: HistoryStream) -> None:
    from fraudstream.config import Settings
    from fraudstream.runtime.engines import jars_for, java_for

    settings = Settings.load()
    plan = SparkPlan(
        app="history",
        java_home=java_for(settings).home,
        memory="700m",
        jars=jars_for(settings).connector,
        log=Path(stream.folder) / "jvm.log",
        master="local[4]",
    )
    with spark_session(plan) as spark:
        stream.start(spark).awaitTermination()


if __name__ == "__main__":
    _run(HistoryStream(**json.loads(sys.argv[1])))
