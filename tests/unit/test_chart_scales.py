"""Axes of charts: where values lie, and which ticks are round."""

from __future__ import annotations

import pytest

from fraudstream.charts.plot import Linear, Logarithmic, LogOdds, Minutes, Scale, round_above

SCALES: list[Scale] = [
    Linear(-0.5, 1.0, 10.0, 110.0),
    Logarithmic(0.5, 1000.0, 10.0, 110.0),
    LogOdds(0.001, 0.999, 10.0, 110.0),
    Minutes(600.0, 660.0, 10.0, 110.0),
]


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: type(scale).__name__)
def test_the_ends_and_the_ticks_of_a_scale_lie_on_it(scale: Scale) -> None:
    assert (scale.at(scale.low), scale.at(scale.high)) == (10.0, 110.0)
    places = [scale.at(tick) for tick in scale.ticks()]
    assert places == sorted(places)
    assert len(places) >= 3
    assert min(places) >= 10.0
    assert max(places) <= 110.0 + 1e-9


def test_log_odds_keep_what_lies_beyond_at_the_ends_and_the_half_in_the_middle() -> None:
    scale = LogOdds(0.001, 0.999, 0.0, 100.0)
    assert [round(scale.at(value), 6) for value in (0.0, 0.5, 1.0)] == [0.0, 50.0, 100.0]


@pytest.mark.parametrize(
    ("minutes", "most", "step"), [(60, 7, 10), (60, 4, 15), (360, 7, 60), (1440, 7, 240), (1440, 4, 480)]
)
def test_ticks_of_time_are_whole_parts_of_an_hour_or_of_a_day(minutes: int, most: int, step: int) -> None:
    first = 29_000_001
    ticks = list(Minutes(first - 0.5, first + minutes - 0.5, 0.0, 100.0, most).ticks())
    assert all(tick % step == 0 for tick in ticks)
    assert ticks[1] - ticks[0] == step


def test_a_round_number_is_the_next_one_at_or_above() -> None:
    assert [round_above(value) for value in (1.0, 1.01, 2.2, 40.0, 51.0, 0.013)] == [1.0, 2.0, 2.5, 50.0, 100.0, 0.02]
