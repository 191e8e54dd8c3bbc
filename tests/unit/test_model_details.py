"""What moved between two periods, where the results hold, and what the cautions say about few frauds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, entropy
from sklearn.metrics import confusion_matrix

from evaluations import small_evaluation
from fraudstream.model.calibration import IDENTITY
from fraudstream.model.evaluation.bootstrap import ScoredPeriod, ScoredRows
from fraudstream.model.evaluation.breakdown import by_amount, by_category, by_time
from fraudstream.model.evaluation.evaluate import choose_threshold
from fraudstream.model.evaluation.inputs import drift, stability_index
from fraudstream.model.evaluation.record import Operating
from fraudstream.model.evaluation.thresholds import RowLosses
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.model.report.words import cautions, duration, workload
from fraudstream.transactions.formats import ColumnKind
from fraudstream.transactions.label import ColumnProfile
from fraudstream.transactions.label_reader import Categories

ROWS = 4_000


def scored_rows(frauds: int, rows: int = ROWS, seed: int = 1) -> ScoredRows:
    rng = np.random.default_rng(seed)
    is_fraud = np.zeros(rows, bool)
    is_fraud[rng.choice(rows, frauds, replace=False)] = True
    score = 1 / (1 + np.exp(-(rng.normal(size=rows) * 1.5 + 5 * is_fraud - 5)))
    return ScoredRows(score, is_fraud, np.ones(rows))


def test_the_stability_index_is_scipys_symmetric_divergence() -> None:
    before, after = np.array([10.0, 40.0, 50.0]), np.array([25.0, 30.0, 45.0])
    assert stability_index(before, after) == pytest.approx(entropy(before, after) + entropy(after, before))
    assert np.isfinite(stability_index(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_a_number_that_moves_and_loses_values_has_drifted() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=ROWS)
    late = np.arange(ROWS) >= ROWS // 2
    feature, periods, weight = Feature("V1", FeatureType.NUMBER), (~late, late), np.ones(ROWS)
    calm = drift(feature, ColumnProfile("V1", ColumnKind.NUMBER, 0, values), periods, weight)
    assert (calm.level, calm.missing) == ("stable", (0.0, 0.0))
    moved = np.where(late, values + 2, values)
    moved[-400:] = np.nan
    strong = drift(feature, ColumnProfile("V1", ColumnKind.NUMBER, 400, moved), periods, weight)
    assert (strong.level, strong.missing) == ("strongly shifted", (0.0, 0.2))
    assert float(strong.typical[1]) == pytest.approx(2.0, abs=0.1)


def test_a_category_drifts_by_its_encoded_values_and_what_is_missing() -> None:
    codes = np.array([0, 0, 0, 1, 0, 1, 1, 2, -1, 1], np.int32)
    column = ColumnProfile("country", ColumnKind.TEXT, 1, np.empty(0), Categories(("GB", "FR", "rare"), codes))
    late = np.arange(10) >= 5
    measured = drift(Feature("country", FeatureType.CATEGORY, values=("GB", "FR")), column, (~late, late), np.ones(10))
    assert (measured.typical, measured.missing) == (("GB", "FR"), (0.0, 0.2))


def test_the_parts_of_a_period_add_up_to_its_confusion_matrix() -> None:
    rows = scored_rows(60)
    rng = np.random.default_rng(3)
    days, amounts = np.sort(rng.random(ROWS) * 20), rng.gamma(2, 60, ROWS)
    codes = rng.integers(-1, 12, ROWS).astype(np.int32)
    ((_, false), (_, caught)) = confusion_matrix(rows.is_fraud, rows.score >= 0.2)
    parts = [
        by_time(days, lambda day: f"day {day:.0f}", rows, 0.2),
        by_time(days / 4, str, rows, 0.2),
        by_time(None, str, rows, 0.2),
        by_amount("Amount", amounts, rows, 0.2),
        by_category("country", [f"c{number}" for number in range(12)], codes, rows, 0.2),
    ]
    assert [(each.by, len(each.groups)) for each in parts] == [
        ("week", 3), ("day", 5), ("part of the period", 6), ("Amount", 4), ("country", 9),
    ]  # fmt: skip
    for each in parts:
        assert sum(group.rows for group in each.groups) == ROWS
        assert sum(group.frauds for group in each.groups) == 60
        assert sum(group.frauds_caught for group in each.groups) == caught
        assert sum(group.false_alarms for group in each.groups) == false
    assert all(group.frauds == 15 for group in parts[3].groups)


def period(rows: ScoredRows, days: float | None = 2.0) -> ScoredPeriod:
    return ScoredPeriod(np.arange(len(rows.score)), rows, np.full(len(rows.score), 100.0), days)


@pytest.mark.parametrize("frauds", [7, 60])
def test_a_rate_of_false_alarms_decides_where_frauds_are_few(frauds: int) -> None:
    chosen_on = period(scored_rows(frauds))
    losses = RowLosses(chosen_on.loss, "Amount", "")
    choice, table = choose_threshold(chosen_on, None, IDENTITY, losses, is_validated=True)
    at = next(row for row in table if row.threshold == choice.threshold).expected
    assert ("a false-alarm rate of 0.1%" in choice.rule) == (frauds < 20)
    assert (at.false_alarms <= 0.001 * (ROWS - frauds)) == (frauds < 20)
    assert (at.cost(2.5) == min(row.expected.cost(2.5) for row in table)) == (frauds >= 20)
    limited, _ = choose_threshold(chosen_on, None, IDENTITY, losses, is_validated=True, max_alerts_per_day=1.0)
    assert limited.threshold >= choice.threshold
    assert (chosen_on.raw.score >= limited.threshold).sum() <= 2


def test_few_rows_may_raise_one_false_alarm() -> None:
    chosen_on = period(scored_rows(5, rows=300))
    choice, _ = choose_threshold(chosen_on, None, IDENTITY, RowLosses(chosen_on.loss, None, ""), is_validated=True)
    rows = chosen_on.raw
    assert int((rows.score[~rows.is_fraud] >= choice.threshold).sum()) == 1


def test_less_than_a_day_is_not_scaled_to_one() -> None:
    short = Operating(16, 12, 42.0, 1.0, 0.0, 57 / 1440, 1_500.0)
    assert (short.alerts_per_day, workload(short)) == (None, "54 alerts in 57 min")
    assert workload(replace(short, days=None)) == "54 alerts"
    assert workload(replace(short, days=2.0)) == "27.0 alerts a day"
    assert [duration(days) for days in (0.01, 0.3, 2.5)] == ["14 min", "7 h 12 min", "2.5 days"]


def test_weighted_false_alarms_count_as_the_rows_that_they_are() -> None:
    plain = Operating(20, 12, 8.0, 1.0, 0.0, None, 1_000.0)
    ends = binomtest(12, 20).proportion_ci(method="wilson")
    assert plain.recall_estimate.interval == pytest.approx((ends.low, ends.high))
    assert plain.precision_estimate(1.0).interval == pytest.approx((ends.low, ends.high))
    weighted = replace(plain, false_alarms=40.0)
    assert weighted.precision_estimate(5.0).value == 12 / 52
    # 12 frauds and 8 rows of weight 5 are no more than 20 rows.
    wide, narrow = (weighted.precision_estimate(weight).interval for weight in (5.0, 1.0))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > narrow.high - narrow.low


def test_later_alerts_are_expected_by_day_or_by_payment() -> None:
    before = Operating(20, 10, 10.0, 0.0, 0.0, 4.0, 8_000.0)
    assert before.expected_alerts(replace(before, days=2.0, rows=1.0)) == 10.0
    assert before.expected_alerts(replace(before, days=0.5, rows=4_000.0)) == 10.0
    assert before.expected_alerts(replace(before, days=None, rows=0.0)) is None


def test_cautions_have_the_counts_behind_them() -> None:
    evaluation, _ = small_evaluation()
    assert cautions(evaluation) == []
    row, test = evaluation.threshold.row, evaluation.test
    assert row is not None
    assert row.test is not None
    assert test is not None
    expected = replace(row.expected, frauds=7, frauds_caught=5, false_alarms=5.0, rows=1_000.0, days=0.04)
    raised = replace(row.test, frauds_caught=12, false_alarms=42.0, rows=1_000.0, days=0.04)
    rough = replace(
        evaluation,
        test=replace(test, frauds=16, days=57 / 1440),
        threshold=replace(evaluation.threshold, row=replace(row, expected=expected, test=raised)),
    )
    assert cautions(rough) == [
        "16 frauds in the test period: figures are rough",
        "the test period is 57 min long: nothing is scaled to days",
        "7 frauds to choose the threshold on: a false-alarm rate decides, not cost",
        "10 alerts expected in the test period, 54 raised",
    ]
