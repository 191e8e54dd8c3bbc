"""Compares a threshold with the active one, by the figures of three sources."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from fraudstream.dashboard.services.live_scores import LiveScores
from fraudstream.dashboard.services.rescoring import deployment_at
from fraudstream.dashboard.services.what_if_sources import (
    PeriodFigures,
    WhatIfSource,
    live_source,
    mean_fraud,
    test_source,
    verdict_source,
)
from fraudstream.errors import ModelError, ModelNamedDirectly
from fraudstream.messages.answers import ActiveModel
from fraudstream.messages.base import Object
from fraudstream.model.deployment.current import Deployment, changeable_models_dir
from fraudstream.model.evaluation.evaluate import FRAUDS_FOR_COST
from fraudstream.model.evaluation.record import Evaluation, read_evaluation
from fraudstream.model.evaluation.thresholds import DEFAULT_REVIEW_COST, cheapest
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.store.reading import AlertReader
from fraudstream.transactions.cards import masked_text

CURVE_END: Final = 9.25
CURVE_POINTS: Final = 75
"""Thresholds of the curves: even steps of a quarter in the log odds, from 0.0001 to 0.9999."""


@dataclass(frozen=True)
class WhatIfResult:
    """The effect of another threshold, next to the one `recommended` by the training (None if unknown).

    Attributes:
        cheapest: Of least cost in the model's own table at this cost of a false alarm; None if unknown or few frauds.
        why_not: Why it cannot be deployed here; empty if it can.
    """

    deployment: Deployment
    threshold: float
    review_cost: float
    recommended: float | None
    cheapest: float | None
    sources: tuple[WhatIfSource, ...]
    why_not: str

    def document(self, *, with_curve: bool) -> Object:
        """Return the JSON object of docs/http.md."""
        document: Object = {
            "in_force": {name: getattr(self.deployment, name) for name in ActiveModel.model_fields},
            **{name: getattr(self, name) for name in ("threshold", "review_cost", "recommended", "cheapest")},
            "changeable": not self.why_not,
            "why_not": self.why_not or None,
            "sources": [self._source(source) for source in self.sources],
        }
        if with_curve:
            document["curve"] = [
                {"threshold": threshold, **{key: _rounded(figures) for key, figures in by_source.items()}}
                for threshold, by_source in curve(self.sources)
            ]
        return document

    def _source(self, source: WhatIfSource) -> Object:
        thresholds = {"now": self.deployment.threshold, "then": self.threshold}
        figures = {name: source.at and _rounded(source.at(at)) for name, at in thresholds.items()}
        members = {name: value for name, value in vars(source).items() if name != "at"}
        return members | {"lacking": source.lacking or None} | figures


@dataclass(frozen=True)
class WhatIfService:
    """Compares thresholds of the model at a path with its active one."""

    model: Path
    explainers: ExplainerLibrary
    store: AlertReader
    scores: LiveScores

    def at(self, threshold: float | None, review_cost: float | None) -> WhatIfResult:
        """Compare a threshold (None: the active one), at a cost of a false alarm (None: the model's own).

        Raises ModelError if no model is active or it cannot be read.
        """
        deployment = deployment_at(self.model)
        evaluation = _evaluation(self.explainers.models_dir / deployment.model_id)
        own = None if evaluation is None else evaluation.threshold
        cost = review_cost if review_cost is not None else own.review_cost if own is not None else DEFAULT_REVIEW_COST
        rows = () if evaluation is None else evaluation.thresholds
        traffic = self.scores.traffic(deployment.model_id)
        return WhatIfResult(
            # `who` and `why` are free text.
            deployment=replace(deployment, who=masked_text(deployment.who), why=masked_text(deployment.why)),
            threshold=deployment.threshold if threshold is None else threshold,
            review_cost=cost,
            recommended=None if own is None else own.threshold,
            cheapest=cheapest(rows, cost).threshold if rows and rows[0].expected.frauds >= FRAUDS_FOR_COST else None,
            sources=(
                test_source(evaluation, cost),
                live_source(self.store, traffic, deployment, mean_fraud(evaluation), cost),
                verdict_source(self.store, deployment, cost),
            ),
            why_not=_why_not(self.model),
        )


def curve(sources: Sequence[WhatIfSource]) -> list[tuple[float, dict[str, PeriodFigures]]]:
    """Return the figures of each source along the thresholds that it covers."""
    thresholds = 1.0 / (1.0 + np.exp(-np.linspace(-CURVE_END, CURVE_END, CURVE_POINTS)))

    def figures(threshold: float) -> dict[str, PeriodFigures]:
        return {each.key: each.at(threshold) for each in sources if each.at and threshold >= each.known_from}

    return [(threshold, figures(threshold)) for threshold in thresholds.tolist()]


def _rounded(figures: PeriodFigures) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 6) for name, value in figures._asdict().items()}


@lru_cache(maxsize=1)
def _evaluation(artifact: Path) -> Evaluation | None:
    """Return the evaluation of an artifact, read once: an artifact never changes."""
    try:
        return read_evaluation(artifact)
    except ModelError:
        return None


def _why_not(model: Path) -> str:
    try:
        models_dir = changeable_models_dir(model)
    except ModelNamedDirectly:
        return (
            "The model was named directly as an artifact, which never changes: start the dashboard with models/current."
        )
    if not os.access(models_dir, os.W_OK):
        return f"The dashboard cannot write to {models_dir}: use `fraudstream threshold` as a user who can."
    return ""
