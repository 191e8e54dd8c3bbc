"""The threshold that costs least: by hand, and against every other one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.errors import SettingsError
from fraudstream.model.evaluation.bootstrap import ScoredRows
from fraudstream.model.evaluation.record import ThresholdRow
from fraudstream.model.evaluation.thresholds import UNKNOWN_LOSS, candidate_thresholds, cheapest, losses, operating
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile

ROWS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans(), st.integers(1, 300)), min_size=2, max_size=25
).filter(lambda rows: any(is_fraud for _, is_fraud, _ in rows))


def scored(rows: list[tuple[float, bool, int]]) -> tuple[ScoredRows, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    scores, frauds, amounts = (np.array(values) for values in zip(*rows, strict=True))
    return ScoredRows(scores, frauds, np.where(frauds, 1.0, 5.0)), amounts.astype(float)


def table(
    rows: ScoredRows, amounts: np.ndarray[tuple[int], np.dtype[np.float64]], days: float | None
) -> list[ThresholdRow]:
    return [ThresholdRow(t, operating(rows, amounts, t, days), None) for t in candidate_thresholds(rows).tolist()]


def test_what_a_threshold_catches_and_costs_by_hand() -> None:
    rows, amounts = scored([(0.9, True, 100), (0.8, False, 7), (0.4, True, 30), (0.3, False, 7)])
    figures = operating(rows, amounts, 0.5, days=2.0)
    assert (figures.frauds, figures.frauds_caught, figures.false_alarms) == (2, 1, 5.0)
    assert (figures.amount_caught, figures.amount_missed, figures.alerts_per_day) == (100.0, 30.0, 3.0)
    assert (figures.cost(2.0), figures.saved(2.0)) == (40.0, 90.0)


@given(rows=ROWS, review_cost=st.floats(0, 50))
def test_no_threshold_costs_less(rows: list[tuple[float, bool, int]], review_cost: float) -> None:
    all_rows, amounts = scored(rows)
    chosen = cheapest(table(all_rows, amounts, None), review_cost).expected.cost(review_cost)
    others = [operating(all_rows, amounts, t, None).cost(review_cost) for t in np.linspace(0, 1, 101)]
    assert chosen <= min(others) + 1e-9


@given(rows=ROWS, limit=st.floats(0.5, 100))
def test_the_limit_of_alerts_is_kept(rows: list[tuple[float, bool, int]], limit: float) -> None:
    all_rows, amounts = scored(rows)
    chosen = cheapest(table(all_rows, amounts, 2.0), 0.0, limit)
    assert chosen.expected.alerts_per_day is not None
    assert chosen.expected.alerts_per_day <= limit


def test_a_limit_of_alerts_needs_days() -> None:
    all_rows, amounts = scored([(0.9, True, 100), (0.1, False, 5)])
    with pytest.raises(SettingsError, match="alerts per day cannot be counted"):
        cheapest(table(all_rows, amounts, None), 1.0, 5.0)


@pytest.mark.parametrize(
    ("header", "column"),
    [("Time,V1,Amount,Class", "Amount"), ("t,x,amt,Class", "amt"), ("t,x,TX_AMOUNT,Class", "TX_AMOUNT")],
)
def test_the_amounts_are_found_by_the_name_of_their_column(tmp_path: Path, header: str, column: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n1,2,10,0\n2,3,40,1\n3,4,,1\n4,5,20,0\n")
    amounts = losses(profile(open_data(path), "Class"))
    assert amounts.column == column
    assert amounts.by_row.tolist() == [10.0, 40.0, 40.0, 20.0]
    assert "1 frauds without an amount" in amounts.note


def test_without_amounts_a_fraud_loses_the_mean_of_creditcard_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,mean_amount_7d,Class\n1,5,0\n2,6,1\n")
    amounts = losses(profile(open_data(path), "Class"))
    assert (amounts.column, set(amounts.by_row.tolist())) == (None, {UNKNOWN_LOSS})
    assert "no amount column" in amounts.note
