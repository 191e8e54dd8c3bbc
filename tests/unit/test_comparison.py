"""Two models on the same rows: figures and intervals as libraries have them, what was fitted on the rows, the bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, log_loss

from columns import manifest
from fraudstream.model.artifact import EVALUATED_DIRECTORY, ModelArtifact
from fraudstream.model.evaluation.bootstrap import Estimate, ScoredPeriod, ScoredRows
from fraudstream.model.evaluation.comparison import ALERTS, SAVED, Comparison, Measure, compare, paired_sums
from fraudstream.model.evaluation.curves import expected_calibration_error, reliability
from fraudstream.model.manifest import Manifest, Period, Refit, SplitRecord
from fraudstream.model.training.comparing import LabelledRows, is_before
from fraudstream.transactions.data_source import open_data

RNG = np.random.default_rng(3)
ROWS = 2_000
IS_FRAUD = RNG.random(ROWS) < 0.05
LOSS = RNG.gamma(2, 40, ROWS)
WEIGHT = np.where(IS_FRAUD, 1.0, 2.5)


def period(signal: float, days: float | None = 2.0) -> ScoredPeriod:
    score = 1 / (1 + np.exp(-(RNG.normal(size=ROWS) + signal * IS_FRAUD - 4)))
    return ScoredPeriod(np.arange(ROWS), ScoredRows(score, IS_FRAUD, WEIGHT), LOSS, days)


NEW, FORMER = period(4.0), period(2.0)


def compared(new: ScoredPeriod = NEW, former: ScoredPeriod = FORMER, review_cost: float = 2.5) -> Comparison:
    return compare((new, former), (0.1, 0.2), review_cost=review_cost, model_id="former", note="trained before", seed=1)


def measures(comparison: Comparison) -> dict[str, Measure]:
    return {each.name: each for each in comparison.measures}


def test_each_figure_is_that_of_the_library() -> None:
    figures = measures(compared())
    assert list(figures)[:3] == ["average precision", "recall at 0.1% false alarms", SAVED]
    for name, own in (("new", NEW), ("former", FORMER)):
        scored, threshold = own.raw, 0.1 if name == "new" else 0.2
        is_alert = scored.score >= threshold
        expected = {
            "average precision": average_precision_score(IS_FRAUD, scored.score, sample_weight=WEIGHT),
            "log loss": log_loss(IS_FRAUD, scored.score, sample_weight=WEIGHT),
            "calibration error": expected_calibration_error(reliability(scored)),
            SAVED: LOSS[is_alert & IS_FRAUD].sum() - 2.5 * WEIGHT[is_alert & ~IS_FRAUD].sum(),
            f"{ALERTS} a day": WEIGHT[is_alert].sum() / 2.0,
        }
        for figure, value in expected.items():
            assert getattr(figures[figure], name).value == pytest.approx(value), figure
    assert figures[SAVED].difference.value == pytest.approx(figures[SAVED].new.value - figures[SAVED].former.value)


def test_the_paired_interval_is_that_of_scipy() -> None:
    """Without a cost of reviews only frauds count, so that resampling each class is resampling the frauds."""
    gap = measures(compared(review_cost=0.0))[SAVED].difference
    gains = LOSS[IS_FRAUD] * ((NEW.raw.score >= 0.1) * 1.0 - (FORMER.raw.score >= 0.2))[IS_FRAUD]
    oracle = bootstrap((gains,), np.sum, n_resamples=5_000, method="percentile", rng=np.random.default_rng(1))
    width = oracle.confidence_interval.high - oracle.confidence_interval.low
    assert gap.low == pytest.approx(oracle.confidence_interval.low, abs=0.06 * width)
    assert gap.high == pytest.approx(oracle.confidence_interval.high, abs=0.06 * width)


def test_rows_that_are_drawn_in_groups_keep_sum_and_spread() -> None:
    rows = 20_000
    rng = np.random.default_rng(4)
    columns = np.column_stack([np.ones(rows), rng.gamma(1, 0.01, rows), -rng.gamma(2, 3, rows)])
    is_fraud = np.arange(rows) < 50
    (sums,) = paired_sums([columns], is_fraud, 1)
    assert sums[:, 0] == pytest.approx(np.full(len(sums), rows))
    assert sums.mean(axis=0) == pytest.approx(columns.sum(axis=0), rel=0.01)
    spread = np.sqrt(sum(part.shape[0] * part.var(axis=0) for part in (columns[is_fraud], columns[~is_fraud])))
    assert sums.std(axis=0)[1:] == pytest.approx(spread[1:], rel=0.08)


def test_a_model_compared_with_itself_differs_in_nothing() -> None:
    same = compare((NEW, NEW), (0.1, 0.1), review_cost=2.5, model_id="former", note="", seed=1)
    assert {each.difference.value for each in same.measures} == {0.0}
    assert same.refusal == ""


def test_a_period_of_less_than_a_day_has_no_alerts_a_day() -> None:
    assert ALERTS in measures(compared(replace(NEW, days=0.5), replace(FORMER, days=0.5)))


def measure(name: str, new: float, former: float, low: float | None, high: float | None) -> Measure:
    own = Estimate(new, None, None), Estimate(former, None, None)
    return Measure(name, *own, Estimate(new - former, low, high))


@pytest.mark.parametrize(
    ("saved", "alerts", "reason"),
    [
        ((900, 1000, -300, 50), (100, 100, -5, 5), ""),
        ((900, 1000, -300, -10), (100, 100, -5, 5), "saves 900 instead of 1,000"),
        ((1100, 1000, 10, 300), (160, 100, 20, 80), "raises 160 alerts instead of 100"),
        ((1100, 1000, 10, 300), (140, 100, 20, 80), ""),
        ((1100, 1000, 10, 300), (3, 1, -1, 5), ""),
        ((-83, 1730, None, None), (160, 100, None, None), "instead of 1,730 and it raises 160"),
    ],
)
def test_money_or_alerts_beyond_the_bound_refuse_a_deployment(saved: Any, alerts: Any, reason: str) -> None:
    comparison = Comparison("former", None, None, 10, "", (measure(SAVED, *saved), measure(ALERTS, *alerts)))
    assert (reason in comparison.refusal) if reason else comparison.refusal == ""


def test_without_a_comparison_there_is_a_reason_to_refuse() -> None:
    assert "could not be compared with former: too old" in Comparison("former", None, None, 0, "too old").refusal


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("99", "100", True), ("row 99", "row 100", True), ("2026-01-02 10:00:00", "2026-01-02 09:59:59", False)],
)
def test_times_are_compared_as_numbers_or_dates(one: str, other: str, *, expected: bool) -> None:
    assert is_before(one, other) is expected


REFIT = Refit(100, 10, "")


@pytest.mark.parametrize(
    ("start", "refit", "is_saved", "is_same", "note", "is_unseen"),
    [
        ("80", None, False, True, "not on these", True),
        ("80", REFIT, True, True, "the fit of its evaluation", True),
        ("80", REFIT, False, True, "fitted again on these rows too", False),
        ("70", REFIT, True, True, "on these rows too", False),
        ("100", REFIT, True, False, "trained on earlier rows", True),
        ("80", REFIT, True, False, "the fit of its evaluation", True),
        ("50", REFIT, True, False, "may have used some", False),
    ],
)
def test_the_newest_fit_that_has_not_seen_the_rows_is_compared(
    tmp_path: Path, start: str, refit: Refit | None, is_saved: Any, is_same: Any, note: str, is_unseen: Any
) -> None:
    data = tmp_path / "a.csv"
    data.write_text("Time,V1,Class\n1,2,0\n")
    source = open_data(data)
    first: Manifest = manifest()
    train, test = Period(80, 8, "0", "79"), Period(20, 2, "80", "99")
    former = replace(
        first,
        time_column="Time",
        refit=refit,
        split=SplitRecord("time column 'Time'", train, None, test),
        training_data=replace(first.training_data, fingerprint=source.fingerprint if is_same else "other"),
    )
    if is_saved:
        (tmp_path / EVALUATED_DIRECTORY).mkdir()
    artifact = ModelArtifact(tmp_path, former)
    rows = LabelledRows(source, "Time", start, cast(Any, None), cast(Any, None))
    fit, text, known = rows.unseen_fit(artifact)
    assert note in text
    assert known is is_unseen
    assert (fit.path.name == EVALUATED_DIRECTORY) is ("evaluation" in text or start == "70")
