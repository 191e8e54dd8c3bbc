"""Reads saved Spark ML scalers, linear models and trees from their Parquet files as arrays, without a JVM.

Every reading function raises ModelCorrupt if the file is not what Spark saves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import TRAIN_REMEDY

Floats = NDArray[np.float64]

_SPARSE: Final = 0
MOST_ROWS: Final = 20_000_000
MOST_BYTES: Final = 4 * 1024**3
MOST_COMPONENTS: Final = 1_000_000
"""A file with more is not a model, and reading it would exhaust memory."""

_CONTINUOUS: Final = -1
"""A split's number of categories if it splits a number, as all of ours do."""


@dataclass(frozen=True)
class Scaler:
    """A StandardScalerModel: `(vector - mean) * factor`, as computed by Spark."""

    mean: Floats
    factor: Floats

    def scaled(self, vector: Floats) -> Floats:
        """Scale a vector for the classifier."""
        return (vector - self.mean) * self.factor


@dataclass(frozen=True)
class Node:
    """A node of a tree; in a leaf, `left` and `component` are -1.

    Attributes:
        left: Index of the child for values at or below the threshold.
        component: The component of the vector that is split.
        cover: Weight of the training rows that reached the node.
        value: Of a regression tree its prediction, of a classification tree the share of fraud at the node.
    """

    left: int
    right: int
    component: int
    threshold: float
    cover: float
    value: float

    @property
    def is_leaf(self) -> bool:
        """Whether the node has no split."""
        return self.left < 0


@dataclass(frozen=True)
class Tree:
    """One tree: its nodes with the root first, and its weight among the others."""

    nodes: tuple[Node, ...]
    weight: float

    def leaves(self, scaled: Floats) -> NDArray[np.int64]:
        """Return by row of scaled vectors the index of the leaf that it ends in."""
        ways = np.array([(node.left, node.right, node.component) for node in self.nodes])
        threshold = np.array([node.threshold for node in self.nodes])
        at, rows = np.zeros(len(scaled), np.int64), np.arange(len(scaled))
        while (is_inner := ways[at, 0] >= 0).any():
            is_right = scaled[rows, ways[at, 2]] > threshold[at]
            at = np.where(is_inner, ways[at, is_right.astype(np.int64)], at)
        return at


def read_scaler(path: Path) -> Scaler:
    """Read the scaler saved at `path`."""
    mean, std = read_moments(path)
    with np.errstate(divide="ignore"):
        # Spark drops constant components, and multiplies by 1 / std instead of dividing.
        return Scaler(mean, np.where(std == 0.0, 0.0, 1.0 / std))


def read_moments(path: Path) -> tuple[Floats, Floats]:
    """Read the means and standard deviations of the scaler saved at `path`."""
    (row,) = read_rows(path / "data")
    return _vector(path, row["mean"]), _vector(path, row["std"])


def read_linear(path: Path) -> tuple[Floats, float]:
    """Read the coefficients and intercept of the logistic regression at `path`; ModelCorrupt if it is not binary."""
    (row,) = read_rows(path / "data")
    matrix = row["coefficientMatrix"]
    if row["isMultinomial"] or matrix["numRows"] != 1:
        raise _unknown(path, "a logistic regression of more than two classes")
    width = _width(path, matrix["numCols"])
    coefficients = np.zeros(width)
    values = np.asarray(matrix["values"], dtype=np.float64)
    if matrix["type"] == _SPARSE:
        # A single row in row-major order has its columns in `rowIndices`; in column-major order each has 0 or 1 values.
        if matrix["isTransposed"]:
            coefficients[np.asarray(matrix["rowIndices"])] = values
        else:
            coefficients[np.repeat(np.arange(width), np.diff(matrix["colPtrs"]))] = values
    else:
        coefficients[:] = values
    return coefficients, float(_vector(path, row["interceptVector"])[0])


def read_trees(path: Path) -> tuple[Tree, ...]:
    """Read the trees of a forest or boosted trees at `path`, in Spark's order; ModelCorrupt for category splits."""
    # The metadata columns of trees differ in name between versions, but not in order: id, text, weight.
    weights = {int(tree): float(weight) for tree, _, weight in map(dict.values, read_rows(path / "treesMetadata"))}
    nodes: dict[int, dict[int, Mapping[str, Any]]] = {}
    for row in read_rows(path / "data"):
        nodes.setdefault(int(row["treeID"]), {})[int(row["nodeData"]["id"])] = row["nodeData"]
    if not nodes or nodes.keys() != weights.keys():
        raise _unknown(path, "trees without their weights")
    return tuple(Tree(_tree(path, nodes[tree]), weights[tree]) for tree in sorted(nodes))


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of the Parquet files that Spark wrote to `folder`; ModelCorrupt if there are none."""
    try:
        files = [pq.read_metadata(file) for file in folder.glob("*.parquet")]
        sizes = [file.row_group(group).total_byte_size for file in files for group in range(file.num_row_groups)]
        if sum(file.num_rows for file in files) > MOST_ROWS or sum(sizes) > MOST_BYTES:
            raise _unknown(folder, "more than any model")
        rows: list[dict[str, Any]] = pq.read_table(folder).to_pylist()
    except (OSError, pa.ArrowException) as e:
        raise _unknown(folder, f"something that cannot be read ({e})") from e
    if not rows:
        raise _unknown(folder, "nothing")
    return rows


def _tree(path: Path, nodes: Mapping[int, Mapping[str, Any]]) -> tuple[Node, ...]:
    if sorted(nodes) != list(range(len(nodes))):
        raise _unknown(path, "a tree with a missing node")
    return tuple(_node(path, nodes[index]) for index in range(len(nodes)))


def _node(path: Path, node: Mapping[str, Any]) -> Node:
    split, stats = node["split"], cast(Sequence[float], node["impurityStats"])
    is_leaf = node["leftChild"] < 0
    if not is_leaf and split["numCategories"] != _CONTINUOUS:
        raise _unknown(path, "a split by categories")
    # For a classification tree the weights of the two classes, for a regression tree weight, sum and sum of squares.
    is_classifier = len(stats) == 2
    cover = float(sum(stats)) if is_classifier else float(stats[0])
    return Node(
        left=int(node["leftChild"]),
        right=int(node["rightChild"]),
        component=-1 if is_leaf else int(split["featureIndex"]),
        threshold=float("nan") if is_leaf else float(split["leftCategoriesOrThreshold"][0]),
        cover=cover,
        value=float(stats[1]) / (cover or np.nan) if is_classifier else float(node["prediction"]),
    )


def _vector(path: Path, saved: Mapping[str, Any]) -> Floats:
    values = np.asarray(saved["values"], dtype=np.float64)
    if saved["type"] != _SPARSE:
        return values
    vector = np.zeros(_width(path, saved["size"]))
    vector[np.asarray(saved["indices"], dtype=np.int64)] = values
    return vector


def _width(path: Path, saved: Any) -> int:
    if not 0 <= int(saved) <= MOST_COMPONENTS:
        raise _unknown(path, f"a vector of {saved} components")
    return int(saved)


def _unknown(path: Path, what: str) -> ModelCorrupt:
    return ModelCorrupt(
        f"the saved model cannot be read without Spark: it holds {what}", where=str(path), remedy=TRAIN_REMEDY
    )
