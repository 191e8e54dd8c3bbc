"""The figures of a model: by hand where they can be had by hand, and true to their definitions where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.model.evaluation.bootstrap import ScoredRows, average_precision, draw, interval, roc_auc
from fraudstream.model.evaluation.thresholds import operating


def scored(scores: list[float], frauds: list[int], weights: list[float] | None = None) -> ScoredRows:
    weight = np.ones(len(scores)) if weights is None else np.array(weights, dtype=float)
    return ScoredRows(np.array(scores, dtype=float), np.array(frauds, dtype=bool), weight)


ROWS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.5, 0.7, 0.9]), st.booleans(), st.integers(1, 4)),
    min_size=2,
    max_size=25,
).filter(lambda rows: len({is_fraud for _, is_fraud, _ in rows}) == 2)


def both_classes(rows: list[tuple[float, bool, int]]) -> ScoredRows:
    scores, frauds, weights = zip(*rows, strict=True)
    return scored(list(scores), list(frauds), list(weights))


def repeated(rows: ScoredRows) -> ScoredRows:
    """Each row as often as it weighs."""
    times = rows.weight.astype(int)
    return ScoredRows(np.repeat(rows.score, times), np.repeat(rows.is_fraud, times), np.ones(int(times.sum())))


def test_average_precision_of_a_case_worked_out_by_hand() -> None:
    # Ranked: fraud, legitimate, fraud, legitimate: precision 1/1 and 2/3 at the two frauds, each half of the recall.
    assert average_precision(scored([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])) == pytest.approx((1 + 2 / 3) / 2)


def test_rows_of_one_score_count_at_once() -> None:
    assert average_precision(scored([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0])) == pytest.approx(1 / 4)


def test_a_legitimate_row_of_weight_five_costs_as_much_as_five() -> None:
    assert average_precision(scored([0.9, 0.8], [0, 1], [5, 1])) == pytest.approx(1 / 6)


@settings(deadline=None)
@given(rows=ROWS)
def test_weighing_is_repeating(rows: list[tuple[float, bool, int]]) -> None:
    weighted = both_classes(rows)
    plain = repeated(weighted)
    assert average_precision(weighted) == pytest.approx(average_precision(plain))
    assert roc_auc(weighted) == pytest.approx(roc_auc(plain))


@settings(deadline=None)
@given(rows=ROWS)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool, int]]) -> None:
    plain = repeated(both_classes(rows))
    frauds, legitimate = plain.score[plain.is_fraud], plain.score[~plain.is_fraud]
    pairs = np.sign(frauds[:, None] - legitimate[None, :])
    assert roc_auc(plain) == pytest.approx(float(np.mean((pairs + 1) / 2)))


def test_a_score_at_the_threshold_is_an_alert() -> None:
    at = operating(scored([0.9, 0.5, 0.5, 0.4], [1, 1, 0, 0], [1, 1, 4, 4]), np.zeros(4), 0.5, None)
    assert (at.frauds, at.frauds_caught, at.false_alarms) == (2, 2, 4)
    assert at.precision == pytest.approx(2 / 6)


def test_a_threshold_above_every_score_catches_and_costs_nothing() -> None:
    at = operating(scored([0.9, 0.5], [1, 0]), np.zeros(2), 0.95, None)
    assert (at.recall, at.precision, at.false_alarms) == (0, 0, 0)


def test_the_interval_agrees_with_a_bootstrap_that_draws_row_by_row() -> None:
    rng = np.random.default_rng(1)
    is_fraud = np.arange(3000) < 40
    rows = ScoredRows(rng.normal(size=3000) + 2.5 * is_fraud, is_fraud, np.where(is_fraud, 1, 5.4))
    drawn = []
    for _ in range(1000):
        picked = np.concatenate([rng.integers(0, 40, 40), rng.integers(40, 3000, 2960)])
        drawn.append(average_precision(ScoredRows(rows.score[picked], is_fraud[picked], rows.weight[picked])))
    ends = interval(draw(rows, seed=1).average_precision)
    assert [ends.low, ends.high] == pytest.approx(list(np.quantile(drawn, (0.025, 0.975))), abs=0.03)
    assert ends.low < average_precision(rows) < ends.high


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = scored([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 0, 0])
    assert interval(draw(rows, seed=3).average_precision) == interval(draw(rows, seed=3).average_precision)


def test_a_perfect_ranking_leaves_no_doubt() -> None:
    rows = scored([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0])
    ends = interval(draw(rows, seed=3).average_precision)
    assert (ends.low, ends.high, average_precision(rows), roc_auc(rows)) == (1, 1, 1, 1)
