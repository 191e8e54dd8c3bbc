"""Measures what the history of cards and terminals is worth, by the protocol of the Fraud Detection Handbook.

    python -m benchmarks.history_quality --data handbook_2018-04_to_08.csv.gz

Four weekly folds: 7 (or 28) days of training, 7 days until their labels are known, 7 days of test. In the test a card
is left out once a fraud with it is known. Card precision: of the 100 cards with the highest scores of a day, the share
with a fraud on that day; a detected card leaves the list. The history is that of `train`: the operator's,
and daily profiles that serve from 6 hours after the day's end.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from fraudstream.config import Settings
from fraudstream.history.spec import HistorySpec
from fraudstream.model.evaluation.bootstrap import ScoredRows, average_precision
from fraudstream.model.features.file_history import add_history
from fraudstream.model.features.projection import RowNotes, read_rows, with_vectors, write_training_rows
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.features.selection import choose_features
from fraudstream.model.manifest import Feature, Selection
from fraudstream.model.training.declaration import declared_history, extended
from fraudstream.model.training.recipe import HISTORY_BINS, boosted_trees, fit, random_forest
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import CsvProfile, profile

LABEL: Final = "TX_FRAUD"
ENTITIES: Final = ("card=CUSTOMER_ID", "terminal=TERMINAL_ID")
EXCLUDED: Final = ("TRANSACTION_ID", "TX_FRAUD_SCENARIO", "TX_TIME_SECONDS", "TX_TIME_DAYS")
FOLDS: Final = ("2018-07-04", "2018-07-11", "2018-07-18", "2018-07-25")
WEEK: Final = 7
CARDS: Final = 100
SEED: Final = 42
DAY: Final = 86_400
BOOK: Final = {"average_precision": 0.687, "card_precision": 0.303, "of": "XGBoost, the book's own features"}
ALGORITHMS: Final = {
    "random-forest": random_forest(50, 10).with_bins(HISTORY_BINS),
    "few-bins": random_forest(50, 10),
    "larger-forest": random_forest(100, 14).with_bins(HISTORY_BINS),
    "gbt": boosted_trees(60, 5).with_bins(HISTORY_BINS),
}
"""`few-bins` is the forest of models without a history."""

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Payments:
    """What the protocol reads of each payment, by time: days since 1970, card, and whether it is a fraud."""

    day: NDArray[np.int64]
    card: NDArray[np.float64]
    is_fraud: NDArray[np.bool_]

    @classmethod
    def of(cls, data: CsvProfile) -> Payments:
        """Those of a file that is sorted by time."""
        assert data.time is not None
        assert data.time.is_file_order
        card = next(column for column in data.columns if column.name == "CUSTOMER_ID")
        return cls((data.time.values // DAY).astype(np.int64), card.values, data.label.is_fraud)

    def between(self, first: int, end: int) -> Rows:
        """Rows from the day `first` to the day before `end`."""
        return np.arange(*np.searchsorted(self.day, [first, end]))

    def test_days(self, start: int) -> list[Rows]:
        """Rows of each day of the test, without the cards that are known to be compromised by then."""
        training = self.between(start, start + WEEK)
        known = set(self.card[training][self.is_fraud[training]].tolist())
        days = []
        for day in range(WEEK):
            late = self.between(start + WEEK + day - 1, start + WEEK + day)
            known |= set(self.card[late][self.is_fraud[late]].tolist())
            rows = self.between(start + 2 * WEEK + day, start + 2 * WEEK + day + 1)
            days.append(rows[~np.isin(self.card[rows], list(known))])
        return days

    def card_precision(self, days: Sequence[Rows], score: NDArray[np.float64]) -> float:
        """The mean over the days; `score` is by row of all days together."""
        compromised: set[float] = set()
        shares = []
        for rows, scores in zip(days, np.split(score, np.cumsum([len(each) for each in days])[:-1]), strict=True):
            is_left = ~np.isin(self.card[rows], list(compromised))
            cards, index = np.unique(self.card[rows[is_left]], return_inverse=True)
            highest, frauds = np.zeros(len(cards)), np.zeros(len(cards), np.bool_)
            np.maximum.at(highest, index, scores[is_left])
            np.logical_or.at(frauds, index, self.is_fraud[rows[is_left]])
            top = np.argsort(-highest, kind="stable")[:CARDS]
            shares.append(float(frauds[top].mean()))
            compromised |= set(cards[top][frauds[top]].tolist())
        return float(np.mean(shares))


def feature_sets(features: Sequence[Feature], spec: HistorySpec) -> dict[str, list[Feature]]:
    """The features of a payment alone, with its card's history, and with the terminal's profile too."""
    live, profiles = {each.name for each in spec.live}, {each.name for each in spec.profiles}
    return {
        "payment alone": [each for each in features if each.name not in live | profiles],
        "with the card's history": [each for each in features if each.name not in profiles],
        "with the terminal's profile too": list(features),
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over the folds, with the standard deviation between them."""
    result: dict[str, Any] = {}
    for name in ("average_precision", "card_precision"):
        values = [run[name] for run in runs]
        result |= {name: round(float(np.mean(values)), 4), f"{name}_deviation": round(float(np.std(values)), 4)}
    return result | {"folds": list(runs)}


def main() -> None:
    """Run every fold, and write the JSON after each set of features."""
    parser = study.parser(__doc__, "history_quality")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--days", type=int, nargs="+", default=(7, 28), help="Days of training.")
    parser.add_argument("--algorithms", nargs="+", default=("random-forest",), choices=tuple(ALGORITHMS))
    parser.add_argument("--sets", nargs="+", type=int, default=(0, 1, 2), help="Which sets of features, from 0.")
    arguments = parser.parse_args()
    source = open_data(arguments.data)
    data = profile(source, LABEL, excluded=source.columns)
    spec = declared_history(data, ENTITIES, None, None, WEEK * DAY)
    result: dict[str, Any] = {**circumstances(), "data": source.name, "book": BOOK, "results": []}
    starts = [int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) // DAY for day in FOLDS]
    with (
        batch_spark(Settings.load(), "history-quality", history=True) as spark,
        tempfile.TemporaryDirectory() as folder,
    ):
        began = time.monotonic()
        source = add_history(spark, source, spec, (LABEL, data.label.fraud))
        data = extended(data, source)
        study.say(f"history of {data.rows:,} payments in {time.monotonic() - began:.0f} s")
        result |= {"rows": data.rows, "features": spec.names}
        payments = Payments.of(data)
        used = payments.between(starts[0] + WEEK - max(arguments.days), starts[-1] + 3 * WEEK)
        ones, parts = np.ones(len(used)), np.zeros(len(used), np.int8)
        notes = RowNotes(data.label.is_fraud[used], ones, parts, ones.astype(np.bool_))
        write_training_rows(islice(source.json_rows(int(used[0])), len(used)), notes, Path(folder))
        texts = read_rows(spark, Path(folder))
        row = F.col(TrainingColumn.ROW) + F.lit(int(used[0]))
        for length in arguments.days:
            runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
            for start, name in zip(starts, FOLDS, strict=True):
                training = payments.between(start + WEEK - length, start + WEEK)
                is_train = np.zeros(data.rows, np.bool_)
                is_train[training] = True
                choice = choose_features(data, is_train, Selection(exclude=EXCLUDED))
                days = payments.test_days(start)
                tested = np.concatenate(days)
                sets = list(feature_sets(choice.features, spec).items())
                for about, features in (sets[number] for number in arguments.sets):
                    vectors = with_vectors(texts, features)
                    learned = vectors.where(row.between(int(training[0]), int(training[-1]))).cache()
                    later = vectors.where(row.between(int(tested[0]), int(tested[-1])))
                    for algorithm in arguments.algorithms:
                        rows, scores = fit(learned, ALGORITHMS[algorithm], SEED).scores(later)
                        score = scores[np.searchsorted(rows + used[0], tested)]
                        truth = payments.is_fraud[tested]
                        run = {
                            "start": name,
                            "frauds": int(truth.sum()),
                            "average_precision": round(
                                average_precision(ScoredRows(score, truth, np.ones(len(tested)))), 4
                            ),
                            "card_precision": round(payments.card_precision(days, score), 4),
                        }
                        study.say(f"{length} days, {algorithm}, {about}: {run}")
                        runs.setdefault((algorithm, about), []).append(run)
                    learned.unpersist()
            for (algorithm, about), folds in runs.items():
                chosen = ALGORITHMS[algorithm]
                bins = chosen.parameters.get("maxBins", 32)
                each = {"days": length, "algorithm": f"{chosen.label}, {bins} bins", "features": about}
                each |= summary(folds)
                result["results"].append(each)
            write_result(arguments.output, result)


if __name__ == "__main__":
    main()
