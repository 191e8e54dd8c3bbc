"""TreeSHAP held to the definition: Shapley values by brute force over every set of columns."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from fraudstream.model.explanation.classifier import TreeShap
from fraudstream.model.explanation.spark_files import Node, Tree

SLOTS = 7
COLUMN = (0, 1, 2, 3, 3, 4, 4)
"""Columns 3 and 4 take two slots each, as a time does."""


def random_tree(rng: random.Random, depth: int) -> Tree:
    nodes: list[Node] = []

    def grow(left_depth: int, cover: float) -> int:
        place = len(nodes)
        prediction = rng.gauss(0, 1)
        leaf = Node(-1, -1, -1, math.nan, cover, prediction)
        nodes.append(leaf)
        if left_depth and cover > 1 and rng.random() > 0.1:
            share = rng.uniform(0.02, 0.98)
            left = grow(left_depth - 1, cover * share)
            right = grow(left_depth - 1, cover * (1 - share))
            slot = rng.randrange(SLOTS)
            nodes[place] = Node(left, right, slot, rng.gauss(0, 1), cover, prediction)
        return place

    grow(depth, 1000.0)
    return Tree(tuple(nodes), 1.0)


def expected(tree: Tree, vector: Sequence[float], known: frozenset[int], place: int = 0) -> float:
    """Algorithm 1 of the paper: the mean of the leaves, those of unknown columns weighed by their training rows."""
    node = tree.nodes[place]
    if node.is_leaf:
        return node.value
    if COLUMN[node.component] in known:
        return expected(tree, vector, known, node.left if vector[node.component] <= node.threshold else node.right)
    return sum(
        tree.nodes[child].cover / node.cover * expected(tree, vector, known, child) for child in (node.left, node.right)
    )


def shapley(trees: Sequence[Tree], vector: Sequence[float]) -> list[float]:
    players = range(max(COLUMN) + 1)
    values = {
        frozenset(known): sum(expected(tree, vector, frozenset(known)) for tree in trees)
        for size in range(len(players) + 1)
        for known in itertools.combinations(players, size)
    }
    contributions = []
    for player in players:
        total = 0.0
        for known, value in values.items():
            if player not in known:
                weight = math.factorial(len(known)) * math.factorial(len(players) - len(known) - 1)
                total += weight / math.factorial(len(players)) * (values[known | {player}] - value)
        contributions.append(total)
    return contributions


@pytest.mark.parametrize("seed", range(12))
def test_contributions_are_the_shapley_values_of_the_columns(seed: int) -> None:
    rng = random.Random(seed)
    trees = [random_tree(rng, depth) for depth in (0, 1, 2, 5, 6, 7)]
    explained = TreeShap(trees, [[node.value for node in tree.nodes] for tree in trees], COLUMN)
    for _ in range(5):
        vector = [rng.gauss(0, 1.5) for _ in range(SLOTS)]
        prediction, contributions = explained.explain(np.array(vector))
        assert prediction == pytest.approx(sum(expected(tree, vector, frozenset(COLUMN)) for tree in trees), abs=1e-12)
        assert contributions == pytest.approx(shapley(trees, vector), abs=1e-11)
        assert explained.base + contributions.sum() == pytest.approx(prediction, abs=1e-11)


def test_trees_that_split_nothing_give_their_value_and_no_reason() -> None:
    tree = Tree((Node(-1, -1, -1, math.nan, 5.0, 0.25),), 1.0)
    explained = TreeShap([tree], [[0.25]], COLUMN)
    prediction, contributions = explained.explain(np.zeros(SLOTS))
    assert (explained.base, prediction, contributions.tolist()) == (0.25, 0.25, [0.0] * 5)


@pytest.mark.parametrize("depth", [0, 1, 7])
def test_many_vectors_at_once_end_in_the_leaves_of_each(depth: int) -> None:
    rng = random.Random(depth)
    tree = random_tree(rng, depth)
    vectors = np.array([[rng.gauss(0, 1.5) for _ in range(SLOTS)] for _ in range(50)])
    predictions = [tree.nodes[leaf].value for leaf in tree.leaves(vectors)]
    assert predictions == [expected(tree, vector, frozenset(COLUMN)) for vector in vectors.tolist()]


def test_a_value_on_the_threshold_goes_left_as_in_spark() -> None:
    leaves = [Node(-1, -1, -1, math.nan, 5.0, value) for value in (1.0, 2.0)]
    tree = Tree((Node(1, 2, 0, 0.5, 10.0, 0.0), *leaves), 1.0)
    explained = TreeShap([tree], [[0.0, 1.0, 2.0]], COLUMN)
    assert [explained.explain(np.full(SLOTS, at))[0] for at in (0.5, np.nextafter(0.5, 1))] == [1.0, 2.0]
