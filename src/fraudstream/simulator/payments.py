"""Simulates legitimate payments: card, terminal, amount and signals, including unusual ones."""

from collections.abc import Callable
from typing import Final

import numpy as np

from fraudstream.simulator.arrays import DURATION_S, Flags, Floats, Ints, Payments, hour_of_day, hours_apart, signals
from fraudstream.simulator.population import Kinds, Population

LOG_MEDIAN: Final = 3.09
"""ln 22: half of the amounts of creditcard.csv are below 22."""

LARGEST: Final = 25_691.16
"""The largest amount of creditcard.csv."""

_ZERO_SHARE: Final = 0.0065
_SMALL_LIMIT: Final = 2.0
_SMALL_PRICES: Final = np.array([1.00, 1.98, 0.89, 0.76, 1.29, 1.79, 0.99, 0.01, 0.77, 2.00])
_SMALL_WEIGHTS: Final = np.array([0.47, 0.13, 0.12, 0.07, 0.06, 0.05, 0.05, 0.01, 0.02, 0.02])
_ENDINGS: Final = np.array([0.0, 0.99, 0.95, 0.50, 0.90])
_ENDING_WEIGHTS: Final = np.array([0.55, 0.24, 0.09, 0.08, 0.04])


def money(size: Floats, rng: np.random.Generator) -> Floats:
    """Convert standard normal sizes to amounts: a two-sided log-normal, then rounded to typical prices.

    The widths follow the quantiles of creditcard.csv: 5 % below 0.92, 25 % below 5.60, 95 % below 365, 99 % below 1018.
    """
    up = 1.49 + 0.47 * np.exp(-0.5 * np.abs(size))
    raw = np.exp(LOG_MEDIAN + size * np.where(size < 0, 2.12, up))
    return _priced(np.minimum(raw, LARGEST), rng)


def _priced(raw: Floats, rng: np.random.Generator) -> Floats:
    """Move most small amounts to a few prices (mostly 1.00), and a third of the others to price endings."""
    luck = rng.random(len(raw))
    small_price = rng.choice(_SMALL_PRICES, len(raw), p=_SMALL_WEIGHTS)
    ending = rng.choice(_ENDINGS, len(raw), p=_ENDING_WEIGHTS)
    step = np.where(raw > 200, 10.0, np.where(raw > 40, 5.0, 1.0))
    ended = np.where(ending > 0, np.floor(raw) + ending, np.maximum(1.0, np.round(raw / step)) * step)
    amount = np.where(luck < 0.36, ended, raw)
    small = raw < _SMALL_LIMIT
    amount = np.where(small & (luck < 0.75), small_price, amount)
    amount = np.where(raw < 0.03, 0.01, amount)
    zero = rng.random(len(raw)) < _ZERO_SHARE
    amount = np.where(zero, 0.0, np.maximum(amount, 0.01))
    return np.minimum(np.round(amount, 2), LARGEST)


def log_size(amount: Floats) -> Floats:
    """Estimate the size of an amount: log, centred and scaled, for behaviour features."""
    return (np.log(amount + 0.3) - LOG_MEDIAN) / 1.75


_CARD_PART: Final = 0.55
_NOISE_PART: Final = 0.85
_SERIES_SHARE: Final = 0.05
"""Payments by a card that has just paid: shopping along a street, one game bought after the other."""
_SPLURGE_SHARE: Final = 0.004
_RUSH_SHARE: Final = 0.008
_RUSH_S: Final = 1_200.0
_ODD_DAY_SHARE: Final = 0.00025
_BOOKING_SHARE: Final = 0.0005
"""Company bookings with virtual cards: more unusual than any fraud in every signal, and always legitimate."""
_NEW_TERMINAL_SHARE: Final = 0.22


def size_scale(population: Population, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """Return the map from the sum of the card's, the terminal's and the payment's size to a standard normal.

    It goes by the rank among 20,000 draws, and extrapolates beyond them.
    """
    count = 20_000
    time = rng.uniform(0, DURATION_S, count)
    card = draw_cards(population, time, rng)
    terminal = draw_terminals(population, card, time, rng)
    size = np.sort(_raw_size(population, card, terminal, rng))
    normal = np.sort(rng.standard_normal(count))
    middle = np.linspace(60, count - 61, 400).astype(np.int64)
    ranks = np.concatenate([[0, 3, 15], middle, [count - 16, count - 4, count - 1]])
    observed, normal = size[ranks], normal[ranks]

    def standard(size: Floats) -> Floats:
        beyond = np.maximum(size - observed[-1], 0.0) + np.minimum(size - observed[0], 0.0)
        return np.asarray(np.interp(size, observed, normal) + beyond)

    return standard


def _raw_size(population: Population, card: Ints, terminal: Ints, rng: np.random.Generator) -> Floats:
    habit = _CARD_PART * population.cards.size[card] + population.terminals.size[terminal]
    return habit + rng.normal(0, _NOISE_PART, len(card))


def draw_cards(population: Population, time: Floats, rng: np.random.Generator) -> Ints:
    """Draw a card for each time: of three candidates, weighted by how likely each pays at this hour."""
    cards = population.cards
    drawn = rng.choice(cards.lots, (3, len(time)))
    liking = hour_habit(cards.hour[drawn], hour_of_day(time))
    return _pick(drawn, liking, rng)


def hour_habit(habit: Floats, hour: Floats) -> Floats:
    """Return how usual this hour is for a holder who mostly pays around `habit`: 0.12 to 1.12."""
    return 0.12 + np.exp(-0.5 * (hours_apart(habit, hour) / 3.5) ** 2)


def _pick(drawn: Ints, liking: Floats, rng: np.random.Generator) -> Ints:
    """Pick one of the candidates (first axis), weighted by `liking`."""
    cumulated = np.cumsum(liking, axis=0)
    at = (rng.random(drawn.shape[1]) * cumulated[-1] > cumulated[:-1]).sum(axis=0)
    return np.asarray(np.take_along_axis(drawn, at[None], axis=0)[0])


def draw_terminals(population: Population, card: Ints, time: Floats, rng: np.random.Generator) -> Ints:
    """Draw a terminal for each card: mostly a favourite open at this hour, else any, preferably near."""
    cards, terminals = population.cards, population.terminals
    count = len(card)
    hour = hour_of_day(time)
    some = rng.integers(0, cards.favourites.shape[1], (3, count))
    favourite = cards.favourites[card[None], some]
    suits = 0.25 + np.exp(-0.5 * (hours_apart(Kinds.hour[terminals.kind[favourite]], hour) / 4.0) ** 2)
    known = _pick(favourite, suits, rng)
    other = rng.choice(terminals.lots, (4, count))
    far = np.hypot(terminals.x[other] - cards.x[card], terminals.y[other] - cards.y[card])
    near = np.where(Kinds.online[terminals.kind[other]] > 0, 3.0 * cards.online[card], np.exp(-far / 60.0) + 0.02)
    fresh = (rng.random(count) < _NEW_TERMINAL_SHARE) | (cards.travelling_km[card] > 0)
    return np.where(fresh, _pick(other, near, rng), known)


def legitimate(
    population: Population, scale: Callable[[Floats], Floats], rush: Ints, time: Floats, rng: np.random.Generator
) -> Payments:
    """Simulate payments at these ascending times, including journeys, splurges, series, rushes and new phones."""
    count = len(time)
    card = draw_cards(population, time, rng)
    back = rng.integers(1, 1 + max(1, min(120, count // 4)), count)
    again = (rng.random(count) < _SERIES_SHARE) & (np.arange(count) >= back)
    card = np.where(again, card[np.arange(count) - back * again], card)
    terminal = draw_terminals(population, card, time, rng)
    rushed = rng.random(count) < _RUSH_SHARE
    interval = np.minimum(time / DURATION_S * len(rush), len(rush) - 1).astype(np.int64)
    terminal = np.where(rushed, rush[interval], terminal)

    size = scale(_raw_size(population, card, terminal, rng))
    splurge: Flags = rng.random(count) < _SPLURGE_SHARE
    size = np.where(splurge, np.maximum(size, 0.0) + rng.gamma(3.0, 0.5, count), size)
    till, online = _anomaly(population, card, rng)
    return Payments(
        time=time,
        card=card,
        terminal=terminal,
        amount=money(size, rng),
        away_km=away(population, card, terminal, rng),
        signals=signals(till, online, rng),
        fraud=np.zeros(count, dtype=np.bool_),
    )


def _anomaly(population: Population, card: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw how unusual these legitimate payments are at the till and online."""
    count = len(card)
    usual = 0.35 * np.abs(rng.normal(0, 1, (2, count)))
    odd_day = (rng.random(count) < _ODD_DAY_SHARE) * rng.gamma(3.0, 1.0, (2, count))
    journey = (population.cards.travelling_km[card] > 0) * rng.gamma(4.0, 0.6, count)
    device = population.cards.new_device[card] * rng.gamma(4.0, 0.6, count)
    booking = (rng.random(count) < _BOOKING_SHARE) * rng.normal(14.0, 1.5, count)
    till, online = usual + odd_day
    return till + journey, online + device + booking


def away(population: Population, card: Ints, terminal: Ints, rng: np.random.Generator) -> Floats:
    """Return km from home: to the terminal, or to the place of an online payer, and the journey of travellers."""
    cards, terminals = population.cards, population.terminals
    far = np.hypot(terminals.x[terminal] - cards.x[card], terminals.y[terminal] - cards.y[card])
    at_home = cards.reach_km[card] * rng.lognormal(-0.5, 0.7, len(card))
    here = np.where(Kinds.online[terminals.kind[terminal]] > 0, at_home, far)
    journey = cards.travelling_km[card]
    return np.where(journey > 0, journey * rng.lognormal(0, 0.2, len(card)), here)


def rushes(population: Population, rng: np.random.Generator) -> Ints:
    """Draw the terminal with a rush (a sale, a match) in each interval of twenty minutes, at the population's pace."""
    intervals = max(8, int(DURATION_S / _RUSH_S * population.pace))
    return rng.integers(0, len(population.terminals), intervals)
