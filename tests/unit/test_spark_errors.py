"""What is said where Spark cannot start or fails: its own text, read while its JVM is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark import SparkContext

from fraudstream.errors import SetupError
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.processes import free_port
from fraudstream.runtime.spark import first_line, spark_session


@pytest.mark.parametrize("master", ["spark://127.0.0.1:{port}", "spark://127.0.0.1", "spark://127.0.0.1:99999999"])
def test_a_spark_master_that_is_not_there_is_said_at_once(master: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)  # another test of this process may have one
    plan = SparkPlan(app="test", java_home=Path("/nowhere"), master=master.format(port=free_port()))
    with pytest.raises(SetupError, match="no Spark master answers") as error, spark_session(plan):
        pass
    assert error.value.where == plan.master
    assert "--spark-master" in error.value.remedy


def test_the_root_cause_of_an_error_of_the_jvm_is_what_is_said() -> None:
    text = """An error occurred while calling o95.start.
: org.apache.spark.SparkException: Failed to start
\tat org.apache.spark.Some.where(Some.scala:1)
Caused by: java.io.IOException: mkdir of file:/checkpoint/state failed
\tat java.base/java.lang.Thread.run(Thread.java:1)
"""
    assert first_line(Exception(text)) == "java.io.IOException: mkdir of file:/checkpoint/state failed"
    assert first_line(Exception("one line")) == "one line"


def test_an_error_whose_jvm_is_gone_says_so() -> None:
    class Gone(Exception):
        def __str__(self) -> str:
            raise ConnectionRefusedError

    assert first_line(Gone()) == "its JVM ended before the reason could be read"
