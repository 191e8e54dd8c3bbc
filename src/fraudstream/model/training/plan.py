"""Plans a training before anything is fitted: split, features, candidates and the model's digest."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.history.spec import HistorySpec
from fraudstream.model.evaluation.evaluate import LabelledData
from fraudstream.model.evaluation.record import Stage
from fraudstream.model.features.selection import FeatureChoice, choose_features
from fraudstream.model.manifest import Selection
from fraudstream.model.training.declaration import declared_history, extended
from fraudstream.model.training.recipe import Algorithm, algorithms_for, model_digest
from fraudstream.model.training.split import Split, split_in_time
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.label import CsvProfile, profile
from fraudstream.transactions.label_reader import find_label
from fraudstream.transactions.times import TimeOrder


@dataclass(frozen=True)
class TrainingSettings:
    """The user's settings for a training.

    Attributes:
        label: The label column; None looks for one of the usual names.
        features: The only columns to learn from; empty chooses them by their values.
        algorithm: `recipe.AUTO` or one of `recipe.ALGORITHMS`.
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        label_delay_seconds: How long after the payment its label arrives; None if the labels say it, else at once.
        review_cost: With `max_alerts_per_day`, what decides on the threshold; None: the default, and no limit.
        refit: Whether the deployed model is fitted again on all rows after its evaluation.
        test_from: The time from which on the rows are the test period; None: the last fifth.
        name: With `note` and `tags`, what the user calls the model; no part of its id.
        entities: The entities whose history the model reads, as `card=CUSTOMER_ID`, the key of the stream first.
        time: With `amount`, the column that the history reads; None takes the one that the data show.
    """

    label: str | None = None
    features: Sequence[str] = ()
    exclude: Sequence[str] = ()
    algorithm: str = "auto"
    legitimate_share: float = 1.0
    label_delay_seconds: float | None = None
    review_cost: float | None = None
    max_alerts_per_day: float | None = None
    seed: int = 42
    refit: bool = True
    test_from: str | None = None
    name: str = ""
    note: str = ""
    tags: Sequence[str] = ()
    entities: Sequence[str] = ()
    time: str | None = None
    amount: str | None = None


AddHistory = Callable[[DataSource, HistorySpec, tuple[str, str]], DataSource]
"""Adds the columns of a history to data, of which the label column and its value for a fraud are given."""


@dataclass(frozen=True)
class TrainingPlan:
    """All decisions made before anything is fitted.

    `labelled` is what is known of each row besides its score; `digest` is the last part of the model's id.
    """

    source: DataSource
    profile: CsvProfile
    split: Split
    choice: FeatureChoice
    selection: Selection
    algorithms: tuple[Algorithm, ...]
    labelled: LabelledData
    settings: TrainingSettings
    digest: str
    history: HistorySpec | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the vector's components."""
        return tuple(name for feature in self.choice.features for name in feature.components)

    @property
    def refitted_rows(self) -> NDArray[np.intp]:
        """The rows that the deployed model is fitted on after the evaluation; empty if it is the evaluated one."""
        is_refitted = self.settings.refit and bool((self.split.is_known & ~self.split.is_train).any())
        return np.flatnonzero(self.split.is_known & is_refitted)

    def stages(self) -> tuple[Stage, ...]:
        """Return the parts of the split, the earliest first."""
        return tuple(
            Stage(part.role, **asdict(period), days=self.labelled.days(self.split.rows_of(part)))
            for part, period in self.split.periods.items()
        )


def plan_training(source: DataSource, settings: TrainingSettings, add_history: AddHistory) -> TrainingPlan:
    """Read the CSV and plan the training; `add_history` is called if entities are declared.

    Raises:
        SettingsError: An unknown algorithm, an invalid share or delay, or a missing column.
        DataError: The CSV cannot be used; see `profile` and `choose_features`.
    """
    algorithms = algorithms_for(settings.algorithm, has_history=bool(settings.entities))
    share = settings.legitimate_share
    if not 0.0 < share <= 1.0:
        raise SettingsError(
            f"the legitimate share {share} is not above 0 and at most 1",
            where="--legitimate-share",
            remedy="give the share of the legitimate rows that the CSV holds, 1 for all of them",
        )
    label = source.columns[find_label(source.columns, settings.label, source.where())]
    selection = select(source.columns, features=settings.features, exclude=settings.exclude, label=label)
    ignored = set(source.columns) - set(selection.features) if selection.features else selection.exclude
    data = profile(source, label, included=selection.features, excluded=ignored)
    history = None
    if settings.entities:
        delay = settings.label_delay_seconds
        history = declared_history(data, settings.entities, settings.time, settings.amount, delay)
        source = add_history(source, history, (data.label.name, data.label.fraud))
        data = extended(data, source)
    test_from = None if settings.test_from is None else _moment(data.time, settings.test_from)
    if settings.label_delay_seconds is None:
        split = split_with_reports(data, data.label_delay or 0.0, test_from)
        settings = replace(settings, label_delay_seconds=data.label_delay or 0.0)
    else:
        split = split_in_time(data.label.is_fraud, data.time, settings.label_delay_seconds, test_from)
    choice = choose_features(data, split.is_train, selection, share)
    digest = model_digest(
        algorithms,
        algorithm=settings.algorithm,
        fingerprint=source.fingerprint,
        label=data.label.name,
        features=[feature.name for feature in choice.features],
        selection=asdict(selection),
        legitimate_share=share,
        settings={
            "label_delay_seconds": settings.label_delay_seconds,
            "review_cost": settings.review_cost,
            "max_alerts_per_day": settings.max_alerts_per_day,
            "refit": settings.refit,
            # Absent by default, so that the ids of earlier models stay.
            **({"fraud_value": source.options.fraud_value} if source.options.fraud_value is not None else {}),
            **({} if test_from is None else {"test_from": test_from}),
            **({} if history is None else {"history": asdict(history)}),
        },
        seed=settings.seed,
        pyspark=version("pyspark"),
    )
    labelled = LabelledData.of(data, share)
    return TrainingPlan(source, data, split, choice, selection, algorithms, labelled, settings, digest, history)


def _moment(time: TimeOrder | None, text: str) -> float:
    """Return the value of the time column at a time that the user gave."""
    value = None if time is None else time.value_of(text)
    if value is None:
        what, remedy = "there is no column with the time of the payments", "leave it out, or train on data with one"
        if time is not None:
            what = f"{text!r} is not a time of the column {time.column!r}"
            remedy = f"give one in its notation, before {time.format(float(time.values.max()))}"
        raise SettingsError(what, where="--test-from", remedy=remedy)
    return value


def split_with_reports(data: CsvProfile, delay: float, test_from: float | None = None) -> Split:
    """Split with the delay that the reports of frauds show; without it if they came too late for any evaluation."""
    split = split_in_time(data.label.is_fraud, data.time, delay, test_from)
    if not delay or (split.record.test is not None and split.record.validation is not None):
        return split
    warning = (
        f"the frauds were reported up to {delay / 86_400:.0f} days after the payment, too late to be learned from "
        "within this data: the periods are split as if every label were known at once, so the figures are too good; "
        "--label-delay decides"
    )
    without = split_in_time(data.label.is_fraud, data.time, test_from=test_from)
    return replace(without, warnings=(warning, *without.warnings))


def select(columns: Sequence[str], *, features: Sequence[str], exclude: Sequence[str], label: str) -> Selection:
    """Parse column names, each text being one name or several separated by commas.

    Without `features`, they are chosen by their values; the label column can be neither a feature nor excluded. Raises
    SettingsError if a name is not a column, is the label, or is in both.
    """
    included = parse_names(features, columns, "--features")
    excluded = parse_names(exclude, columns, "--exclude")
    for flag, names in (("--features", included), ("--exclude", excluded)):
        if label in names:
            raise SettingsError(
                f"the column {label!r} is the label and cannot be a feature",
                where=flag,
                remedy=f"leave it out of {flag}, or name another column with --label",
            )
    for name in included:
        if name in excluded:
            what = f"the column {name!r} is both included and excluded"
            raise SettingsError(what, where="--features, --exclude", remedy="name it with one of the two")
    return Selection(included, excluded)


def parse_names(texts: Sequence[str], columns: Sequence[str], flag: str) -> tuple[str, ...]:
    """Return the columns that texts name, in file order; SettingsError for a name that is not a column."""
    split = (([text] if text in columns else filter(None, map(str.strip, text.split(",")))) for text in texts)
    names = [name for some in split for name in some]
    for name in names:
        if name not in columns:
            raise SettingsError(
                f"there is no column {name!r}; the columns are {', '.join(columns)}"[:2000],
                where=flag,
                remedy=f"use the names in the header, separated by commas or with one {flag} each",
            )
    # In file order, so that the order on the command line does not change the model.
    return tuple(column for column in columns if column in names)
