"""What `evaluation.json` holds, as types with their units; `judging.py` works it out, `artifact.py` keeps the file.

Counts of legitimate rows are weighted (each row of the CSV stands for 1 / legitimate share), so that they are
estimates of the whole where the CSV holds a part. Times a day are of the period's own span. Amounts are in the unit of
the amount column. Scores and thresholds are calibrated probabilities, from 0 to 1, but where a name says raw.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt
from fraudstream.runtime.files import read_regular

EVALUATION_FILE: Final = "evaluation.json"
EVALUATION_FORMAT: Final = 1
MOST_BYTES: Final = 64 * 1024 * 1024

RELIABLE_FRAUDS: Final = 10
"""With fewer frauds in the test period its figures are marked unreliable."""


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its 95 % bootstrap interval (1,000 rounds, stratified by class)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Stage:
    """One part of the data in time, for the picture of the split.

    Attributes:
        role: "fit" (the candidates are fitted on it), "comparison" (they are compared on it, then fitted on it too),
            "validation" (they are compared on it, the chosen one is calibrated and given a threshold on it; then it is
            fitted on too), "gap" (left out of the fit before it: its labels had not arrived), "test" (every figure is
            measured on it).
        start: Its first time or row, as the time column writes it.
        days: Its span; None where no column tells the time.
    """

    role: str
    rows: int
    frauds: int
    start: str
    end: str
    days: float | None


@dataclass(frozen=True)
class Timeline:
    """How the rows were divided, the earliest part first.

    Attributes:
        ordered_by: "time column 'Time'" or "file order".
        label_delay_seconds: How long after the payment its label arrives, `--label-delay`; 0 where not given.
        duplicates_removed: Rows taken out of the test, each a copy of an earlier row in every column but the time.
        duplicates_note: Why copies were left in, or empty.
        unit_note: What was taken for the unit of the time column where it does not say; empty where it does.
    """

    ordered_by: str
    stages: tuple[Stage, ...]
    label_delay_seconds: float
    duplicates_removed: int
    duplicates_note: str
    unit_note: str


@dataclass(frozen=True)
class PrecisionRecallPoint:
    """The best precision with at least this share of the frauds caught, with its 95 % interval (all shares, 0 to 1)."""

    recall: float
    precision: float
    low: float
    high: float


@dataclass(frozen=True)
class RocPoint:
    """Share of the legitimate rows that raise a false alarm, and of the frauds that are caught (0 to 1)."""

    false_positive_rate: float
    recall: float


@dataclass(frozen=True)
class RecallAtRate:
    """Share of the frauds caught where at most this share of the legitimate rows raises an alarm (0 to 1)."""

    false_positive_rate: float
    recall: Estimate
    threshold: float


@dataclass(frozen=True)
class AtAlertsPerDay:
    """What the lowest threshold catches that gives at most so many alerts a day, on the average over the test period.

    `precision` is the share of frauds among the alerts, `recall` the share of the frauds caught; both 0 to 1.
    """

    alerts_per_day: float
    threshold: float
    precision: float
    recall: float
    frauds_caught: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of like score: what they promise and what happened, weighted; the share with its 95 % interval (Wilson)."""

    low: float
    high: float
    mean_score: float
    fraud_share: float
    share_low: float
    share_high: float
    rows: float
    frauds: int


@dataclass(frozen=True)
class CalibrationReport:
    """How far the scores are the probabilities they claim to be, on the test period.

    Attributes:
        method: In words, what turns a raw score into a calibrated one and which rows it was fitted on.
        error_before: Expected calibration error of the raw scores (mean over `bins_before` of |score - share|, by
            weight; 0 to 1).
    """

    method: str
    error_before: float
    error_after: float
    bins_before: tuple[ReliabilityBin, ...]
    bins_after: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class ScoreHistogram:
    """How the calibrated scores of each class lie, over bins of even width in log10 of the score.

    `edges` are one more than there are bins; lower scores are in the first bin. The shares of each class add up to 1.
    """

    edges: tuple[float, ...]
    frauds: tuple[float, ...]
    legitimate: tuple[float, ...]


@dataclass(frozen=True)
class Operating:
    """What a threshold catches and costs over one period; `days` is its span, None where no column tells the time."""

    frauds: int
    frauds_caught: int
    false_alarms: float
    amount_caught: float
    amount_missed: float
    days: float | None

    @property
    def alerts(self) -> float:
        """Alerts in the period, false ones weighted."""
        return self.frauds_caught + self.false_alarms

    @property
    def alerts_per_day(self) -> float | None:
        """Alerts a day; None where no column tells the time."""
        return self.alerts / self.days if self.days else None

    @property
    def recall(self) -> float:
        """Share of the frauds caught, 0 where there are none."""
        return self.frauds_caught / self.frauds if self.frauds else 0.0

    @property
    def precision(self) -> float:
        """Share of frauds among the alerts, 0 where there are none."""
        return self.frauds_caught / self.alerts if self.alerts else 0.0

    def cost(self, review_cost: float) -> float:
        """Amount of the missed frauds and the reviews of the false alarms, over the period."""
        return self.amount_missed + review_cost * self.false_alarms

    def saved(self, review_cost: float) -> float:
        """What the model spares against having none: the amount caught less the reviews of the false alarms."""
        return self.amount_caught - review_cost * self.false_alarms


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold with what may be expected of it.

    `expected` is on the validation period, by models that had not seen it: what a threshold is chosen by; `test` on the
    test period, by the model itself, None where there is none: nothing is chosen by it.
    """

    threshold: float
    expected: Operating
    test: Operating | None


@dataclass(frozen=True)
class ThresholdChoice:
    """The recommended threshold and why.

    Attributes:
        review_cost: Cost of a false alarm, in the unit of the amounts.
        amount_column: The column that says what a missed fraud loses, or None.
        amount_note: What stands for it where it is not there; empty where it is.
        row: The figures at this threshold; None where the threshold could not be chosen on a validation period.
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
    """A model that was tried: fitted on the rows before a period and judged on it, for one period or two.

    Attributes:
        name: As shown, "gbt 40 x 4".
        average_precision: The mean over the periods, weighted; None where there is none.
        by_period: On each period, the earliest first.
        difference: Its mean less that of the best (paired bootstrap); None for the best.
        predictions: Comparisons or multiplications that a score takes, as a measure of its speed.
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
class Importance:
    """How much a slot of the model's vector (a feature, or a feature and its value) matters to the model.

    All add up to 1: the trees' gain in purity, or the absolute coefficients of the standardised slots.
    """

    slot: str
    share: float


@dataclass(frozen=True)
class LeakSuspicion:
    """A feature whose value alone gives the label away in the training rows; `roc_auc` is in the better direction."""

    feature: str
    roc_auc: float
    average_precision: float
    message: str


@dataclass(frozen=True)
class Comparison:
    """The new model against the one that was active before, on the test rows that both could score.

    Attributes:
        average_precision: Of the former model; None where it could not score these rows.
        difference: The new model's less the former's, paired bootstrap; None as above.
        note: What limits it (the former model may have been trained on some of these rows), or why there is none.
    """

    model_id: str
    average_precision: Estimate | None
    difference: Estimate | None
    rows: int
    note: str


@dataclass(frozen=True)
class TestFigures:
    """Figures on the test period, which holds no row that was trained, tuned or calibrated on.

    Attributes:
        rows: Rows of the CSV in it, duplicates removed.
        fraud_share: Share of frauds in these: the average precision of a model that knows nothing.
        days: Its span; None where no column tells the time.
        reliable: False where there are so few frauds that the figures say little.
        average_precision: Step-wise, as scikit-learn defines it, weighted.
        recall_at_rates: At 0.1 % and at 1 % of false positives.
        at_alerts_per_day: At some numbers of alerts a day; empty where no column tells the time.
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
    recall_at_rates: tuple[RecallAtRate, ...]
    at_alerts_per_day: tuple[AtAlertsPerDay, ...]
    precision_recall: tuple[PrecisionRecallPoint, ...]
    roc: tuple[RocPoint, ...]
    calibration: CalibrationReport
    histogram: ScoreHistogram

    __test__ = False  # pytest takes a class named Test... for one of its own


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of a model; a report or a page is made from this alone.

    Attributes:
        legitimate_share: Share of the legitimate rows that the CSV holds; each weighs 1 / share.
        seed: Of the bootstrap too.
        measured_on: What `test` was measured on, or why there is none.
        candidates: The best first.
        test: None where there is no test period of both classes.
        thresholds: The highest first.
        importances: The greatest first.
        importance_note: What an importance is, for this algorithm.
        previous: Against the model that was active before; None where there was none.
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
    format: int = EVALUATION_FORMAT


_ADAPTER: Final = TypeAdapter(Evaluation)


def evaluation_to_json(evaluation: Evaluation) -> bytes:
    """The evaluation as readable JSON."""
    return orjson.dumps(asdict(evaluation), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_evaluation(artifact: Path) -> Evaluation | None:
    """The evaluation in an artifact's directory; None where it was trained by a version that wrote none.

    Raises ModelCorrupt where it cannot be read.
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
