"""Compares candidates and additions on time-ordered folds of real payments: what earns a place in `train`.

    python -m benchmarks.models --data creditcard_subset.csv --legitimate-share 0.18594

Four folds, each fitted on all rows before it, all of them before the last fifth of the rows, which nothing here looks
at. Scores are kept in a folder and not worked out twice.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from fraudstream.config import Settings
from fraudstream.model.calibration import fit_calibration
from fraudstream.model.evaluation.bootstrap import Draws, ScoredRows, average_precision, draw_paired, interval
from fraudstream.model.evaluation.curves import expected_calibration_error, reliability
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.training.recipe import (
    Algorithm,
    boosted_trees,
    fit,
    logistic_regression,
    random_forest,
)
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import CsvProfile, profile

EDGES: Final = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Shares of the rows at which the folds begin and end."""
SEED: Final = 42

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Try:
    """Something to compare.

    Attributes:
        name: Of its file of scores.
        shown: In words.
        algorithm: What is fitted.
        slots: Name of the set of columns.
        seed: Of chance.
        against: Name of what it is an addition to; empty for a plain candidate.
    """

    name: str
    description: str
    algorithm: Algorithm
    slots: str = "base"
    seed: int = SEED
    against: str = ""


@dataclass(frozen=True)
class Average:
    """The mean of the log odds of several models."""

    description: str
    of: Sequence[str]
    against: str


def weighted(algorithm: Algorithm, fraud_weight: float, **parameters: float | int | str) -> Algorithm:
    """The algorithm with another weight of frauds, and other parameters."""
    return replace(algorithm, fraud_weight=fraud_weight, parameters={**algorithm.parameters, **parameters})


def binned(algorithm: Algorithm, bins: int) -> Algorithm:
    """The trees with another number of values to split a column at."""
    return weighted(algorithm, algorithm.fraud_weight, maxBins=bins)


LR, LR3 = logistic_regression(0.01), logistic_regression(0.03)
FOREST, BIG_FOREST = weighted(random_forest(50, 10), 1), weighted(random_forest(100, 12), 1)
TREES, SHORT_TREES = weighted(boosted_trees(60, 5), 1), weighted(boosted_trees(30, 5), 1)

TRIES: Final = (
    Try("lr", "logistic regression, penalty 0.01", LR),
    Try("lr_r03", "logistic regression, penalty 0.03", LR3),
    Try("lr_r003", "logistic regression, penalty 0.003", logistic_regression(0.003)),
    Try("lr_r1", "logistic regression, penalty 0.1", logistic_regression(0.1)),
    Try("rf100x12", "random forest, 100 x 12", BIG_FOREST),
    Try("rf50x12", "random forest, 50 x 12", weighted(random_forest(50, 12), 1)),
    Try("rf50x10", "random forest, 50 x 10", FOREST),
    Try("rf50x8", "random forest, 50 x 8", weighted(random_forest(50, 8), 1)),
    Try("rf30x8", "random forest, 30 x 8", weighted(random_forest(30, 8), 1)),
    Try("rf20x10", "random forest, 20 x 10", weighted(random_forest(20, 10), 1)),
    Try("gbt60x5", "boosted trees, 60 x 5", TREES),
    Try("gbt60x4", "boosted trees, 60 x 4", boosted_trees(60, 4)),
    Try("gbt40x4", "boosted trees, 40 x 4", boosted_trees(40, 4)),
    Try("gbt30x5", "boosted trees, 30 x 5", SHORT_TREES),
    Try("gbt20x6", "boosted trees, 20 x 6", boosted_trees(20, 6)),
    Try("gbt100x3", "boosted trees, 100 x 3", boosted_trees(100, 3)),
    Try("lr_cw10", "frauds weigh 10 times", weighted(LR, 10), against="lr"),
    Try("lr_cw100", "frauds weigh 100 times", weighted(LR, 100), against="lr"),
    Try("rf50x10_cw5", "frauds weigh 5 times", weighted(FOREST, 5), against="rf50x10"),
    Try("rf50x10_cw10", "frauds weigh 10 times", weighted(FOREST, 10), against="rf50x10"),
    Try("rf50x10_cw30", "frauds weigh 30 times", weighted(FOREST, 30), against="rf50x10"),
    Try("rf50x10_s1", "another seed", FOREST, seed=1, against="rf50x10"),
    Try("rf50x10_cw5_s1", "frauds weigh 5 times, another seed", weighted(FOREST, 5), seed=1, against="rf50x10_s1"),
    Try("rf_cw5", "frauds weigh 5 times", weighted(BIG_FOREST, 5), against="rf100x12"),
    Try("rf_cw10", "frauds weigh 10 times", weighted(BIG_FOREST, 10), against="rf100x12"),
    Try("rf_cw100", "frauds weigh 100 times", weighted(BIG_FOREST, 100), against="rf100x12"),
    Try("rf50x8_cw5", "frauds weigh 5 times", weighted(random_forest(50, 8), 5), against="rf50x8"),
    Try("rf50x8_cw10", "frauds weigh 10 times", weighted(random_forest(50, 8), 10), against="rf50x8"),
    Try("rf50x12_cw5", "frauds weigh 5 times", weighted(random_forest(50, 12), 5), against="rf50x12"),
    Try("rf_cw30", "frauds weigh 30 times", weighted(BIG_FOREST, 30), against="rf100x12"),
    Try("rf_s1", "another seed", BIG_FOREST, seed=1, against="rf100x12"),
    Try("rf_cw5_s1", "frauds weigh 5 times, another seed", weighted(BIG_FOREST, 5), seed=1, against="rf_s1"),
    Try("rf50x6_cw10", "depth 6 and not 8", weighted(random_forest(50, 6), 10), against="rf50x8_cw10"),
    Try("rf30x10_cw10", "30 trees and not 50", weighted(random_forest(30, 10), 10), against="rf50x10_cw10"),
    Try("rf_f3", "0.4 of the columns at a split", weighted(FOREST, 1, featureSubsetStrategy="0.4"), against="rf50x10"),
    Try("rf_mi4", "at least 4 rows in a leaf", weighted(FOREST, 1, minInstancesPerNode=4), against="rf50x10"),
    Try("gbt_cw5", "frauds weigh 5 times", weighted(SHORT_TREES, 5), against="gbt30x5"),
    Try("gbt60_cw5", "frauds weigh 5 times", weighted(TREES, 5), against="gbt60x5"),
    Try(
        "gbt_f3",
        "0.3 of the columns at a split",
        weighted(SHORT_TREES, 1, featureSubsetStrategy="0.3"),
        against="gbt30x5",
    ),
    Try("gbt_cw10", "frauds weigh 10 times", weighted(SHORT_TREES, 10), against="gbt30x5"),
    Try("gbt_cw100", "frauds weigh 100 times", weighted(SHORT_TREES, 100), against="gbt30x5"),
    Try("gbt_mi5", "at least 5 rows in a leaf", weighted(SHORT_TREES, 1, minInstancesPerNode=5), against="gbt30x5"),
    Try("rf50x8_cw5_b64", "64 bins and not 32", binned(random_forest(50, 8), 64), against="rf50x8_cw5"),
    Try("rf50x8_cw5_b128", "128 bins and not 32", binned(random_forest(50, 8), 128), against="rf50x8_cw5"),
    Try("rf50x8_cw5_b256", "256 bins and not 32", binned(random_forest(50, 8), 256), against="rf50x8_cw5"),
    Try("rf50x10_cw5_b128", "128 bins and not 32", binned(random_forest(50, 10), 128), against="rf50x10_cw5"),
    Try("rf50x8_cw5_b32_s1", "another seed", random_forest(50, 8), seed=1, against="rf50x8_cw5"),
    Try(
        "rf50x8_cw5_b128_s1",
        "128 bins and not 32, another seed",
        binned(random_forest(50, 8), 128),
        seed=1,
        against="rf50x8_cw5_b32_s1",
    ),
    Try("gbt_b64", "64 bins and not 32", binned(TREES, 64), against="gbt60x5"),
    Try("gbt_b128", "128 bins and not 32", binned(TREES, 128), against="gbt60x5"),
    Try("gbt_b256", "256 bins and not 32", binned(TREES, 256), against="gbt60x5"),
    Try("gbt_b128_s1", "128 bins and not 32, another seed", binned(TREES, 128), seed=1, against="gbt60x5"),
    Try("lr_log", "logarithm of the amount", LR, "log", against="lr"),
    Try("lr_loghour", "logarithm of the amount, hour of the day", LR, "loghour", against="lr"),
    Try("lr_sq", "squares of V1 to V28", LR, "squares", against="lr"),
    Try("lr_abs", "absolute values of V1 to V28", LR, "abs", against="lr"),
    Try("lr_slog", "signed logarithms of all columns", LR, "slog", against="lr"),
    Try("lr_inter", "five products of strong columns", LR, "inter", against="lr"),
    Try("rf_hour", "hour of the day", BIG_FOREST, "hour", against="rf100x12"),
    Try("rf50x10_cw10_hour", "hour of the day", weighted(FOREST, 10), "hour", against="rf50x10_cw10"),
    Try("gbt_hour", "hour of the day", TREES, "hour", against="gbt60x5"),
)
AVERAGES: Final = (
    Average("linear model and forest", ("lr", "rf100x12"), "rf100x12"),
    Average("forest and boosted trees", ("rf100x12", "gbt60x5"), "rf100x12"),
    Average("linear model and boosted trees", ("lr", "gbt60x5"), "gbt60x5"),
    Average("all three", ("lr", "rf100x12", "gbt60x5"), "rf100x12"),
    Average("linear model and forest with frauds that weigh 5 times", ("lr_r03", "rf50x8_cw5"), "rf50x8_cw5"),
    Average("forest with frauds that weigh 5 times, boosted trees", ("rf50x8_cw5", "gbt60x5"), "rf50x8_cw5"),
    Average("forest of 128 bins and boosted trees of 128 bins", ("rf50x8_cw5_b128", "gbt_b128"), "rf50x8_cw5_b128"),
    Average("linear model and forest of 128 bins", ("lr_r03", "rf50x8_cw5_b128"), "rf50x8_cw5_b128"),
)


BETWEEN: Final = (
    ("rf50x8_cw5", "lr"),
    ("rf50x8_cw5", "lr_r03"),
    ("rf50x8_cw5", "gbt60x5"),
    ("rf50x10_cw5", "rf50x8_cw5"),
    ("rf_cw5", "rf50x10_cw5"),
)
"""Pairs of candidates to compare with each other."""


@dataclass
class Folds:
    """The rows in folds, and the scores of each try."""

    csv_profile: CsvProfile
    legitimate_share: float
    keep: Path
    limits: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Cut the rows."""
        edges = [round(self.csv_profile.rows * share) for share in EDGES]
        self.limits = list(itertools.pairwise(edges))
        self.is_fraud = self.csv_profile.label.is_fraud
        self.weight = np.where(self.is_fraud, 1.0, 1.0 / self.legitimate_share)

    def slots(self, name: str) -> Floats:
        """The columns of a set."""
        columns = {column.name: column.values for column in self.csv_profile.columns}
        values = np.stack([columns[f"V{number}"] for number in range(1, 29)] + [columns["Amount"]], axis=1)
        principal, log = values[:, :28], np.log1p(values[:, 28])
        hour = columns["Time"] % 86_400 / 3_600
        cycle = np.stack([np.sin(hour * np.pi / 12), np.cos(hour * np.pi / 12)], axis=1)
        pairs = ((13, 16), (3, 13), (13, 11), (16, 11), (9, 13))
        sets: Mapping[str, Callable[[], Sequence[Floats]]] = {
            "base": lambda: (),
            "log": lambda: (log,),
            "hour": lambda: (hour,),
            "loghour": lambda: (log, cycle),
            "squares": lambda: (principal**2,),
            "abs": lambda: (np.abs(principal),),
            "slog": lambda: (np.sign(values) * np.log1p(np.abs(values)),),
            "inter": lambda: tuple(values[:, one] * values[:, other] for one, other in pairs),
        }
        return np.column_stack([values, *sets[name]()])

    def scored(self, scores: Sequence[Floats]) -> list[ScoredRows]:
        """Scores with their rows' labels, by fold."""
        return [
            ScoredRows(score, self.is_fraud[start:end], self.weight[start:end])
            for score, (start, end) in zip(scores, self.limits, strict=True)
        ]

    def read(self, name: str) -> list[ScoredRows]:
        """The scores of a try."""
        arrays = np.load(self.keep / f"{name}.npz")
        return self.scored([arrays[f"s{fold}"] for fold in range(len(self.limits))])

    def average(self, names: Sequence[str]) -> list[ScoredRows]:
        """The mean log odds of several tries."""
        models = [self.read(name) for name in names]
        return self.scored(
            [np.mean([_log_odds(rows.score) for rows in fold], axis=0) for fold in zip(*models, strict=True)]
        )

    def work_out(self, spark: SparkSession, each: Try, frame: DataFrame) -> None:
        """Fit and score one try on every fold."""
        row = F.col(TrainingColumn.ROW)
        arrays = {}
        for fold, (start, end) in enumerate(self.limits):
            model = fit(frame.where(row < start), each.algorithm, each.seed)
            arrays[f"s{fold}"] = model.scores(frame.where((row >= start) & (row < end)))[1]
        np.savez(self.keep / f"{each.name}.npz", allow_pickle=False, **arrays)

    def frame(self, spark: SparkSession, slots: str, folder: Path) -> DataFrame:
        """The rows with a vector of these slots."""
        values = self.slots(slots)
        vectors = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1]).cast(pa.list_(pa.float64()))
        columns = {
            TrainingColumn.ROW: np.arange(len(values)),
            TrainingColumn.LABEL: self.is_fraud.astype(np.float64),
            TrainingColumn.WEIGHT: self.weight,
            "vector": vectors,
        }
        path = folder / f"{slots}.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=8192)
        read = spark.read.parquet(str(path))
        return read.withColumn("features", array_to_vector(F.col("vector"))).drop("vector").cache()


def _log_odds(score: Floats) -> Floats:
    clipped = np.clip(score, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped / (1 - clipped)))


def figures(folds: list[ScoredRows], against: list[ScoredRows] | None) -> dict[str, Any]:
    """Average precision by fold, its mean with an interval, and what it gains against something else."""
    by_fold = [average_precision(fold) for fold in folds]
    others = against if against is not None else folds
    draws: list[list[Draws]] = [draw_paired(pair, SEED) for pair in zip(folds, others, strict=True)]
    mine = np.mean([first.average_precision for first, _ in draws], axis=0)
    ends = interval(mine)
    result: dict[str, Any] = {
        "average_precision": [round(value, 4) for value in by_fold],
        "mean": round(float(np.mean(by_fold)), 4),
        "mean_interval": [round(ends.low, 4), round(ends.high, 4)],
    }
    if against is not None:
        theirs = np.mean([second.average_precision for _, second in draws], axis=0)
        before = [average_precision(fold) for fold in against]
        gap = interval(mine - theirs)
        result["gain"] = round(float(np.mean(by_fold) - np.mean(before)), 4)
        result["gain_interval"] = [round(gap.low, 4), round(gap.high, 4)]
        result["folds_better"] = sum(new > old for new, old in zip(by_fold, before, strict=True))
    return result


def calibration(folds: list[ScoredRows]) -> list[dict[str, float]]:
    """The calibration error on each fold but the first, calibrated on the fold before by the model before."""
    results = []
    for before, rows in itertools.pairwise(folds):
        fitted = fit_calibration(before.score, before.is_fraud, before.weight)
        after = replace(rows, score=fitted.of(rows.score))
        errors = [expected_calibration_error(reliability(each)) for each in (rows, after)]
        results.append({"before": round(errors[0], 5), "after": round(errors[1], 5)})
    return results


def main() -> None:
    """Work out what is not there yet and write the JSON."""
    parser = study.parser(__doc__, "models")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--legitimate-share", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, default=None, help="Folder of the scores; a temporary one if not given.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder) / "scores"
        keep.mkdir(parents=True, exist_ok=True)
        folds = Folds(profile(open_data(arguments.data), "Class"), arguments.legitimate_share, keep)
        missing = [each for each in TRIES if not (keep / f"{each.name}.npz").exists()]
        if missing:
            with batch_spark(Settings.load(), "models") as spark:
                frames: dict[str, DataFrame] = {}
                for number, each in enumerate(missing, 1):
                    print(f"{number} of {len(missing)}: {each.name}", flush=True)
                    if each.slots not in frames:
                        frames[each.slots] = folds.frame(spark, each.slots, Path(folder))
                    folds.work_out(spark, each, frames[each.slots])
        result = report(folds, arguments.data)
    write_result(arguments.output, result)


def report(folds: Folds, data: Path) -> dict[str, Any]:
    """The whole JSON."""
    rows = []
    for each in TRIES:
        against = folds.read(each.against) if each.against else None
        rows.append(
            {"name": each.name, "shown": each.description, "against": each.against}
            | figures(folds.read(each.name), against)
        )
    for mean in AVERAGES:
        result = figures(folds.average(mean.of), folds.read(mean.against))
        rows.append(
            {"name": "+".join(mean.of), "shown": f"average: {mean.description}", "against": mean.against} | result
        )
    return {
        **circumstances(),
        "data": {"name": data.name, "rows": folds.csv_profile.rows, "legitimate_share": folds.legitimate_share},
        "folds": [
            {"fitted_on": start, "rows": end - start, "frauds": int(folds.is_fraud[start:end].sum())}
            for start, end in folds.limits
        ],
        "rows": rows,
        "between": [
            {"name": one, "against": other} | figures(folds.read(one), folds.read(other)) for one, other in BETWEEN
        ],
        "calibration": {name: calibration(folds.read(name)) for name in ("lr", "rf50x10_cw5", "gbt60x5")},
    }


if __name__ == "__main__":
    main()
