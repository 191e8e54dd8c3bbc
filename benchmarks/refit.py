"""Measures what it is worth to fit the deployed model again on all rows after its evaluation.

    python -m benchmarks.refit --data creditcard_subset.csv --legitimate-share 0.18594

Four folds in time order, as in `models.py`. In each, the rows before the fold are trained on as `train` does:
candidates compared, calibration and threshold from the validation period, and the chosen algorithm fitted on the rows
before its test period. A second fit has all rows before the fold. Both are evaluated on the fold, with the same
calibration and threshold; means over five seeds. `auto` searches with the first of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks import study
from benchmarks.models import EDGES, Folds
from benchmarks.system.machine import circumstances, write_result
from fraudstream.config import Settings
from fraudstream.model.calibration import fit_calibration
from fraudstream.model.evaluation.bootstrap import ScoredPeriod, ScoredRows, average_precision, draw_paired, interval
from fraudstream.model.evaluation.curves import expected_calibration_error, reliability
from fraudstream.model.evaluation.evaluate import choose_threshold
from fraudstream.model.evaluation.thresholds import RowLosses, losses, operating
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.training.recipe import ALGORITHMS, SEARCH, Algorithm, RowScores, fit
from fraudstream.model.training.search import EARLIER, LAST, Winner, search
from fraudstream.model.training.split import Part, Split, split_in_time
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile

SEEDS: Final = (42, 1, 2, 3, 4)
REQUESTED: Final[dict[str, Sequence[Algorithm]]] = {
    "random-forest": (ALGORITHMS["random-forest"],),
    "auto": SEARCH,
}
FITS: Final = ("without", "with")
"""A refit."""


class Study:
    """The rows in folds, and both fits on each of them."""

    def __init__(self, folds: Folds, frame: DataFrame) -> None:
        self.folds, self.frame = folds, frame
        self.runs: dict[tuple[int, str, int], dict[str, Any]] = {}
        self.losses: RowLosses = losses(folds.csv_profile)
        time = folds.csv_profile.time
        assert time is not None
        self.time = time
        # Equal rows of a fold and before it would favour the fit that has more of these.
        self.is_first = np.zeros(folds.csv_profile.rows, bool)
        self.is_first[np.unique(folds.slots("base"), axis=0, return_index=True)[1]] = True

    def period(self, scores: RowScores) -> ScoredPeriod:
        """Scored rows with labels, weights, losses and days."""
        rows, score = scores
        days = float(np.ptp(self.time.values[rows])) / self.time.units_per_second / 86_400
        scored = ScoredRows(score, self.folds.is_fraud[rows], self.folds.weight[rows])
        return ScoredPeriod(rows, scored, self.losses.by_row[rows], days)

    def search(self, fold: int, algorithms: Sequence[Algorithm], seed: int) -> tuple[Winner, DataFrame, Split]:
        """Compare the candidates on the rows before a fold, as `train` does."""
        start, _ = self.folds.limits[fold]
        split = split_in_time(self.folds.is_fraud[:start], replace(self.time, values=self.time.values[:start]))
        # The file is sorted by time: every part is a range of rows.
        row = F.col(TrainingColumn.ROW)
        begins = {each: int(np.searchsorted(split.part, each)) for each in Part}
        part = F.greatest(*(F.when(row >= first, int(each)) for each, first in begins.items()))
        rows = self.frame.where(row < start).withColumn(TrainingColumn.PART, part)
        has_comparison = len(algorithms) > 1 and len(split.rows_of(Part.COMPARISON)) > 0
        best = search(
            rows,
            algorithms,
            [EARLIER, LAST] if has_comparison else [LAST],
            score_period=self.period,
            components=29,
            seed=seed,
            report=lambda line: None,
        )
        return best, rows, split

    def run(self, fold: int, algorithm: Algorithm, seed: int) -> dict[str, Any]:
        """Fit twice and evaluate on a fold, each once; `scored` has the calibrated rows of both fits."""
        key = (fold, algorithm.label, seed if algorithm.takes_seed else SEEDS[0])
        if key not in self.runs:
            self.runs[key] = self._run(fold, algorithm, seed)
        return self.runs[key]

    def _run(self, fold: int, algorithm: Algorithm, seed: int) -> dict[str, Any]:
        start, end = self.folds.limits[fold]
        best, rows, split = self.search(fold, (algorithm,), seed)
        assert best.validated is not None
        raw = best.validated.raw
        calibration = fit_calibration(raw.score, raw.is_fraud, raw.weight)
        choice, _ = choose_threshold(best.validated, None, calibration, self.losses, is_validated=True)
        row = F.col(TrainingColumn.ROW)
        fold_rows = self.frame.where((row >= start) & (row < end))
        learned = rows.where(F.col(TrainingColumn.PART) <= int(Part.VALIDATION))
        result: dict[str, Any] = {"algorithm": algorithm.label, "threshold": choice.threshold, "scored": {}}
        for name, fitted_on in zip(FITS, (learned, rows), strict=True):
            numbers, score = fit(fitted_on, algorithm, seed).scores(fold_rows)
            period = self.period((numbers[self.is_first[numbers]], score[self.is_first[numbers]]))
            scored = period.calibrated(calibration)
            at = operating(scored, period.loss, choice.threshold, period.days)
            result["scored"][name] = scored
            result[name] = {
                "rows": start if name == "with" else int(split.is_train.sum()),
                "frauds": int(self.folds.is_fraud[:start][split.is_train | (name == "with")].sum()),
                "average_precision": average_precision(scored),
                "calibration_error": expected_calibration_error(reliability(scored)),
                "alerts_per_day": at.alerts / at.days if at.days else None,
                "recall": at.recall,
                "precision": at.precision,
                "saved": at.saved(2.5),
            }
        return result


def mean(values: Sequence[float]) -> float:
    """The mean with five digits."""
    return round(float(np.mean(values)), 5)


def gain(run: dict[str, Any]) -> float:
    """What the refit gains in average precision."""
    return float(run["with"]["average_precision"] - run["without"]["average_precision"])


def summary(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Means over the seeds by fold, and the paired difference; `runs` are by fold and seed."""
    folds, differences = [], []
    for by_seed in runs:
        pairs = [run["scored"][name] for run in by_seed for name in FITS]
        precisions = [draws.average_precision for draws in draw_paired(pairs, SEEDS[0])]
        differences.append(
            np.mean([new - old for old, new in zip(precisions[::2], precisions[1::2], strict=True)], axis=0)
        )
        means: dict[str, dict[str, float]] = {
            name: {key: mean([run[name][key] for run in by_seed]) for key in by_seed[0][name]} for name in FITS
        }
        folds.append(
            {
                "algorithm": by_seed[0]["algorithm"],
                **means,
                "gain": mean([gain(run) for run in by_seed]),
                "gain_interval": [round(end, 5) for end in interval(differences[-1])],
                "gain_by_seed": [round(gain(run), 5) for run in by_seed],
            }
        )
    return {
        "folds": folds,
        **{name: mean([fold[name]["average_precision"] for fold in folds]) for name in FITS},
        "gain": mean([fold["gain"] for fold in folds]),
        "gain_interval": [round(end, 5) for end in interval(np.mean(differences, axis=0))],
    }


def main() -> None:
    """Run all folds and seeds and write the JSON."""
    parser = study.parser(__doc__, "refit")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--legitimate-share", type=float, default=1.0)
    arguments = parser.parse_args()
    result: dict[str, Any] = circumstances() | {"data": arguments.data.name, "edges": EDGES, "seeds": SEEDS}
    with tempfile.TemporaryDirectory() as folder, batch_spark(Settings.load(), "refit") as spark:
        folds = Folds(profile(open_data(arguments.data), "Class"), arguments.legitimate_share, Path(folder))
        each_study = Study(folds, folds.frame(spark, "base", Path(folder)))
        for name, algorithms in REQUESTED.items():
            runs = []
            for fold in range(len(folds.limits)):
                study.say(f"{name}: fold {fold + 1} of {len(folds.limits)}")
                algorithm = algorithms[0]
                if len(algorithms) > 1:
                    algorithm = each_study.search(fold, algorithms, SEEDS[0])[0].algorithm
                runs.append([each_study.run(fold, algorithm, seed) for seed in SEEDS])
            result[name] = summary(runs)
            write_result(arguments.output, result)


if __name__ == "__main__":
    main()
