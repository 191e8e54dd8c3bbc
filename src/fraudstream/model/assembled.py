"""A saved scaler and a saved linear model as Spark's own objects, without Spark's loader; `saved.py` chooses.

Spark loads either with four jobs over files of a few hundred bytes: 2.4 s in a JVM that has just started, of the 11 to
the first scored row. Here the numbers are read without it, and handed to the constructors that its loader calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import StandardScalerModel
from pyspark.ml.linalg import DenseMatrix, Vectors
from pyspark.sql import SparkSession

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import TRAIN_REMEDY
from fraudstream.model.explanation.spark_files import read_linear, read_moments


def assemble_scaler(spark: SparkSession, path: Path) -> StandardScalerModel:
    """The StandardScalerModel saved at `path`.

    Raises:
        ModelCorrupt: It is not what Spark saves.
    """
    mean, std = read_moments(path)
    java = _ml(spark).feature.StandardScalerModel(
        _uid(spark, path), _to_java(spark, Vectors.dense(std)), _to_java(spark, Vectors.dense(mean))
    )
    return cast(StandardScalerModel, _from_java(spark, StandardScalerModel, java, path))


def assemble_linear(spark: SparkSession, path: Path) -> LogisticRegressionModel:
    """The binary LogisticRegressionModel saved at `path`.

    Raises:
        ModelCorrupt: It is not what Spark saves, or not binary.
    """
    coefficients, intercept = read_linear(path)
    matrix = DenseMatrix(1, len(coefficients), coefficients.tolist(), isTransposed=True)
    java = _ml(spark).classification.LogisticRegressionModel(
        _uid(spark, path), _to_java(spark, matrix), _to_java(spark, Vectors.dense([intercept])), 2, False
    )
    return cast(LogisticRegressionModel, _from_java(spark, LogisticRegressionModel, java, path))


def _from_java(spark: SparkSession, kind: Any, java: Any, path: Path) -> Any:
    """The Python object of one of the JVM's, with the parameters that were saved, as the loader sets them."""
    metadata = _metadata(spark, path)
    metadata.getAndSetParams(java, getattr(metadata, "getAndSetParams$default$2")())
    return kind._from_java(java)  # noqa: SLF001  what pyspark's own loader ends with


def _metadata(spark: SparkSession, path: Path) -> Any:
    try:
        (file,) = (path / "metadata").glob("part-*")
        text = file.read_text()
    except (OSError, ValueError) as e:
        raise ModelCorrupt("the saved model has no metadata", where=str(path), remedy=TRAIN_REMEDY) from e
    return _ml(spark).util.DefaultParamsReader.parseMetadata(text, "")


def _uid(spark: SparkSession, path: Path) -> str:
    return str(_metadata(spark, path).uid())


def _to_java(spark: SparkSession, value: Any) -> Any:
    return _py2java(spark.sparkContext, value)


def _ml(spark: SparkSession) -> Any:
    return cast(Any, spark.sparkContext._jvm).org.apache.spark.ml  # noqa: SLF001  the only way to the JVM there is
