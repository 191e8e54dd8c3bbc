"""Saved trees, rewritten in the form that Spark ML keeps on a local disk and reads without a job.

Spark saves trees as Parquet and loads them with several jobs: 3 s in a JVM that has just started. For Spark Connect it
has a second form (`ReadWriteUtils.localSavingModeState`), plain arrays in big-endian order, which it loads in 0.1 s.
What is done with the folder that is written here is `assembled.py`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fraudstream.model.explanation.spark_files import read_rows

METADATA: Final = "metadata"
TREES: Final = "treesMetadata"
NODES: Final = "data"

_NODE: Final = struct.Struct(">iidd")  # tree, node, prediction, impurity
_BRANCH: Final = struct.Struct(">qdiii")  # rows, gain, left, right, slot
_SHORT: Final = struct.Struct(">H")
_INT: Final = struct.Struct(">i")
_DOUBLE: Final = struct.Struct(">d")


def write_local_form(saved: Path, metadata: str, folder: Path) -> None:
    """Write the trees that Spark saved at `saved` into `folder`, an empty one, as its local loader reads them.

    Args:
        saved: Folder of a forest or of boosted trees.
        metadata: The JSON of its own metadata, which is the same in both forms.
        folder: Where.

    Raises:
        ModelCorrupt: It is not what Spark saves.
    """
    # The columns of the trees' own metadata have had several names; their order has been one: id, text, weight.
    trees = [tuple(row.values()) for row in read_rows(saved / TREES)]
    (folder / METADATA).write_text(metadata)
    (folder / TREES).write_bytes(_INT.pack(len(trees)) + b"".join(_tree(*tree) for tree in sorted(trees)))
    nodes = read_rows(saved / NODES)
    nodes.sort(key=lambda row: (row["treeID"], row["nodeData"]["id"]))
    (folder / NODES).write_bytes(
        _INT.pack(len(nodes)) + b"".join(_node(row["treeID"], row["nodeData"]) for row in nodes)
    )


def _tree(tree: int, metadata: str, weight: float) -> bytes:
    text = metadata.encode()  # as Java's writeUTF has it: the parameters of a tree, which are ASCII
    return _INT.pack(tree) + _SHORT.pack(len(text)) + text + _DOUBLE.pack(weight)


def _node(tree: int, node: Mapping[str, Any]) -> bytes:
    split = node["split"]
    branch = (node["rawCount"], node["gain"], node["leftChild"], node["rightChild"], split["featureIndex"])
    return b"".join(
        (
            _NODE.pack(tree, node["id"], node["prediction"], node["impurity"]),
            _doubles(node["impurityStats"]),
            _BRANCH.pack(*branch),
            _doubles(split["leftCategoriesOrThreshold"]),
            _INT.pack(split["numCategories"]),
        )
    )


def _doubles(values: Sequence[float]) -> bytes:
    return struct.pack(f">i{len(values)}d", len(values), *values)
