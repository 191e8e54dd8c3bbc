"""Loads saved Spark ML models without the jobs of Spark's own loader.

Spark loads a scaler or a linear model with four jobs over files of a few hundred bytes: 2.4 s in a newly started
JVM, of the 11 to the first scored transaction; trees take 3. Here the numbers are read without it and passed to the
constructors that its loader calls. Trees, saved as Parquet and loaded with several jobs, are rewritten in the format
of Spark Connect (`ReadWriteUtils.localSavingModeState`), plain arrays in big-endian order, loaded in 0.1 s.

Every reading function raises ModelCorrupt if the file is not what Spark saves.
"""

import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from pyspark.ml.classification import GBTClassificationModel, LogisticRegressionModel, RandomForestClassificationModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import StandardScalerModel
from pyspark.ml.linalg import DenseMatrix, Vectors
from pyspark.sql import SparkSession

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import MOST_MANIFEST_BYTES, TRAIN_REMEDY, ModelArtifact
from fraudstream.model.explanation.spark_files import read_linear, read_moments, read_rows
from fraudstream.model.training.recipe import FittedModel
from fraudstream.runtime.files import hadoop_path, read_regular

METADATA: Final = "metadata"
TREES: Final = "treesMetadata"
NODES: Final = "data"

CLASSIFIERS: Final[dict[str, Any]] = {
    "logistic-regression": LogisticRegressionModel,
    "random-forest": RandomForestClassificationModel,
    "gbt": GBTClassificationModel,
}


def assemble_scaler(spark: SparkSession, path: Path) -> StandardScalerModel:
    """Load the StandardScalerModel saved at `path`."""
    mean, std = read_moments(path)
    java_class = _ml(spark).feature.StandardScalerModel
    model = _construct(spark, StandardScalerModel, java_class, path, Vectors.dense(std), Vectors.dense(mean))
    return cast(StandardScalerModel, model)


def assemble_linear(spark: SparkSession, path: Path) -> LogisticRegressionModel:
    """Load the LogisticRegressionModel saved at `path`; raises ModelCorrupt if it is not binary."""
    coefficients, intercept = read_linear(path)
    matrix = DenseMatrix(1, len(coefficients), coefficients.tolist(), isTransposed=True)
    java_class = _ml(spark).classification.LogisticRegressionModel
    arguments = (matrix, Vectors.dense([intercept]), 2, False)
    return cast(LogisticRegressionModel, _construct(spark, LogisticRegressionModel, java_class, path, *arguments))


def assemble_trees(spark: SparkSession, kind: Any, path: Path) -> Any:
    """Load the forest or boosted trees saved at `path`; `kind` is pyspark's class for them."""
    if os.environ.get("PYSPARK_PIN_THREAD", "true").lower() != "true":
        return kind.load(hadoop_path(path))  # the mode is local to a JVM thread, and the next call may use another
    is_local = getattr(_ml(spark).util, "ReadWriteUtils$").__getattr__("MODULE$").localSavingModeState()
    with tempfile.TemporaryDirectory(prefix="fraudstream-trees-") as folder:
        write_local_form(path, _metadata_text(path), Path(folder))
        previous = is_local.get()
        is_local.set(True)
        try:
            return kind.load(folder)
        finally:
            is_local.set(previous)


def _construct(spark: SparkSession, kind: Any, java_class: Any, path: Path, *arguments: Any) -> Any:
    """Construct a model from its uid and the arguments, with the saved parameters set as the loader sets them."""
    metadata = _ml(spark).util.DefaultParamsReader.parseMetadata(_metadata_text(path), "")
    java = java_class(metadata.uid(), *(_py2java(spark.sparkContext, argument) for argument in arguments))
    metadata.getAndSetParams(java, getattr(metadata, "getAndSetParams$default$2")())
    return kind._from_java(java)  # noqa: SLF001  as in pyspark's own loader


def _metadata_text(path: Path) -> str:
    try:
        (file,) = (path / "metadata").glob("part-*")
        return read_regular(file, MOST_MANIFEST_BYTES).decode()
    except (OSError, ValueError) as e:
        raise ModelCorrupt("the saved model has no metadata", where=str(path), remedy=TRAIN_REMEDY) from e


def _ml(spark: SparkSession) -> Any:
    return cast(Any, spark.sparkContext._jvm).org.apache.spark.ml  # noqa: SLF001  the only access to the JVM


def write_local_form(saved: Path, metadata: str, folder: Path) -> None:
    """Write the trees that Spark saved at `saved` to an empty `folder`, in the format of its local loader."""
    # The metadata columns of trees differ in name between versions, but not in order: id, text, weight.
    trees = [tuple(row.values()) for row in read_rows(saved / TREES)]
    (folder / METADATA).write_text(metadata)
    (folder / TREES).write_bytes(struct.pack(">i", len(trees)) + b"".join(_tree(*tree) for tree in sorted(trees)))
    nodes = read_rows(saved / NODES)
    nodes.sort(key=lambda row: (row["treeID"], row["nodeData"]["id"]))
    records = b"".join(_node(row["treeID"], row["nodeData"]) for row in nodes)
    (folder / NODES).write_bytes(struct.pack(">i", len(nodes)) + records)


def _tree(tree: int, metadata: str, weight: float) -> bytes:
    text = metadata.encode()  # as in Java's writeUTF: the parameters of a tree, which are ASCII
    return struct.pack(f">iH{len(text)}sd", tree, len(text), text, weight)


def _node(tree: int, node: Mapping[str, Any]) -> bytes:
    split, stats = node["split"], node["impurityStats"]
    thresholds = split["leftCategoriesOrThreshold"]
    return struct.pack(
        f">iidd i{len(stats)}d qdiii i{len(thresholds)}d i",
        *(tree, node["id"], node["prediction"], node["impurity"]),
        *(len(stats), *stats),
        *(node["rawCount"], node["gain"], node["leftChild"], node["rightChild"], split["featureIndex"]),
        *(len(thresholds), *thresholds),
        split["numCategories"],
    )


def load_fitted(artifact: ModelArtifact) -> FittedModel:
    """Load the scaler and classifier of a verified artifact into the active session; ModelCorrupt if unknown."""
    algorithm = artifact.manifest.algorithm
    if algorithm not in CLASSIFIERS:
        raise ModelCorrupt(
            f"the artifact's algorithm {algorithm!r} is unknown to this version",
            where=str(artifact.path),
            remedy=f"train again with one of: {', '.join(CLASSIFIERS)}",
        )
    spark = SparkSession.active()
    scaler = assemble_scaler(spark, artifact.scaler_path)
    if algorithm == "logistic-regression":
        return FittedModel(scaler, assemble_linear(spark, artifact.classifier_path))
    return FittedModel(scaler, assemble_trees(spark, CLASSIFIERS[algorithm], artifact.classifier_path))
