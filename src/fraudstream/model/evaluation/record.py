"""Defines the contents of `evaluation.json`, with units.

Counts of legitimate rows are weighted (each row of the CSV represents 1 / legitimate share), so that they estimate the
full data if the CSV is a sample. Rates per day refer to the period's own span. Amounts are in the unit of the amount
column. Scores and thresholds are calibrated probabilities, from 0 to 1, unless a name says raw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt
from fraudstream.model.evaluation import curves
from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.breakdown import Breakdown
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.evaluation.inputs import FeatureDrift, Importance, Influence
from fraudstream.model.evaluation.intervals import share_of
from fraudstream.runtime.files import read_regular

EVALUATION_FILE: Final = "evaluation.json"
EVALUATION_FORMAT: Final = 1
MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Stage:
    """One part of the data in time, for the chart of the split.

    Attributes:
        role: "fit" (the candidates are fitted on it), "comparison" (they are compared on it, then fitted on it too),
            "validation" (they are compared on it; the best one is calibrated and its threshold chosen, then
            fitted on it too), "gap" (left out of the preceding fit: its labels had not arrived), "test" (metrics are
            measured on it).
        start: Its first time or row, in the format of the time column.
        days: Its span; None without a time column.
    """

    role: str
    rows: int
    frauds: int
    start: str
    end: str
    days: float | None


@dataclass(frozen=True)
class Timeline:
    """How the rows were split, the earliest part first.

    Attributes:
        ordered_by: "time column 'Time'" or "file order".
        label_delay_seconds: How long after the payment its label arrives, `--label-delay`; 0 by default.
        duplicates_removed: Rows removed from the test, each equal to an earlier row in every column except the time.
        duplicates_note: Why duplicates were kept, or empty.
        unit_note: The assumed unit of the time column if it is ambiguous, else empty.
    """

    ordered_by: str
    stages: tuple[Stage, ...]
    label_delay_seconds: float
    duplicates_removed: int
    duplicates_note: str
    unit_note: str


@dataclass(frozen=True)
class CalibrationReport:
    """How well the scores are calibrated, on the test period.

    Attributes:
        method: Text on the calibration method and the rows it was fitted on.
        error_before: Expected calibration error of the raw scores (mean over `bins_before` of |score - share|, by
            weight; 0 to 1).
    """

    method: str
    error_before: float
    error_after: float
    bins_before: tuple[curves.ReliabilityBin, ...]
    bins_after: tuple[curves.ReliabilityBin, ...]


@dataclass(frozen=True)
class Operating:
    """What a threshold catches and costs over one period.

    `days` is its span, None without a time column; `rows` are weighted, 0 in the file of an earlier version.
    """

    frauds: int
    frauds_caught: int
    false_alarms: float
    amount_caught: float
    amount_missed: float
    days: float | None
    rows: float = 0.0

    @property
    def alerts(self) -> float:
        """Alerts in the period, false ones weighted."""
        return self.frauds_caught + self.false_alarms

    @property
    def alerts_per_day(self) -> float | None:
        """Alerts per day; None without a time column, and for less than a day, which is not scaled to one."""
        return self.alerts / self.days if self.days and self.days >= 1 else None

    @property
    def recall_estimate(self) -> Estimate:
        """`recall` with its interval."""
        return share_of(self.frauds_caught, self.frauds)

    def precision_estimate(self, weight: float) -> Estimate:
        """Return `precision` with its interval, if each legitimate row of the file represents `weight` rows."""
        squares = self.frauds_caught + self.false_alarms * weight
        return share_of(self.frauds_caught, self.alerts, self.alerts**2 / squares if squares else 0.0)

    def expected_alerts(self, later: Operating) -> float | None:
        """Return how many alerts a later period would raise at this one's rate; None if that is unknown.

        By day if both are at least a day long, else by payment: hours of the day differ in their traffic.
        """
        if self.alerts_per_day is not None and later.days is not None and later.days >= 1:
            return self.alerts_per_day * later.days
        return self.alerts * later.rows / self.rows if self.rows and later.rows else None

    @property
    def recall(self) -> float:
        """Share of the frauds caught, 0 if there are none."""
        return self.frauds_caught / self.frauds if self.frauds else 0.0

    @property
    def precision(self) -> float:
        """Share of frauds among the alerts, 0 if there are none."""
        return self.frauds_caught / self.alerts if self.alerts else 0.0

    def cost(self, review_cost: float) -> float:
        """Return the amount of missed frauds plus the cost of reviewing false alarms, over the period."""
        return self.amount_missed + review_cost * self.false_alarms

    def saved(self, review_cost: float) -> float:
        """Return the saving over having no model: the amount caught less the cost of reviewing false alarms."""
        return self.amount_caught - review_cost * self.false_alarms


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold with its results.

    `expected` is on the validation period, by models not fitted on it, and is used to choose a threshold; `test` is on
    the test period, by the model itself, None if there is none, and is never used for a choice.
    """

    threshold: float
    expected: Operating
    test: Operating | None


@dataclass(frozen=True)
class ThresholdChoice:
    """The recommended threshold and why.

    Attributes:
        review_cost: Cost of a false alarm, in the unit of the amounts.
        amount_column: The column with the loss of a missed fraud, or None.
        amount_note: What replaces missing amounts; empty if none are missing.
        row: The figures at this threshold; None if it could not be chosen on a validation period.
    """

    threshold: float
    rule: str
    review_cost: float
    review_cost_note: str
    max_alerts_per_day: float | None
    amount_column: str | None
    amount_note: str
    row: ThresholdRow | None


@dataclass(frozen=True)
class Candidate:
    """A candidate model: fitted on the rows before a period and evaluated on it, for one or two periods.

    Attributes:
        name: Display name, "gbt 40 x 4".
        average_precision: The mean over the periods, weighted; None if there is none.
        by_period: On each period, the earliest first.
        difference: Its mean less that of the best (paired bootstrap); None for the best.
        predictions: Comparisons or multiplications per score, as a measure of its speed.
    """

    name: str
    algorithm: str
    parameters: dict[str, float | int | str | bool]
    average_precision: Estimate | None
    by_period: tuple[float, ...]
    difference: Estimate | None
    predictions: int
    chosen: bool
    why: str


@dataclass(frozen=True)
class LeakSuspicion:
    """A feature that alone predicts the label in the training rows; `roc_auc` is in the better direction."""

    feature: str
    roc_auc: float
    average_precision: float
    message: str


@dataclass(frozen=True)
class TestFigures:
    """Metrics on the test period, which has no row that was used in training, tuning or calibration.

    Attributes:
        rows: Rows of the CSV in it, duplicates removed.
        fraud_share: Share of frauds in these: the average precision of a random ranking.
        days: Its span; None without a time column.
        reliable: False if there are too few frauds for meaningful figures.
        average_precision: Step-wise, as scikit-learn defines it, weighted.
        recall_at_rates: At 0.1 % and at 1 % of false positives.
        at_alerts_per_day: At some numbers of alerts per day; empty without a time column.
        precision_recall: The curve at recalls from 0.01 to 1.
    """

    rows: int
    frauds: int
    weighted_rows: float
    fraud_share: float
    days: float | None
    reliable: bool
    average_precision: Estimate
    roc_auc: Estimate
    recall_at_rates: tuple[curves.RecallAtRate, ...]
    at_alerts_per_day: tuple[curves.AtAlertsPerDay, ...]
    precision_recall: tuple[curves.PrecisionRecallPoint, ...]
    roc: tuple[curves.RocPoint, ...]
    calibration: CalibrationReport
    histogram: curves.ScoreHistogram

    __test__ = False  # pytest would collect a class named Test...


@dataclass(frozen=True)
class Evaluation:
    """The complete evaluation of a model, from which the report is rendered.

    Attributes:
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        seed: Also that of the bootstrap.
        measured_on: What `test` was measured on, or why there is none.
        candidates: The best first.
        test: None without a test period with both classes.
        thresholds: The highest first.
        importances: The greatest first.
        importance_note: How importance is measured, for this algorithm.
        previous: Comparison with the model active before; None if there was none.
        influences: Of the features, the greatest first; empty, as is what follows, in the file of an earlier version.
        breakdowns: Of the results at the recommended threshold.
        drifts: Of the features, the strongest first.
    """

    model_id: str
    algorithm: str
    data: str
    legitimate_share: float
    seed: int
    measured_on: str
    timeline: Timeline
    candidates: tuple[Candidate, ...]
    choice: str
    test: TestFigures | None
    threshold: ThresholdChoice
    thresholds: tuple[ThresholdRow, ...]
    importances: tuple[Importance, ...]
    importance_note: str
    leaks: tuple[LeakSuspicion, ...]
    previous: Comparison | None
    influences: tuple[Influence, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    drifts: tuple[FeatureDrift, ...] = ()
    format: int = EVALUATION_FORMAT


_ADAPTER: Final = TypeAdapter(Evaluation)


def evaluation_to_json(evaluation: Evaluation) -> bytes:
    """Serialize the evaluation as readable JSON."""
    return orjson.dumps(asdict(evaluation), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_evaluation(artifact: Path) -> Evaluation | None:
    """Read the evaluation in an artifact's directory; None if it was trained by a version that wrote none.

    Raises ModelCorrupt if it cannot be read.
    """
    path = artifact / EVALUATION_FILE
    try:
        return _ADAPTER.validate_json(read_regular(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as e:
        raise ModelCorrupt(
            "the evaluation cannot be read", where=str(path), remedy="train again: fraudstream train --data CSV"
        ) from e
