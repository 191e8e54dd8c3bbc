"""Exports a saved model as arrays, so that a baseline needs neither Spark nor fraudstream to score with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from fraudstream.errors import SettingsError
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.explanation.spark_files import Tree, read_linear, read_scaler, read_trees
from fraudstream.model.manifest import FeatureType, by_component

ARRAYS: Final = "model.npz"
PLAIN: Final = "model.json"


def export_model(artifact: ModelArtifact, deployment: Deployment, folder: Path) -> None:
    """Write the model into `folder`: as arrays, and the same as JSON for baselines without numpy.

    Raises:
        SettingsError: It reads categories or times, or is active with aliases: the baselines know numbers by one name.
    """
    manifest = artifact.manifest
    features = by_component(manifest.features)
    if deployment.aliases or any(feature.type is not FeatureType.NUMBER for feature in features):
        raise SettingsError(
            "the baselines score only columns of numbers under their own names",
            where=str(artifact.path),
            remedy="train on numbers alone (`--features`), without aliases",
        )
    scaler = read_scaler(artifact.scaler_path)
    arrays: dict[str, Any] = {
        "medians": np.array([feature.imputation[0] for feature in features]),
        "mean": scaler.mean,
        "factor": scaler.factor,
        "coefficients": np.zeros(0),
    }
    model = {
        "model_id": manifest.model_id,
        "revision": deployment.revision,
        "threshold": deployment.threshold,
        "missing_limit": manifest.missing_limit,
        "names": [feature.name for feature in features],
        "intercept": 0.0,
        "depth": 0,
        "is_log_odds": manifest.algorithm != "random-forest",
        "calibration": asdict(manifest.calibration),
    }
    if manifest.algorithm == "logistic-regression":
        arrays["coefficients"], model["intercept"] = read_linear(artifact.classifier_path)
    else:
        trees = read_trees(artifact.classifier_path)
        is_boosted = manifest.algorithm == "gbt"
        # Spark's boosted trees fit half the log odds; a forest averages the shares of fraud in its leaves.
        values = [
            [2.0 * tree.weight * node.value if is_boosted else node.value / len(trees) for node in tree.nodes]
            for tree in trees
        ]
        nodes, model["depth"] = tree_arrays(trees, values)
        arrays |= nodes
    np.savez(folder / ARRAYS, model=np.array(json.dumps(model)), **arrays)
    lists = {name: array.tolist() for name, array in arrays.items()}
    (folder / PLAIN).write_text(json.dumps(lists | model))


def tree_arrays(trees: Sequence[Tree], values: Sequence[Sequence[float]]) -> tuple[dict[str, Any], int]:
    """All trees as one list of nodes, as `plain_consumer/model.py` goes through them, and the depth of the deepest."""
    slot: list[int] = []
    threshold: list[float] = []
    left: list[int] = []
    value: list[float] = []
    roots: list[int] = []
    deepest = 0

    def take_place() -> int:
        slot.append(0)
        threshold.append(float("inf"))
        left.append(len(left))
        value.append(0.0)
        return len(left) - 1

    for tree, worth in zip(trees, values, strict=True):
        roots.append(take_place())
        pending = [(0, roots[-1], 0)]
        while pending:
            number, place, depth = pending.pop()
            node, deepest = tree.nodes[number], max(deepest, depth)
            if node.is_leaf:
                value[place] = worth[number]
                continue
            slot[place], threshold[place], left[place] = node.component, node.threshold, take_place()
            pending += [(node.left, left[place], depth + 1), (node.right, take_place(), depth + 1)]
    arrays = {
        "slot": np.array(slot, dtype=np.int64),
        "split": np.array(threshold),
        "left": np.array(left, dtype=np.int64),
        "value": np.array(value),
        "roots": np.array(roots, dtype=np.int64),
    }
    return arrays, deepest
