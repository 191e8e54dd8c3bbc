"""All that is decided of a training before anything is fitted: split, features, candidates, the model's digest."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.model.evaluation.evaluate import NO_CONSTRAINTS, ThresholdConstraints, span_in_days
from fraudstream.model.evaluation.record import Stage
from fraudstream.model.evaluation.thresholds import Losses, losses
from fraudstream.model.features.selection import FeatureChoice, choose_features
from fraudstream.model.manifest import Selection
from fraudstream.model.training.recipe import Algorithm, algorithms_for, model_digest
from fraudstream.model.training.split import Part, Split, split_in_time
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.label import CsvProfile, find_label, profile

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
        algorithm: `recipe.AUTO` or one of `recipe.ALGORITHMS`.
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        label_delay_seconds: How long after the payment its label arrives.
    """

    label: str | None = None
    features: Sequence[str] = ()
    exclude: Sequence[str] = ()
    algorithm: str = "auto"
    legitimate_share: float = 1.0
    label_delay_seconds: float = 0.0
    constraints: ThresholdConstraints = NO_CONSTRAINTS
    seed: int = 42


@dataclass(frozen=True)
class TrainingPlan:
    """All that is decided before anything is fitted.

    `losses` is what each row loses if it is a fraud that is missed; `digest` is the end of the model's id.
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
        algorithms,
        algorithm=settings.algorithm,
        fingerprint=source.fingerprint,
        label=found.label.name,
        features=[feature.name for feature in choice.features],
        selection=asdict(selection),
        legitimate_share=share,
        settings={
            "label_delay_seconds": settings.label_delay_seconds,
            "review_cost": settings.constraints.review_cost,
            "max_alerts_per_day": settings.constraints.max_alerts_per_day,
        },
        seed=settings.seed,
        pyspark=version("pyspark"),
    )
    return TrainingPlan(source, found, split, choice, selection, algorithms, losses(found), settings, digest)


def select(columns: Sequence[str], *, features: Sequence[str], exclude: Sequence[str], label: str) -> Selection:
    """Each text is the name of a column, or several names with commas between them.

    No `features` leave the choice to the values; the label column can be neither feature nor excluded. Raises
    SettingsError where a name is no column, is the label, or is given to both.
    """
    wanted = _named(features, columns, "--features")
    unwanted = _named(exclude, columns, "--exclude")
    for flag, names in (("--features", wanted), ("--exclude", unwanted)):
        if label in names:
            raise SettingsError(
                f"the column {label!r} is the label and never a feature",
                where=flag,
                remedy=f"leave it out of {flag}, or name another column with --label",
            )
    for name in wanted:
        if name in unwanted:
            raise SettingsError(
                f"the column {name!r} is both wanted and left out",
                where="--features, --exclude",
                remedy="name it with one of the two",
            )
    return Selection(wanted, unwanted)


def _named(texts: Sequence[str], columns: Sequence[str], flag: str) -> tuple[str, ...]:
    split = (([text] if text in columns else filter(None, map(str.strip, text.split(",")))) for text in texts)
    names = [name for some in split for name in some]
    for name in names:
        if name not in columns:
            raise SettingsError(
                f"there is no column {name!r}; the columns are {', '.join(columns)}"[:2000],
                where=flag,
                remedy=f"name columns as the header does, with commas between them or {flag} once for each",
            )
    # In file order, so that the order on the command line makes no other model.
    return tuple(column for column in columns if column in names)
