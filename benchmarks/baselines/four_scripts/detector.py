"""The Spark script as usually written: foreachBatch, collect, one POST per fraud; started by the runner.

The model is a pipeline saved by Spark ML; a row is a fraud when its probability reaches the model's threshold.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from typing import Any

import requests
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, from_json
from pyspark.sql.types import DoubleType, StructField, StructType

from benchmarks.baselines.reporting import tell


def main() -> None:
    """Run the query until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--model", required=True, help="A saved PipelineModel, and its threshold beside it.")
    parser.add_argument("--jars", required=True, help="Spark's Kafka connector, with commas.")
    parser.add_argument("--api", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--first-offsets", type=int, default=0, help="Sum over the partitions, to count rows from.")
    parser.add_argument("--start", choices=("earliest", "latest"), default="earliest")
    arguments = parser.parse_args()

    spark = (
        SparkSession.builder.appName("FraudDetection")
        .master("local[2]")
        .config("spark.jars", arguments.jars)
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    model = PipelineModel.load(f"{arguments.model}/pipeline")
    with open(f"{arguments.model}/pipeline.json") as file:
        export = json.load(file)
    schema = StructType([StructField(name, DoubleType()) for name in export["names"]])

    rows = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", arguments.bootstrap_servers)
        .option("subscribe", arguments.topic)
        .option("startingOffsets", arguments.start)
        .option("maxOffsetsPerTrigger", 100_000)
        .load()
        .select("partition", "offset", from_json(col("value").cast("string"), schema).alias("data"))
        .select("partition", "offset", "data.*")
    )

    def post_frauds(batch: DataFrame, _batch_id: int) -> None:
        frauds = (
            model.transform(batch)
            .filter(vector_to_array(col("probability"))[1] >= export["threshold"])
            .select("partition", "offset", *export["names"])
            .collect()
        )
        for fraud in frauds:
            requests.post(f"{arguments.api}/api/fraud", json=fraud.asDict(), timeout=10)

    query = rows.writeStream.foreachBatch(post_frauds).option("checkpointLocation", arguments.checkpoint).start()
    threading.Thread(target=report, args=(query, arguments.first_offsets), daemon=True).start()
    query.awaitTermination()


def report(query: Any, first_offsets: int) -> None:
    """Tell from the query's own progress how far it is; costs the batches nothing."""
    last_batch = -1
    while True:
        time.sleep(0.1)
        progress = query.lastProgress
        if progress is None or progress["batchId"] <= last_batch:
            continue
        last_batch = progress["batchId"]
        ends = progress["sources"][0]["endOffset"] or {}
        ends = json.loads(ends) if isinstance(ends, str) else ends
        read = sum(offset for topic in ends.values() for offset in topic.values())
        if read > first_offsets:
            tell(time.time(), read - first_offsets)


if __name__ == "__main__":
    main()
