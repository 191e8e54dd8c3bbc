"""The calibration: strictly increasing, inverted to the last bit, closer to the truth on rows not fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.model.calibration import IDENTITY, LEAST_SLOPE, Calibration, fit_calibration
from fraudstream.model.evaluation.bootstrap import ScoredRows
from fraudstream.model.evaluation.curves import expected_calibration_error, reliability

CALIBRATIONS = st.builds(
    Calibration, st.floats(LEAST_SLOPE, 5), st.floats(LEAST_SLOPE, 5), st.floats(-8, 18)
) | st.just(IDENTITY)
SCORES = st.floats(0, 1)


@given(calibration=CALIBRATIONS, scores=st.lists(SCORES, min_size=2))
def test_no_two_scores_change_their_order(calibration: Calibration, scores: list[float]) -> None:
    ordered = np.sort(np.array(scores))
    assert (np.diff(calibration.of(ordered)) >= -1e-15).all()


@given(calibration=CALIBRATIONS, low=st.floats(1e-6, 0.999), factor=st.floats(1.0001, 2))
def test_a_greater_score_stays_greater(calibration: Calibration, low: float, factor: float) -> None:
    high = 1 - (1 - low) / factor
    before, after = calibration.of(np.array([low, high]))
    assert after > before or after == 1.0 or before < 1e-300


@given(calibration=CALIBRATIONS)
def test_the_ends_stay_where_they_are(calibration: Calibration) -> None:
    assert calibration.of(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


@given(calibration=CALIBRATIONS, threshold=SCORES)
def test_the_raw_threshold_is_the_least_score_that_reaches_the_calibrated_one(
    calibration: Calibration, threshold: float
) -> None:
    raw = calibration.raw_at(threshold)
    assert 0.0 <= raw <= 1.0
    assert calibration.of(np.array([raw]))[0] >= threshold
    if raw > 1e-300:
        assert calibration.of(np.array([np.nextafter(raw, 0.0)]))[0] <= threshold


def test_scores_that_claim_too_much_are_brought_down() -> None:
    rng = np.random.default_rng(1)
    truth = rng.beta(0.3, 20, size=40_000)
    is_fraud = rng.random(40_000) < truth
    claimed = truth**0.5
    weight = np.ones(40_000)
    fitted, later = slice(0, 20_000), slice(20_000, None)
    calibration = fit_calibration(claimed[fitted], is_fraud[fitted], weight[fitted])
    before = ScoredRows(claimed[later], is_fraud[later], weight[later])
    after = ScoredRows(calibration.of(claimed[later]), is_fraud[later], weight[later])
    assert expected_calibration_error(reliability(before)) > 0.05
    assert expected_calibration_error(reliability(after)) < 0.004
    assert calibration.a == pytest.approx(2, abs=0.3)


def test_with_few_frauds_only_the_level_is_fitted() -> None:
    rng = np.random.default_rng(2)
    is_fraud = np.arange(1000) < 5
    calibration = fit_calibration(rng.random(1000) * 0.2 + 0.3 * is_fraud, is_fraud, np.ones(1000))
    assert (calibration.a, calibration.b) == (1.0, 1.0)
    assert calibration.c != 0.0


def test_scores_that_run_the_other_way_are_never_turned_round() -> None:
    rng = np.random.default_rng(3)
    is_fraud = np.arange(1000) < 100
    calibration = fit_calibration(rng.random(1000) * 0.5 + 0.4 * ~is_fraud, is_fraud, np.ones(1000))
    assert min(calibration.a, calibration.b) >= LEAST_SLOPE


def test_one_class_calibrates_nothing() -> None:
    assert fit_calibration(np.array([0.1, 0.2]), np.array([False, False]), np.ones(2)) == IDENTITY


def test_a_row_of_weight_five_counts_as_five() -> None:
    rng = np.random.default_rng(4)
    score = rng.random(400)
    is_fraud = rng.random(400) < score * 0.3
    five = np.where(is_fraud, 1, 5)
    weighted = fit_calibration(score, is_fraud, five.astype(float))
    repeated = fit_calibration(np.repeat(score, five), np.repeat(is_fraud, five), np.ones(int(five.sum())))
    assert [weighted.a, weighted.b, weighted.c] == pytest.approx([repeated.a, repeated.b, repeated.c], abs=1e-5)
