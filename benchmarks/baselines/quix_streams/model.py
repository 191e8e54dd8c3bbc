"""The exported model as Python made for single rows; `application.py` calls it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import Any

Score = Callable[[Sequence[float]], float]


def compiled(model: dict[str, Any]) -> Score:
    """The model as Python made for it: a single row is scored faster so than through numpy.

    The scaler is folded into the coefficients of a linear model and stands in the comparisons of the trees.
    """
    a, b, c = (model["calibration"][name] for name in ("a", "b", "c"))
    margin = _linear(model) if model["coefficients"] else _trees(model)

    def score(values: Sequence[float]) -> float:
        raw = 1.0 / (1.0 + math.exp(-margin(values))) if model["is_log_odds"] else margin(values)
        for_fraud = raw**a
        return float(for_fraud / (for_fraud + (1.0 - raw) ** b * math.exp(-c)))

    return score


def _linear(model: dict[str, Any]) -> Score:
    weights = [weight * by for weight, by in zip(model["coefficients"], model["factor"], strict=True)]
    base = model["intercept"] - sum(map(mul, weights, model["mean"]))
    return lambda values: base + sum(map(mul, weights, values))


def _trees(model: dict[str, Any]) -> Score:
    trees = [_function(model, root) for root in model["roots"]]
    return lambda values: sum([tree(values) for tree in trees])


def _function(model: dict[str, Any], root: int) -> Score:
    """A tree as one nested conditional expression."""

    def expression(place: int) -> str:
        left = model["left"][place]
        if left == place:
            return repr(model["value"][place])
        slot = model["slot"][place]
        test = f"(x[{slot}] - {model['mean'][slot]!r}) * {model['factor'][slot]!r} <= {model['split'][place]!r}"
        return f"({expression(left)} if {test} else {expression(left + 1)})"

    function: Score = eval(f"lambda x: {expression(root)}", {"__builtins__": {}})
    return function
