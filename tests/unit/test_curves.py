"""Curves and tables of the test period: true to their definitions, thinned, and with the uncertainty of their rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.model.evaluation.bootstrap import ScoredRows, average_precision, draw, draw_paired, interval, roc_auc
from fraudstream.model.evaluation.curves import (
    at_alerts_per_day,
    expected_calibration_error,
    histogram,
    precision_recall_curve,
    recall_at_rates,
    reliability,
    roc_curve,
)


def many(rows: int = 4000, frauds: int = 60, shift: float = 2.5, seed: int = 1) -> ScoredRows:
    rng = np.random.default_rng(seed)
    is_fraud = np.arange(rows) < frauds
    margin = rng.normal(size=rows) + shift * is_fraud - 5
    return ScoredRows(1 / (1 + np.exp(-margin)), is_fraud, np.where(is_fraud, 1.0, 5.4))


ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0]), st.booleans()), min_size=2, max_size=30
).filter(lambda rows: len({is_fraud for _, is_fraud in rows}) == 2)


def scored(rows: list[tuple[float, bool]]) -> ScoredRows:
    scores, frauds = zip(*rows, strict=True)
    return ScoredRows(np.array(scores), np.array(frauds), np.where(frauds, 1.0, 5.0))


@given(rows=ROWS)
def test_each_precision_is_the_best_that_catches_as_much(rows: list[tuple[float, bool]]) -> None:
    all_rows = scored(rows)
    for point in precision_recall_curve(all_rows, draw(all_rows, 1, rounds=5)):
        best = 0.0
        for threshold in np.unique(all_rows.score):
            alerts = all_rows.score >= threshold
            fraud_weight = float(all_rows.weight[alerts & all_rows.is_fraud].sum())
            if fraud_weight / all_rows.is_fraud.sum() >= point.recall - 1e-12:
                best = max(best, fraud_weight / float(all_rows.weight[alerts].sum()))
        assert point.precision == pytest.approx(best)


def test_the_curves_interval_holds_the_curve() -> None:
    rows = many()
    points = precision_recall_curve(rows, draw(rows, 1))
    assert len(points) == 100
    assert sum(point.low <= point.precision <= point.high for point in points) >= 95


@given(rows=ROWS)
def test_the_roc_curve_rises_from_corner_to_corner(rows: list[tuple[float, bool]]) -> None:
    points = roc_curve(scored(rows))
    assert (points[0].false_positive_rate, points[0].recall) == (0.0, 0.0) or points[0].false_positive_rate == 0.0
    assert (points[-1].false_positive_rate, points[-1].recall) == (1.0, 1.0)
    rates, recalls = [p.false_positive_rate for p in points], [p.recall for p in points]
    assert rates == sorted(rates)
    assert recalls == sorted(recalls)


def test_recall_at_a_rate_keeps_the_rate_and_misses_nothing_that_it_allows() -> None:
    rows = many()
    for each in recall_at_rates(rows, draw(rows, 1)):
        legitimate = rows.score[~rows.is_fraud]
        assert float(np.mean(legitimate >= each.threshold)) <= each.false_positive_rate
        looser = np.max(rows.score[rows.score < each.threshold])
        assert float(np.mean(legitimate >= looser)) > each.false_positive_rate
        assert each.recall.value == pytest.approx(float(np.mean(rows.score[rows.is_fraud] >= each.threshold)))
        assert each.recall.interval is not None
        assert each.recall.interval.low < each.recall.value < each.recall.interval.high


def test_alerts_a_day_are_weighted_and_kept() -> None:
    rows = many()
    points = at_alerts_per_day(rows, days=2.0)
    assert [each.alerts_per_day for each in points][:2] == [10.0, 20.0]
    for each in points:
        assert float(rows.weight[rows.score >= each.threshold].sum()) <= each.alerts_per_day * 2.0
        assert each.frauds_caught == int((rows.is_fraud & (rows.score >= each.threshold)).sum())
    assert at_alerts_per_day(rows, None) == ()


def test_scores_that_are_borne_out_have_no_calibration_error() -> None:
    score = np.repeat([0.05, 0.5], 1000)
    is_fraud = np.concatenate([np.arange(1000) < 50, np.arange(1000) < 500])
    bins = reliability(ScoredRows(score, is_fraud, np.ones(2000)))
    assert expected_calibration_error(bins) == pytest.approx(0, abs=1e-12)
    assert [each.frauds for each in bins] == [50, 500]
    assert all(each.share_low < each.fraud_share < each.share_high for each in bins)


def test_the_calibration_error_is_the_weighted_mean_distance() -> None:
    rows = ScoredRows(np.array([0.9, 0.05]), np.array([True, False]), np.array([1.0, 4.0]))
    assert expected_calibration_error(reliability(rows)) == pytest.approx((0.1 + 4 * 0.05) / 5)


@given(rows=ROWS)
def test_the_histogram_holds_every_row_once(rows: list[tuple[float, bool]]) -> None:
    bins = histogram(scored(rows))
    assert len(bins.edges) == len(bins.frauds) + 1 == len(bins.legitimate) + 1
    assert sum(bins.frauds) == pytest.approx(1)
    assert sum(bins.legitimate) == pytest.approx(1)


def test_a_better_model_is_distinguished_from_a_worse_one_on_the_same_rows() -> None:
    good, bad = many(shift=3.0), many(shift=3.0, seed=1)
    rng = np.random.default_rng(2)
    bad = ScoredRows(np.clip(bad.score * np.exp(rng.normal(size=len(bad.score))), 0, 1), bad.is_fraud, bad.weight)
    first, second = draw_paired([good, bad], seed=1)
    gap = interval(first.average_precision - second.average_precision)
    assert gap.low < average_precision(good) - average_precision(bad) < gap.high
    assert gap.low > 0
    apart = interval(draw(good, 1).average_precision - draw(bad, 2).average_precision)
    assert gap.high - gap.low < apart.high - apart.low


def test_a_model_against_itself_is_no_better() -> None:
    rows = many()
    first, second = draw_paired([rows, rows], seed=1)
    assert (first.average_precision == second.average_precision).all()


def test_the_draws_of_the_roc_auc_lie_round_it() -> None:
    rows = many()
    ends = interval(draw(rows, 1).roc_auc)
    assert ends.low < roc_auc(rows) < ends.high
