"""What Spark ML saved as its own objects again, without the jobs of Spark's loader; `saved.py` chooses.

Spark loads a scaler or a linear model with four jobs over files of a few hundred bytes: 2.4 s in a JVM that has just
started, of the 11 to the first scored row; trees take 3. Here the numbers are read without it, and handed to the
constructors that its loader calls, or, trees, to its loader for local files.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, cast

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import StandardScalerModel
from pyspark.ml.linalg import DenseMatrix, Vectors
from pyspark.sql import SparkSession

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import MOST_MANIFEST_BYTES, TRAIN_REMEDY
from fraudstream.model.explanation.spark_files import read_linear, read_moments
from fraudstream.model.local_form import write_local_form
from fraudstream.runtime.files import hadoop_path, read_regular


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


def assemble_trees(spark: SparkSession, kind: Any, path: Path) -> Any:
    """The forest or the boosted trees saved at `path`.

    Args:
        spark: The session.
        kind: The class of pyspark's to load.
        path: Where it was saved.

    Raises:
        ModelCorrupt: It is not what Spark saves.
    """
    if os.environ.get("PYSPARK_PIN_THREAD", "true").lower() != "true":
        return kind.load(hadoop_path(path))  # what is said to one thread of the JVM, the next call may not hear
    is_local = getattr(_ml(spark).util, "ReadWriteUtils$").__getattr__("MODULE$").localSavingModeState()
    with tempfile.TemporaryDirectory(prefix="fraudstream-trees-") as folder:
        write_local_form(path, _metadata_text(path), Path(folder))
        was = is_local.get()
        is_local.set(True)
        try:
            return kind.load(folder)
        finally:
            is_local.set(was)


def _from_java(spark: SparkSession, kind: Any, java: Any, path: Path) -> Any:
    """The Python object of one of the JVM's, with the parameters that were saved, as the loader sets them."""
    metadata = _metadata(spark, path)
    metadata.getAndSetParams(java, getattr(metadata, "getAndSetParams$default$2")())
    return kind._from_java(java)  # noqa: SLF001  what pyspark's own loader ends with


def _metadata(spark: SparkSession, path: Path) -> Any:
    return _ml(spark).util.DefaultParamsReader.parseMetadata(_metadata_text(path), "")


def _metadata_text(path: Path) -> str:
    try:
        (file,) = (path / "metadata").glob("part-*")
        return read_regular(file, MOST_MANIFEST_BYTES).decode()
    except (OSError, ValueError) as e:
        raise ModelCorrupt("the saved model has no metadata", where=str(path), remedy=TRAIN_REMEDY) from e


def _uid(spark: SparkSession, path: Path) -> str:
    return str(_metadata(spark, path).uid())


def _to_java(spark: SparkSession, value: Any) -> Any:
    return _py2java(spark.sparkContext, value)


def _ml(spark: SparkSession) -> Any:
    return cast(Any, spark.sparkContext._jvm).org.apache.spark.ml  # noqa: SLF001  the only way to the JVM there is
