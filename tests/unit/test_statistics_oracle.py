"""Figures of a model held against scikit-learn's and scipy's: ties, weights, one class, few rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import average_precision_score, roc_auc_score

from fraudstream.model.calibration import FEW_FRAUDS, fit_calibration
from fraudstream.model.evaluation.bootstrap import (
    Interval,
    ScoredRows,
    average_precision,
    draw,
    estimate,
    interval,
    roc_auc,
)
from fraudstream.model.evaluation.curves import expected_calibration_error, reliability
from fraudstream.model.evaluation.intervals import effective_size, most_if_none, wilson

Floats = NDArray[np.float64]

# Few distinct scores, so that most rows are tied with others.
TIED_ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans(), st.sampled_from([1.0, 2.0, 5.378])),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({is_fraud for _, is_fraud, _ in rows}) == 2)


def scored(rows: list[tuple[float, bool, float]]) -> ScoredRows:
    score, is_fraud, weight = zip(*rows, strict=True)
    return ScoredRows(np.array(score), np.array(is_fraud), np.array(weight))


def five_scores(seed: int, frauds: int = 40, legitimate: int = 160) -> ScoredRows:
    rng = np.random.default_rng(seed)
    is_fraud = np.arange(frauds + legitimate) < frauds
    raw = rng.normal(size=len(is_fraud)) + 1.1 * is_fraud
    return ScoredRows(np.digitize(raw, [-0.5, 0.3, 1.0, 1.8]) / 4.0, is_fraud, np.ones(len(is_fraud)))


@settings(max_examples=40)
@given(TIED_ROWS)
def test_roc_auc_is_scikit_learns(rows: list[tuple[float, bool, float]]) -> None:
    given_rows = scored(rows)
    expected = roc_auc_score(given_rows.is_fraud, given_rows.score, sample_weight=given_rows.weight)
    assert roc_auc(given_rows) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40)
@given(TIED_ROWS)
def test_average_precision_is_scikit_learns(rows: list[tuple[float, bool, float]]) -> None:
    given_rows = scored(rows)
    expected = average_precision_score(given_rows.is_fraud, given_rows.score, sample_weight=given_rows.weight)
    assert average_precision(given_rows) == pytest.approx(expected, abs=1e-12)


class OriginalSample:
    """A generator whose every multinomial draw takes each row exactly once."""

    def multinomial(self, count: int, share: Floats, size: int) -> Floats:
        return np.tile(np.rint(count * share), (size, 1))


@settings(max_examples=40)
@given(TIED_ROWS)
def test_a_draw_of_every_row_has_the_figures_of_the_rows(rows: list[tuple[float, bool, float]]) -> None:
    given_rows = scored(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "default_rng", lambda seed: OriginalSample())
        draws = draw(given_rows, seed=0, rounds=2)
    labels, scores, weights = given_rows.is_fraud, given_rows.score, given_rows.weight
    assert draws.roc_auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    expected = average_precision_score(labels, scores, sample_weight=weights)
    assert draws.average_precision == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("figure", ["roc_auc", "average_precision"])
def test_the_interval_is_that_of_scipys_bootstrap(figure: str, seed: int) -> None:
    rows = five_scores(seed)
    frauds, legitimate = rows.score[rows.is_fraud], rows.score[~rows.is_fraud]
    # Both agree with scikit-learn's (above), which take ten times as long.
    metric = {"roc_auc": roc_auc, "average_precision": average_precision}[figure]

    def statistic(of_frauds: Floats, of_legitimate: Floats) -> float:
        is_fraud = np.repeat([True, False], [len(of_frauds), len(of_legitimate)])
        return metric(ScoredRows(np.concatenate([of_frauds, of_legitimate]), is_fraud, np.ones(len(is_fraud))))

    expected = bootstrap(
        (frauds, legitimate),
        statistic,
        n_resamples=1000,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    bounds = interval(getattr(draw(rows, seed), figure))
    # Two bootstraps of 1,000 rounds differ by their own noise: about 0.004 at the ends.
    assert [bounds.low, bounds.high] == pytest.approx([expected.low, expected.high], abs=0.015)


def test_the_interval_of_tied_scores_holds_the_figure() -> None:
    for seed in range(20):
        rows = five_scores(seed)
        ends = interval(draw(rows, seed).roc_auc)
        assert ends.low < roc_auc(rows) < ends.high


def test_one_fraud_among_few_rows_is_drawn_every_time() -> None:
    rows = scored([(0.9, True, 1.0), (0.9, False, 1.0), (0.1, False, 1.0)])
    assert interval(draw(rows, 1).roc_auc) == Interval(0.5, 1.0)
    assert interval(draw(rows, seed=1).average_precision).high == 1.0


@pytest.mark.parametrize(("hits", "size"), [(0, 1), (0, 16), (16, 16), (7, 17), (3, 4000), (1, 2)])
def test_the_interval_of_a_share_is_scipys_wilson(hits: int, size: int) -> None:
    expected = binomtest(hits, size).proportion_ci(method="wilson")
    assert wilson(hits / size, size) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0.0, 0.0) == Interval(0.0, 1.0)


def test_equal_weights_leave_the_number_of_rows_and_unequal_ones_fewer() -> None:
    assert effective_size(np.full(20, 5.378)) == pytest.approx(20)
    assert effective_size(np.array([1.0, 1.0, 5.0])) == pytest.approx(49 / 27)
    assert effective_size(np.empty(0)) == 0.0


@pytest.mark.parametrize("size", [30, 300, 3000])
def test_a_sample_without_any_allows_what_the_rule_of_three_says(size: int) -> None:
    # One-sided Clopper-Pearson, which the rule approximates.
    expected = binomtest(0, size, alternative="less").proportion_ci(method="exact").high
    assert most_if_none(size) == pytest.approx(expected, rel=0.06)


def test_a_perfect_ranking_of_few_frauds_has_a_reason_and_no_interval() -> None:
    rows = scored([(0.9, True, 1.0)] * 16 + [(0.1, False, 1.0)] * 400)
    figure = estimate(average_precision(rows), draw(rows, 1).average_precision, 16)
    assert (figure.value, figure.interval, figure.note) == (
        1.0,
        None,
        "all resamples of 16 frauds give the same figure",
    )
    assert estimate(0.7, np.array([0.6, 0.8]), 7).note == "7 frauds are too few for one"
    assert estimate(0.7, np.array([0.6, 0.8]), 16).interval is not None


def test_one_class_leaves_no_figure() -> None:
    assert not ScoredRows(np.array([0.5]), np.array([True]), np.ones(1)).has_both_classes
    assert not ScoredRows(np.array([0.5]), np.array([False]), np.ones(1)).has_both_classes


def test_expected_calibration_error_is_the_definition_over_the_bins() -> None:
    rng = np.random.default_rng(4)
    score = rng.beta(0.3, 3.0, 4000)
    rows = ScoredRows(score, rng.random(4000) < score**1.3, rng.choice([1.0, 5.378], 4000))
    bins = reliability(rows)
    edges = [(each.low, each.high) for each in bins]
    distances = []
    for low, high in edges:
        inside = (rows.score >= low) & ((rows.score < high) | (high == 1.0))
        weight = rows.weight[inside]
        distances.append(float(abs(weight @ rows.score[inside] - weight @ rows.is_fraud[inside])))
    assert expected_calibration_error(bins) == pytest.approx(sum(distances) / rows.weight.sum(), rel=1e-9)


@pytest.mark.parametrize("frauds", [FEW_FRAUDS, 400])
def test_the_calibration_is_scipys_minimum(frauds: int) -> None:
    rng = np.random.default_rng(frauds)
    is_fraud = np.arange(20 * frauds) < frauds
    raw = 1 / (1 + np.exp(-(rng.normal(size=len(is_fraud)) - 2 + 3 * is_fraud)))
    weight = np.where(is_fraud, 1.0, 5.378)
    columns = np.column_stack([np.log(raw), -np.log1p(-raw), np.ones(len(raw))])

    def loss(at: Floats) -> float:
        margin = columns @ at
        likelihood = weight @ (np.logaddexp(0.0, margin) - is_fraud * margin)
        return float(likelihood + ((at[:2] - 1.0) ** 2).sum() / 2)

    expected = minimize(
        loss, np.array([1.0, 1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, None), (0.05, None), (None, None)]
    )
    calibration = fit_calibration(raw, is_fraud, weight)
    assert loss(np.array([calibration.a, calibration.b, calibration.c])) <= expected.fun + 1e-4 * abs(expected.fun)
