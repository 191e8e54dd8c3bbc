"""All that is decided of a training before anything is fitted: split, features, candidates, the model's digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.model.costs import Losses, losses
from fraudstream.model.evaluation_record import Stage
from fraudstream.model.features import FeatureChoice, choose_features
from fraudstream.model.judging import NO_WISHES, Wishes, span_in_days
from fraudstream.model.manifest import Selection
from fraudstream.model.recipe import Algorithm, algorithms_for, model_digest
from fraudstream.model.selection import select
from fraudstream.model.split import Part, Split, split_in_time
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.label import find_label
from fraudstream.transactions.profile import CsvProfile, profile

_ROLES = {
    Part.FIT: "fit",
    Part.LATE_FOR_COMPARISON: "gap",
    Part.COMPARISON: "comparison",
    Part.LATE_FOR_VALIDATION: "gap",
    Part.VALIDATION: "validation",
    Part.LATE_FOR_TEST: "gap",
    Part.TEST: "test",
}


@dataclass(frozen=True)
class TrainingSettings:
    """What the user asks of a training.

    Attributes:
        label: The label column; None looks for one of the usual names.
        features: Columns to learn from and no others; none lets the values decide.
        exclude: Columns to leave out.
        algorithm: `recipe.AUTO` or one of `recipe.ALGORITHMS`.
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        label_delay_seconds: How long after the payment its label arrives.
        wishes: Of the threshold.
        seed: Of everything random.
    """

    label: str | None = None
    features: Sequence[str] = ()
    exclude: Sequence[str] = ()
    algorithm: str = "auto"
    legitimate_share: float = 1.0
    label_delay_seconds: float = 0.0
    wishes: Wishes = NO_WISHES
    seed: int = 42


@dataclass(frozen=True)
class TrainingPlan:
    """All that is decided before anything is fitted.

    Attributes:
        source: The CSV.
        profile: What is in it.
        split: Which rows are learned from, tuned on and judged on.
        choice: The features.
        selection: What the user named of them.
        algorithms: What is tried.
        losses: What each row loses if it is a fraud that is missed.
        settings: What the user asked for.
        digest: The end of the model's id.
    """

    source: CsvSource
    profile: CsvProfile
    split: Split
    choice: FeatureChoice
    selection: Selection
    algorithms: tuple[Algorithm, ...]
    losses: Losses
    settings: TrainingSettings
    digest: str

    @property
    def weight(self) -> NDArray[np.float64]:
        """By row, how many rows of the whole it stands for."""
        return np.where(self.profile.label.is_fraud, 1.0, 1.0 / self.settings.legitimate_share)

    @property
    def slots(self) -> tuple[str, ...]:
        """What each slot of the vector holds."""
        return tuple(slot for feature in self.choice.features for slot in feature.slots)

    def days(self, rows: NDArray[np.int64]) -> float | None:
        """The span of some rows in days; None where no column tells the time."""
        time = self.profile.time
        return None if time is None else span_in_days(time.values[rows], time.units_per_second)

    def stages(self) -> tuple[Stage, ...]:
        """The parts of the split, the earliest first."""
        return tuple(self._stage(part) for part in Part if len(self.split.rows_of(part)))

    def _stage(self, part: Part) -> Stage:
        rows, time = self.split.rows_of(part), self.profile.time
        moments = rows.astype(np.float64) if time is None else time.values[rows]
        first, last = float(moments.min()), float(moments.max())
        return Stage(
            role=_ROLES[part],
            rows=len(rows),
            frauds=int(self.profile.label.is_fraud[rows].sum()),
            start=f"row {first:.0f}" if time is None else time.shown(first),
            end=f"row {last:.0f}" if time is None else time.shown(last),
            days=self.days(rows),
        )


def plan_training(source: CsvSource, settings: TrainingSettings) -> TrainingPlan:
    """Read the CSV and decide.

    Raises:
        SettingsError: An unknown algorithm, an impossible share or delay, or a column that is not there.
        DataError: The CSV cannot be used; see `profile` and `choose_features`.
    """
    algorithms = algorithms_for(settings.algorithm)
    share = settings.legitimate_share
    if not 0.0 < share <= 1.0:
        raise SettingsError(
            f"the legitimate share {share} is not above 0 and at most 1",
            where="--legitimate-share",
            remedy="give the share of the legitimate rows that the CSV holds, 1 for all of them",
        )
    label = source.columns[find_label(source, settings.label)]
    selection = select(source.columns, features=settings.features, exclude=settings.exclude, label=label)
    unread = set(source.columns) - set(selection.features) if selection.features else selection.exclude
    found = profile(source, label, wanted=selection.features, unread=unread)
    split = split_in_time(found.label.is_fraud, found.time, settings.label_delay_seconds)
    choice = choose_features(found, split.is_train, selection, share)
    digest = model_digest(
        settings.algorithm,
        algorithms,
        fingerprint=source.fingerprint,
        label=found.label.name,
        features=[feature.name for feature in choice.features],
        selection=selection,
        legitimate_share=share,
        settings={
            "label_delay_seconds": settings.label_delay_seconds,
            "review_cost": settings.wishes.review_cost,
            "max_alerts_per_day": settings.wishes.max_alerts_per_day,
        },
        seed=settings.seed,
        pyspark_version=version("pyspark"),
    )
    return TrainingPlan(source, found, split, choice, selection, algorithms, losses(found), settings, digest)
