"""The split in time: nothing later than the test period's start is learned from, and few frauds are no failure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudstream.errors import SettingsError
from fraudstream.model.training.split import Part, split_in_time
from fraudstream.transactions.times import TimeOrder


def frauds_at(rows: int, *positions: int) -> NDArray[np.bool_]:
    is_fraud = np.zeros(rows, dtype=bool)
    is_fraud[list(positions)] = True
    return is_fraud


def time_of(values: list[float]) -> TimeOrder:
    array = np.array(values, dtype=float)
    return TimeOrder("Time", array, is_date=False, is_file_order=bool((np.diff(array) >= 0).all()))


def test_without_a_time_column_the_file_order_is_the_time() -> None:
    split = split_in_time(frauds_at(100, *range(0, 100, 2)), None)
    assert [len(split.rows_of(part)) for part in Part] == [40, 0, 20, 0, 20, 0, 20]
    assert split.part.tolist() == sorted(split.part.tolist())
    assert (split.unseen_from_row, split.unseen_from_time) == (80, None)
    assert split.record.ordered_by == "file order"
    assert split.record.train.rows == 80


def test_a_file_in_another_order_is_split_by_its_time() -> None:
    split = split_in_time(frauds_at(100, *range(0, 100, 2)), time_of([99.0 - row for row in range(100)]))
    assert split.rows_of(Part.TEST).tolist() == list(range(20))
    assert split.unseen_from_row is None
    assert split.unseen_from_time == "80"
    assert split.record.ordered_by == "time column 'Time'"


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({is_fraud for _, is_fraud in rows}) == 2
    )
)
def test_no_time_straddles_a_boundary_and_each_model_sees_both_classes(rows: list[tuple[int, bool]]) -> None:
    times = [float(time) for time, _ in rows]
    is_fraud = np.array([fraud for _, fraud in rows])
    split = split_in_time(is_fraud, time_of(times))
    for time in set(times):
        assert len({part for part, at in zip(split.part, times, strict=True) if at == time}) == 1
    by_time = np.argsort(times, kind="stable")
    assert (np.diff(split.part[by_time]) >= 0).all()
    assert len(set(is_fraud[split.is_train])) == 2
    assert len(set(is_fraud[split.rows_of(Part.FIT)])) == 2
    if split.record.validation is not None:
        assert split.record.validation.frauds > 0
    assert (split.record.test is None) == (len(split.rows_of(Part.TEST)) == 0)


def test_few_frauds_in_the_test_period_are_warned_of() -> None:
    split = split_in_time(frauds_at(100, *range(0, 62, 3), 95), None)
    assert split.record.test is not None
    assert (split.record.train.rows, split.record.test.frauds) == (80, 1)
    (warning,) = split.warnings
    assert "20 to fit on, 1 to choose the threshold on, 1 to test on" in warning
    assert "unreliable" in warning


def test_boundaries_move_as_far_as_every_period_needs_for_its_frauds() -> None:
    late = frauds_at(600, 40, 180, 290, *(row for row in range(500, 600) if row % 3))
    split = split_in_time(late, None)
    assert split.record.validation is not None
    assert split.record.test is not None
    fitted = split.record.train.frauds - split.record.validation.frauds
    assert (split.record.train.rows, split.record.test.rows) == (540, 60)
    assert min(fitted, split.record.validation.frauds, split.record.test.frauds) >= 10
    (warning,) = split.warnings
    assert "the periods were moved" in warning
    assert "the last 10% of the rows are the test period" in warning


def test_the_nearest_boundaries_with_enough_frauds_are_taken() -> None:
    early = split_in_time(frauds_at(1000, *range(0, 700, 10), *range(701, 800, 5)), None)
    assert early.record.test is not None
    assert (early.record.train.rows, early.record.test.frauds) == (750, 10)
    enough = split_in_time(frauds_at(1000, *range(0, 1000, 20)), None)
    assert enough.record.train.rows == 800
    assert enough.warnings == ()


def test_too_few_frauds_for_reliable_figures_still_reach_every_period() -> None:
    split = split_in_time(frauds_at(600, 40, 180, 290, *range(505, 600, 5)), None)
    assert split.record.validation is not None
    assert split.record.test is not None
    assert split.record.validation.frauds >= 3
    assert ["unreliable" in warning for warning in split.warnings] == [True, False]


def test_without_frauds_to_validate_on_the_validation_is_given_up() -> None:
    split = split_in_time(frauds_at(100, 3, 90, 95), None)
    assert split.record.validation is None
    assert [len(split.rows_of(part)) for part in Part] == [80, 0, 0, 0, 0, 0, 20]
    assert any("no validation period" in warning for warning in split.warnings)


def test_without_frauds_to_learn_from_the_test_period_is_given_up() -> None:
    split = split_in_time(frauds_at(100, 90, 95), None)
    assert split.record.test is None
    assert (split.unseen_from_row, split.unseen_from_time) == (None, None)
    assert split.is_train.all()
    assert any("no test period" in warning for warning in split.warnings)


def test_two_rows_are_enough() -> None:
    split = split_in_time(frauds_at(2, 1), None)
    assert split.is_train.all()


def test_rows_whose_labels_arrive_late_are_left_out_of_what_is_fitted_before() -> None:
    times = [float(row) for row in range(100)]
    split = split_in_time(frauds_at(100, *range(0, 100, 2)), time_of(times), label_delay_seconds=10)
    assert split.record.test is not None
    assert split.rows_of(Part.TEST).tolist() == list(range(80, 100))
    # Labels of the rows up to 70 are there when the first test row is paid at 80.
    assert split.rows_of(Part.LATE_FOR_TEST).tolist() == list(range(71, 80))
    validation = split.rows_of(Part.VALIDATION)
    assert validation[-1] == 70
    late = split.rows_of(Part.LATE_FOR_VALIDATION)
    assert late[0] == validation[0] - 9
    assert late[-1] == validation[0] - 1
    comparison = split.rows_of(Part.COMPARISON)
    assert comparison[-1] == late[0] - 1
    assert split.rows_of(Part.LATE_FOR_COMPARISON).tolist() == list(range(comparison[0] - 9, comparison[0]))
    assert not split.is_train[71:].any()
    assert split.is_train[:71].all()


def test_a_delay_longer_than_the_data_leaves_no_test_period() -> None:
    split = split_in_time(frauds_at(100, *range(0, 100, 2)), time_of([float(row) for row in range(100)]), 1000.0)
    assert split.record.test is None
    assert "whose labels have arrived" in split.warnings[0]


def test_late_labels_need_a_time() -> None:
    with pytest.raises(SettingsError, match="label delay requires a column with the time"):
        split_in_time(frauds_at(100, 5, 90), None, 10.0)


def test_the_test_period_begins_at_a_given_time() -> None:
    split = split_in_time(
        frauds_at(100, *range(0, 100, 2)), time_of([float(row) for row in range(100)]), test_from=89.5
    )
    assert split.record.test is not None
    assert (split.record.test.start, split.record.test.rows, split.unseen_from_row) == ("90", 10, 90)
    assert len(split.rows_of(Part.VALIDATION)) == pytest.approx(90 / 4, abs=1)


def test_periods_of_few_frauds_are_moved_before_a_given_test_period_only() -> None:
    frauds = frauds_at(1000, *range(0, 500, 10), *range(905, 1000, 5))
    split = split_in_time(frauds, time_of([float(row) for row in range(1000)]), test_from=900)
    assert split.record.test is not None
    assert split.record.test.start == "900"
    assert any("validation period" in warning for warning in split.warnings)
    assert not any("are the test period" in warning for warning in split.warnings)


@pytest.mark.parametrize(("start", "remedy"), [(95.0, "earlier"), (-1.0, "later")])
def test_a_test_period_without_frauds_on_both_sides_is_refused(start: float, remedy: str) -> None:
    with pytest.raises(SettingsError) as error:
        split_in_time(frauds_at(100, 10, 50), time_of([float(row) for row in range(100)]), test_from=start)
    assert error.value.where == "--test-from"
    assert remedy in error.value.remedy
