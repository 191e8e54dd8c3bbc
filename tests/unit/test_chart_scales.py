"""Axes of charts: where values lie, and which ticks are round."""

from __future__ import annotations

import pytest

from fraudstream.charts.scales import Linear, Logarithmic, LogOdds, Minutes, Scale, round_above

SCALES: list[Scale] = [
    Linear(-0.5, 1.0),
    Logarithmic(0.5, 1000.0),
    LogOdds(0.001, 0.999),
    Minutes(600.0, 660.0),
]


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: type(scale).__name__)
def test_the_ends_and_the_ticks_of_a_scale_lie_on_it(scale: Scale) -> None:
    assert (scale.share(scale.low), scale.share(scale.high)) == (0.0, 1.0)
    places = [scale.share(tick) for tick in scale.ticks(6)]
    assert places == sorted(places)
    assert len(places) >= 3
    assert min(places) >= 0.0
    assert max(places) <= 1.0 + 1e-9


def test_log_odds_keep_what_lies_beyond_at_the_ends_and_the_half_in_the_middle() -> None:
    scale = LogOdds(0.001, 0.999)
    assert [round(scale.share(value), 6) for value in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("minutes", "most", "step"), [(60, 7, 10), (60, 4, 15), (360, 7, 60), (1440, 7, 240), (1440, 4, 480)]
)
def test_ticks_of_time_are_whole_parts_of_an_hour_or_of_a_day(minutes: int, most: int, step: int) -> None:
    first = 29_000_001
    ticks = list(Minutes(first - 0.5, first + minutes - 0.5).ticks(most))
    assert all(tick % step == 0 for tick in ticks)
    assert ticks[1] - ticks[0] == step


def test_the_tick_of_a_day_is_at_midnight_of_the_clocks() -> None:
    first = 29_000_160 - 60
    assert list(Minutes(first, first + 5 * 1440, 60.0).ticks(5)) == [first + day * 1440 for day in range(6)]


def test_a_round_number_is_the_next_one_at_or_above() -> None:
    assert [round_above(value) for value in (1.0, 1.01, 2.2, 40.0, 51.0, 0.013)] == [1.0, 2.0, 2.5, 50.0, 100.0, 0.02]
