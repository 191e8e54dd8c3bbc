"""TreeSHAP: what each column adds to the prediction of trees, exactly; which trees, and in what unit, is told to it.

The game is that of S. Lundberg, G. Erion, S.-I. Lee, "Consistent Individualized Feature Attribution for Tree Ensembles"
(2018), Algorithm 1: a column that is not known sends a row down both branches, weighed by the training rows that went
there. Their recursion visits nodes one by one; here all leaves are worked out at once. A leaf's share of the game is a
product over the columns on its path, and the Shapley value of such a product is an integral of a polynomial over
[0, 1], which Gauss-Legendre quadrature gives exactly: no sampling, nothing approximated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.explanation.spark_files import Floats, Tree

Integers = NDArray[np.int64]


class _Leaf(NamedTuple):
    """A leaf by its path: the bounds of each slot, and by column the share of the training rows that stay on it."""

    value: float
    bounds: dict[int, tuple[float, float]]
    share: dict[int, float]


@dataclass(frozen=True)
class TreeShap:
    """Trees laid out by their leaves; L leaves, at most D columns on a path, Q points of the quadrature.

    Attributes:
        value: Of each leaf (L).
        slot: By condition, the slot of the vector.
        low: By condition, the bound that the value must be above.
        high: By condition, the bound that it must not be above.
        first: By pair of leaf and column, its first condition.
        pair: The pairs as places in a flat L x D.
        share: By leaf and column, the share of training rows that stay on the path (L x D); 1 where there is none.
        column: By leaf and column, which one (L x D); `columns` where there is none.
        unknown: By leaf, column and point, the factor of a column that leaves the path (L x D x Q).
        known: The factor of one that stays on it (L x D x Q).
        weight: Of the points (Q).
    """

    base: float
    value: Floats
    slot: Integers
    low: Floats
    high: Floats
    first: Integers
    pair: Integers
    share: Floats
    column: Integers
    columns: int
    unknown: Floats
    known: Floats
    weight: Floats

    @classmethod
    def of(cls, trees: Sequence[Tree], values: Sequence[Sequence[float]], column: Sequence[int]) -> TreeShap:
        """Lay out trees.

        `values` has by tree and node what the prediction gains where a row ends there; `column` by slot of the vector
        the column that it was made from: the slots of a category, or of a time, are one player of the game.
        """
        leaves = [leaf for tree, value in zip(trees, values, strict=True) for leaf in _leaves(tree, value, column)]
        columns = max(column) + 1
        depth = max(1, *(len(leaf.share) for leaf in leaves))
        share = np.ones((len(leaves), depth))
        player = np.full((len(leaves), depth), columns)
        conditions: list[tuple[int, float, float]] = []
        first: list[int] = []
        pair: list[int] = []
        for row, leaf in enumerate(leaves):
            for place, (which, rest) in enumerate(leaf.share.items()):
                share[row, place], player[row, place] = rest, which
                first.append(len(conditions))
                pair.append(row * depth + place)
                conditions += [(slot, *ends) for slot, ends in leaf.bounds.items() if column[slot] == which]
        # Points and weights on [0, 1]; so many are exact for the polynomials of degree `depth` - 1 that come up.
        points, weight = np.polynomial.legendre.leggauss((depth + 1) // 2)
        points, weight = (points + 1.0) / 2.0, weight / 2.0
        unknown = share[:, :, None] * (1.0 - points)
        value = np.array([leaf.value for leaf in leaves])
        return cls(
            base=float(value @ share.prod(axis=1)),
            value=value,
            slot=np.array([slot for slot, _, _ in conditions], dtype=np.int64),
            low=np.array([low for _, low, _ in conditions]),
            high=np.array([high for _, _, high in conditions]),
            first=np.array(first, dtype=np.int64),
            pair=np.array(pair, dtype=np.int64),
            share=share,
            column=player,
            columns=columns,
            unknown=unknown,
            known=unknown + points,
            weight=weight,
        )

    def explain(self, vector: Floats) -> tuple[float, Floats]:
        """The prediction for a scaled vector, and what each column adds to `base` to make it."""
        flat = np.ones(self.share.size, dtype=np.bool_)
        if len(self.first):
            values = vector[self.slot]
            holds = (values > self.low) & (values <= self.high)
            flat[self.pair] = np.logical_and.reduceat(holds, self.first)
        stays = flat.reshape(self.share.shape)
        factors = np.where(stays[:, :, None], self.known, self.unknown)
        # The product over the other columns: every factor is above 0, as every branch has had a training row.
        others = factors.prod(axis=1)[:, None, :] / factors
        added = self.value[:, None] * (stays - self.share) * (others @ self.weight)
        contributions: Floats = np.bincount(
            self.column.ravel(), weights=added.ravel(), minlength=self.columns + 1
        ).astype(np.float64, copy=False)
        return float(self.value[stays.all(axis=1)].sum()), contributions[: self.columns]


def _leaves(tree: Tree, values: Sequence[float], column: Sequence[int]) -> Iterator[_Leaf]:
    pending: list[tuple[int, dict[int, tuple[float, float]], dict[int, float]]] = [(0, {}, {})]
    while pending:
        place, bounds, share = pending.pop()
        node = tree.nodes[place]
        if node.is_leaf:
            yield _Leaf(values[place], bounds, share)
            continue
        low, high = bounds.get(node.slot, (-np.inf, np.inf))
        which = column[node.slot]
        for child, ends in (
            (node.right, (max(low, node.threshold), high)),
            (node.left, (low, min(high, node.threshold))),
        ):
            rest = share.get(which, 1.0) * tree.nodes[child].cover / node.cover
            pending.append((child, {**bounds, node.slot: ends}, {**share, which: rest}))
