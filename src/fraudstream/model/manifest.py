"""The manifest: all that an artifact says of itself, as types and as JSON; `artifact.py` keeps it with its files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt
from fraudstream.model.calibration import IDENTITY, Calibration


class FeatureType(StrEnum):
    """What a feature is made from, and how many slots of the vector it takes."""

    NUMBER = "number"
    """One slot: the number."""
    CATEGORY = "category"
    """A slot for each kept value, 1 where the row has it, and one for every other value."""
    TIME = "time"
    """Two slots: the hour of the day, from 0 to below 24, and the weekday, Monday as 0; UTC where a zone is written."""
    ELAPSED = "elapsed"
    """One slot: days from the date to the payment's own time."""


@dataclass(frozen=True)
class Feature:
    """A column that the model reads, with its distribution over the training rows.

    The distribution is that of the number, of the hour of the day of a time, or of the elapsed days; a category has
    none.

    Attributes:
        median: The training median; stands in for a missing value.
        quantiles: Of a number, the training values at 0, 5 %, ..., 100 %; empty for the other types.
        values: Of a category, the kept values, most frequent first; the first stands in for a missing one.
        weekday: Of a time, the most frequent weekday; stands in for a missing one.
        reference: Of elapsed days, the column of the payment's own time.
        clock: Units per second where the time (of elapsed days, the reference) is a number that counts from 1970;
            None where it is a date.
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

    @property
    def slots(self) -> tuple[str, ...]:
        """What each slot of the vector holds, in order; the feature's name where it takes only one."""
        match self.type:
            case FeatureType.CATEGORY:
                return (*(f"{self.name}={value}" for value in self.values), f"{self.name}: other")
            case FeatureType.TIME:
                return (f"{self.name}: hour", f"{self.name}: weekday")
            case _:
                return (self.name,)

    @property
    def stand_in(self) -> tuple[float, ...]:
        """What the slots hold where the column has no value; ValueError where the feature lacks what its type needs."""
        match self.type:
            case FeatureType.CATEGORY if self.values:
                return (1.0, *(0.0 for _ in self.values))
            case FeatureType.TIME if self.median is not None and self.weekday is not None:
                return (self.median, float(self.weekday))
            case FeatureType.NUMBER | FeatureType.ELAPSED if self.median is not None:
                return (self.median,)
        raise ValueError(f"nothing can stand in for the {self.type.value} {self.name!r}: it has no distribution")


def by_component(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features in the order of their slots in the vector: the numbers first, so that they are one block."""
    return tuple(sorted(features, key=lambda feature: feature.type is not FeatureType.NUMBER))


MANIFEST_FORMAT: Final = 3
READABLE_FORMATS: Final = (1, 2, 3)
"""Format 1 knew features of numbers only, and format 2 no calibration: their scores are taken as they are."""
SEAL: Final = "manifest_sha256"
"""The key that holds the sha256 of all the others, so that a changed manifest is seen like any changed file."""


@dataclass(frozen=True)
class LabelValues:
    """The two values of the label column, as they stand in the CSV."""

    legitimate: str
    fraud: str


@dataclass(frozen=True)
class TrainingData:
    """The CSV that the model was trained from."""

    name: str
    fingerprint: str
    rows: int
    frauds: int


@dataclass(frozen=True)
class Period:
    """One part of the split.

    `start` and `end` are its first and last time (the time column's value), or row where the file's order is the time.
    """

    rows: int
    frauds: int
    start: str
    end: str


@dataclass(frozen=True)
class SplitRecord:
    """How the rows were divided in time; a period that had to be given up is None.

    Attributes:
        ordered_by: "time column 'Time'" or "file order".
        train: The rows that the model was fitted on.
        validation: The last part of `train`, on which the threshold was chosen with a model that had not seen it.
        test: The rows that every figure was measured on.
    """

    ordered_by: str
    train: Period
    validation: Period | None
    test: Period | None


@dataclass(frozen=True)
class Metrics:
    """Figures on the test period alone, weighted by the legitimate share; None where one cannot be had, never a guess.

    Attributes:
        measured_on: What they were measured on, or why there are none.
        reliable: False where so few frauds were in the test period that the figures say little.
        average_precision: Step-wise, as scikit-learn defines it.
        false_alarms: Legitimate rows at or above the threshold (an estimate where the legitimate share is below 1).
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
class Selection:
    """The columns that a user named; where `features` names none, what becomes of a column is found out."""

    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


NO_SELECTION: Final = Selection()


@dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself.

    Attributes:
        model_id: `<algorithm>-<12 hex>`, the same for the same data, settings and seed.
        features: In the order of the vector: numbers first, then the others, each in file order.
        missing_limit: A row with more features missing than this is unscorable.
        time_column: The column that the rows were ordered by; None for the file's order.
        unseen_from_row: First row of the file that the model had not seen, where all rows after it are unseen too.
        unseen_from_time: First time of the test period, where the file is not in the order of time.
        threshold: The recommended threshold; a score at or above it is an alert.
        threshold_rule: How it was chosen, in words.
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        excluded: Columns that are no features, and why.
        files: sha256 by relative path.
        columns: Every column of the CSV, in file order.
        selection: What the user named with `--features` and `--exclude`.
        calibration: What turns the classifier's raw score into the score that everybody sees.
        requested: What `--algorithm` said: `auto`, or the algorithm.
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


_ADAPTER: Final = TypeAdapter(Manifest)


def manifest_to_json(manifest: Manifest) -> bytes:
    """The manifest as readable JSON, with the seal over its own content."""
    content = asdict(manifest)
    return orjson.dumps({**content, SEAL: _seal(content)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def manifest_from_json(text: bytes, where: Path) -> Manifest:
    """Read what `manifest_to_json` wrote.

    Raises ModelCorrupt where it is no manifest, is of another format, or was changed after it was written.
    """
    remedy = "train the model again: fraudstream train --data CSV"
    try:
        content = orjson.loads(text)
        seal = content.pop(SEAL, None)
        manifest = _ADAPTER.validate_python(content)
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValidationError) as e:
        raise ModelCorrupt("the manifest cannot be read", where=str(where), remedy=remedy) from e
    if manifest.format not in READABLE_FORMATS:
        raise ModelCorrupt(
            f"the manifest has format {manifest.format}, this version reads {MANIFEST_FORMAT}",
            where=str(where),
            remedy=remedy,
        )
    if seal != _seal(content):
        raise ModelCorrupt("the manifest was changed after it was written", where=str(where), remedy=remedy)
    return manifest


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
