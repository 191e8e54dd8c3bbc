"""Defines the manifest that describes a model artifact, with its JSON form."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt
from fraudstream.history.spec import HistorySpec
from fraudstream.model.calibration import IDENTITY, Calibration
from fraudstream.transactions.reading_options import DateOrder, Decimal


class FeatureType(StrEnum):
    """What a feature is derived from, which determines how many vector components it takes."""

    NUMBER = "number"
    """One component: the number."""
    CATEGORY = "category"
    """A component for each encoded value, 1 if the transaction has it, and one for every other value."""
    TIME = "time"
    """Two components: hour of the day, 0 to below 24, and weekday, Monday as 0; UTC if a zone is written."""
    ELAPSED = "elapsed"
    """One component: days from the date to the payment's own time."""


@dataclass(frozen=True)
class Feature:
    """A column that the model reads, with its distribution over the training rows.

    The distribution is that of the number, of the hour of the day of a time, or of the elapsed days; a category has
    none.

    Attributes:
        median: The training median; the imputation value for a missing one.
        quantiles: Of a number, the training values at 0, 5 %, ..., 100 %; empty for the other types.
        values: Of a category, the encoded values, most frequent first; the first is the imputation value.
        weekday: Of a time, the most frequent weekday; the imputation value for a missing one.
        reference: Of elapsed days, the column of the payment's own time.
        clock: Units per second if the time (of elapsed days, the reference) is a number that counts from 1970;
            None if it is a date.
        decimal: The decimal separator of numbers that are sent as text; a JSON number is always read.
        date_order: The order of day, month and year in dates; None for ISO 8601, which is always read.
    """

    name: str
    type: FeatureType
    median: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    p01: float | None = None
    p99: float | None = None
    quantiles: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    weekday: int | None = None
    reference: str | None = None
    clock: int | None = None
    decimal: Decimal = Decimal.POINT
    date_order: DateOrder | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the feature's vector components, in order; the feature's name if it has only one."""
        match self.type:
            case FeatureType.CATEGORY:
                return (*(f"{self.name}={value}" for value in self.values), f"{self.name}: other")
            case FeatureType.TIME:
                return (f"{self.name}: hour", f"{self.name}: weekday")
            case _:
                return (self.name,)

    @property
    def imputation(self) -> tuple[float, ...]:
        """Component values if the column has no value; ValueError if the feature lacks the distribution for them."""
        match self.type:
            case FeatureType.CATEGORY if self.values:
                return (1.0, *(0.0 for _ in self.values))
            case FeatureType.TIME if self.median is not None and self.weekday is not None:
                return (self.median, float(self.weekday))
            case FeatureType.NUMBER | FeatureType.ELAPSED if self.median is not None:
                return (self.median,)
        raise ValueError(f"the {self.type.value} {self.name!r} cannot be imputed: it has no distribution")


def by_component(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Sort the features in vector order: the numbers first, so that they form one block."""
    return tuple(sorted(features, key=lambda feature: feature.type is not FeatureType.NUMBER))


def date_orders(features: Sequence[Feature]) -> dict[str, DateOrder | None]:
    """Return the order of the dates in each column that the features read."""
    references = {feature.reference: feature.date_order for feature in features if feature.reference is not None}
    return references | {feature.name: feature.date_order for feature in features}


MANIFEST_FORMAT: Final = 3
HISTORY_FORMAT: Final = 4
"""The format of a manifest with a history, which a release that computes none must not accept."""
READABLE_FORMATS: Final = (1, 2, 3, 4)
"""Format 1 had numeric features only, and format 2 no calibration: their scores are used unchanged."""
SEAL: Final = "manifest_sha256"
"""The key that holds the sha256 of all others, so that a changed manifest is detected like any changed file."""


@dataclass(frozen=True)
class LabelValues:
    """The two values of the label column, as written in the CSV."""

    legitimate: str
    fraud: str


@dataclass(frozen=True)
class TrainingData:
    """The files that the model was trained on.

    Attributes:
        dialect: What kind of files they are: "CSV with semicolons, UTF-8".
        notes: By column, what is unusual in how its cells are written: "decimal comma".
        paths: Where the files were; with `reading`, the options that they were read with.
    """

    name: str
    fingerprint: str
    rows: int
    frauds: int
    dialect: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Period:
    """One part of the split.

    `start` and `end` are its first and last time (the time column's value), or row if rows are in file order.
    """

    rows: int
    frauds: int
    start: str
    end: str


@dataclass(frozen=True)
class SplitRecord:
    """How the rows were split in time; a period that had to be dropped is None.

    Attributes:
        ordered_by: "time column 'Time'" or "file order".
        train: The rows that the evaluated model was fitted on.
        validation: The last part of `train`, on which the threshold was chosen with a model not fitted on it.
        test: The rows that all metrics were measured on.
    """

    ordered_by: str
    train: Period
    validation: Period | None
    test: Period | None


@dataclass(frozen=True)
class Metrics:
    """Metrics on the test period only, weighted by the legitimate share; None if unavailable, never a guess.

    Attributes:
        measured_on: What they were measured on, or why there are none.
        reliable: False if the test period has too few frauds for meaningful figures.
        average_precision: Step-wise, as scikit-learn defines it.
        false_alarms: Legitimate rows at or above the threshold (an estimate if the legitimate share is below 1).
        calibration_error: Expected calibration error of the scores, 0 to 1.
    """

    measured_on: str
    reliable: bool
    average_precision: float | None = None
    average_precision_low: float | None = None
    average_precision_high: float | None = None
    roc_auc: float | None = None
    recall: float | None = None
    precision: float | None = None
    frauds: int | None = None
    frauds_caught: int | None = None
    false_alarms: float | None = None
    false_alarms_per_1000: float | None = None
    calibration_error: float | None = None


@dataclass(frozen=True)
class Refit:
    """The fit of the deployed model after the evaluation, on every row whose label had arrived by the end of the file.

    `note` is the text on which figures belong to which fit.
    """

    rows: int
    frauds: int
    note: str


@dataclass(frozen=True)
class Selection:
    """The columns that a user named; if `features` is empty, they are chosen automatically."""

    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


NO_SELECTION: Final = Selection()


@dataclass(frozen=True)
class Manifest:
    """Describes an artifact.

    Attributes:
        model_id: `<algorithm>-<12 hex>`, the same for the same data, settings and seed.
        features: In the order of the vector: numbers first, then the others, each in file order.
        missing_limit: A transaction with more missing features than this is unscorable.
        time_column: The column that the rows were ordered by; None for file order.
        unseen_from_row: First row of the file from which on none was used in training; None after a refit.
        unseen_from_time: First time of the test period, if the file is not sorted by time; None after a refit.
        threshold: The recommended threshold; a score at or above it is an alert.
        threshold_rule: Text on how it was chosen.
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        excluded: Columns that are not features, and why.
        files: sha256 by relative path.
        columns: Every column of the CSV, in file order.
        selection: What the user named with `--features` and `--exclude`.
        calibration: Maps the classifier's raw score to the published score.
        requested: The value of `--algorithm`: `auto`, or the algorithm.
        refit: The fit after the evaluation; None if the deployed model is the one that was evaluated.
        name: With `note` and `tags`, what the user calls the model.
        entities: The columns that identify cards, terminals or the like; None in a manifest that records none.
        history: The history that the model reads; None if it scores each transaction alone.
    """

    model_id: str
    algorithm: str
    features: tuple[Feature, ...]
    missing_limit: int
    label: str
    label_values: LabelValues
    time_column: str | None
    unseen_from_row: int | None
    unseen_from_time: str | None
    threshold: float
    threshold_rule: str
    metrics: Metrics
    split: SplitRecord
    training_data: TrainingData
    legitimate_share: float
    seed: int
    parameters: Mapping[str, float | int | str | bool]
    excluded: Mapping[str, str]
    warnings: tuple[str, ...]
    versions: Mapping[str, str]
    files: Mapping[str, str]
    format: int = MANIFEST_FORMAT
    columns: tuple[str, ...] = ()
    selection: Selection = NO_SELECTION
    calibration: Calibration = IDENTITY
    requested: str = ""
    refit: Refit | None = None
    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    entities: tuple[str, ...] | None = None
    history: HistorySpec | None = None


_ADAPTER: Final = TypeAdapter(Manifest)


def manifest_to_json(manifest: Manifest) -> bytes:
    """Serialize the manifest as readable JSON, with the seal over its content; one without history has no such key."""
    content = asdict(manifest)
    if manifest.history is None:
        del content["history"]
    else:
        content["format"] = HISTORY_FORMAT
    return orjson.dumps({**content, SEAL: _seal(content)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def manifest_from_json(text: bytes, where: Path) -> Manifest:
    """Read what `manifest_to_json` wrote.

    Raises ModelCorrupt if it is not a manifest, is of another format, or was changed after it was written.
    """
    remedy = "train the model again: fraudstream train --data CSV"
    try:
        content = orjson.loads(text)
        seal = content.pop(SEAL, None)
        manifest = _ADAPTER.validate_python(content)
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValidationError) as e:
        raise ModelCorrupt("the manifest cannot be read", where=str(where), remedy=remedy) from e
    if manifest.format not in READABLE_FORMATS:
        what = f"the manifest has format {manifest.format}, this version reads {READABLE_FORMATS[-1]}"
        raise ModelCorrupt(what, where=str(where), remedy=remedy)
    if seal != _seal(content):
        raise ModelCorrupt("the manifest was changed after it was written", where=str(where), remedy=remedy)
    return manifest


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
