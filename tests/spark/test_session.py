"""A Python that has a Spark already, as a notebook may, keeps it as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from fraudstream.runtime import cluster
from fraudstream.runtime.cluster import read_parquet
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.spark import spark_session

pytestmark = pytest.mark.spark


def test_a_session_that_is_there_is_worked_beside_and_left_alone(spark: SparkSession, java: Java) -> None:
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        with spark_session(SparkPlan(app="beside", java_home=java.home)) as session:
            assert session.sparkContext is spark.sparkContext
            assert session.conf.get("spark.sql.session.timeZone") == "UTC"
            assert session.range(3).count() == 3
        assert spark.conf.get("spark.sql.session.timeZone") == "America/New_York"
        assert spark.range(3).count() == 3
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_executors_of_a_cluster_read_no_file_of_this_machine(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"row": pa.array(range(25_000), pa.int64()), "text": ["x"] * 25_000})
    pq.write_table(table, tmp_path / "a.parquet")
    local = read_parquet(spark, tmp_path, table.schema)
    monkeypatch.setattr(cluster, "is_local", lambda session: False)
    sent = read_parquet(spark, tmp_path, table.schema)
    assert sent.schema == local.schema
    assert sorted(sent.collect()) == sorted(local.collect())
    assert (len(local.inputFiles()), sent.inputFiles()) == (1, [])
    assert sent.rdd.getNumPartitions() == 3
