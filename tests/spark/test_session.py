"""A Python that has a Spark already, as a notebook may, keeps it as it was."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

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
