"""What thieves do: the manner of each fraud scenario and the payments of one incident; `fraud_plan.py` says when."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from fraudstream.transactions.simulation.amounts import money
from fraudstream.transactions.simulation.arrays import Floats, Ints, Payments, signals
from fraudstream.transactions.simulation.clock import DURATION_S
from fraudstream.transactions.simulation.payments import away, draw_cards, draw_terminals
from fraudstream.transactions.simulation.population import KINDS, Population

_LARGEST_SIZE: Final = 2.7
"""Thieves stay below the limits of cards: the largest fraud of creditcard.csv is 2,126."""

_TEST_SIZE: Final = (-1.7, 0.3)
_HARVEST_SIZE: Final = (1.2, 0.5)
"""The payment that follows when the tests went through."""

_STRANGE_AT_LEAST: Final = 2.1
_STRANGENESS: Final = 5.6
"""With these, models see about as many frauds as on creditcard.csv: benchmarks/results/simulator.json."""


class Scenario(IntEnum):
    """What the thief does."""

    STOLEN_CARD = 0
    COMPROMISED_TERMINAL = 1
    SMALL_TESTS = 2
    ACCOUNT_TAKEOVER = 3
    UNSEEN = 4
    """Paid by a thief who behaves just like the holder: no model can tell, as with a part of the real frauds."""


@dataclass(frozen=True)
class Manner:
    """How a scenario shows; a push of 1 is what an ordinarily bold thief does."""

    deck_share: int
    """How many incidents of this scenario are in a deck of nineteen."""
    payments: tuple[int, int]
    """Fewest and most payments of one incident."""
    mean_gap_s: float
    kinds: tuple[int, ...]
    """Kinds of merchant that the thief chooses."""
    online: bool
    """Whether the signs show online or at the till."""
    one_terminal: bool
    one_card: bool
    size_push: float
    reach_push: float
    """By how much the logarithm of the distance from home exceeds the holder's reach."""


_TILL_KINDS: Final = tuple(int(kind) for kind in np.flatnonzero(KINDS.online == 0))
_ONLINE_KINDS: Final = tuple(int(kind) for kind in np.flatnonzero(KINDS.online > 0))

MANNERS: Final = {
    Scenario.STOLEN_CARD: Manner(3, (2, 4), 700.0, (1, 3, 4), False, False, True, 0.6, 1.6),
    Scenario.COMPROMISED_TERMINAL: Manner(2, (3, 6), 500.0, _TILL_KINDS, False, True, False, 0.3, 1.3),
    Scenario.SMALL_TESTS: Manner(3, (2, 5), 45.0, (7,), True, True, True, 0.0, 1.0),
    Scenario.ACCOUNT_TAKEOVER: Manner(4, (1, 2), 1500.0, _ONLINE_KINDS, True, False, True, 0.8, 1.8),
    Scenario.UNSEEN: Manner(7, (1, 1), 1.0, (), False, False, True, 0.0, 0.0),
}


@dataclass(frozen=True)
class Incident:
    """One thief at work."""

    scenario: Scenario
    start: float
    gap_s: float
    count: int
    boldness: float
    """How far the payments stand out; about 1."""


def commit(population: Population, incident: Incident, rng: np.random.Generator) -> Payments:
    """The payments of one incident."""
    manner = MANNERS[incident.scenario]
    count = incident.count
    gaps = rng.exponential(incident.gap_s, count)
    gaps[0] = 0.0
    time = incident.start + np.cumsum(gaps)
    time = np.where(time < DURATION_S, time, DURATION_S * (1.0 - 1e-3 * rng.random(count)))
    card = draw_cards(population, time, rng)
    if manner.one_card:
        card = np.repeat(card[:1], count)
    till, online = 0.35 * np.abs(rng.normal(0, 1, (2, count)))
    habit = 0.5 * population.cards.size[card]
    if incident.scenario is Scenario.UNSEEN:
        terminal = draw_terminals(population, card, time, rng)
        size = habit + 0.5 * population.terminals.size[terminal] + rng.normal(0, 0.7, count)
        away_km = away(population, card, terminal, rng)
    else:
        push = incident.boldness * rng.gamma(12.0, 1 / 12.0, count)
        terminal = _choose_terminals(population, manner, count, rng)
        size = habit + rng.normal(0.2, 0.6, count) + manner.size_push * push
        if incident.scenario is Scenario.SMALL_TESTS:
            size = _tests(incident, rng)
        strangeness = _STRANGE_AT_LEAST + _STRANGENESS * push
        till, online = (till, online + strangeness) if manner.online else (till + strangeness, online)
        away_km = population.cards.reach_km[card] * np.exp(manner.reach_push * push)
    limit = _LARGEST_SIZE - 0.25 * np.abs(rng.normal(0, 1, count))
    return Payments(
        time=time,
        card=card,
        terminal=terminal,
        amount=money(np.minimum(size, limit), rng),
        away_km=away_km,
        signals=signals(till, online, rng),
        fraud=np.ones(count, dtype=np.bool_),
    )


def _choose_terminals(population: Population, manner: Manner, count: int, rng: np.random.Generator) -> Ints:
    """Terminals of the kinds that the thief likes; of any kind, where a small population has none."""
    fits = np.isin(population.terminals.kind, manner.kinds)
    among = np.flatnonzero(fits) if fits.any() else np.arange(len(fits))
    chosen = among[rng.integers(0, len(among), count)]
    return np.repeat(chosen[:1], count) if manner.one_terminal else chosen


def _tests(incident: Incident, rng: np.random.Generator) -> Floats:
    """Sizes of tests with small amounts; a bold thief then pays something large."""
    size = rng.normal(*_TEST_SIZE, incident.count)
    if incident.boldness > 1.0 and incident.count > 2:
        size[-1] = rng.normal(*_HARVEST_SIZE)
    return size
