"""Plans the fraud incidents of a simulation and generates their payments."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from fraudstream.simulator.arrays import DURATION_S, Floats, Ints, Payments, signals, time_at
from fraudstream.simulator.payments import away, draw_cards, draw_terminals, money
from fraudstream.simulator.population import Kinds, Population

_LARGEST_SIZE: Final = 2.7
"""Fraudsters stay below card limits: the largest fraud of creditcard.csv is 2,126."""

_TEST_SIZE: Final = (-1.7, 0.3)
_HARVEST_SIZE: Final = (1.2, 0.5)
"""The payment that follows successful tests."""

_LEAST_ANOMALY: Final = 2.1
_ANOMALY: Final = 5.6
"""With these, models detect about as many frauds as on creditcard.csv: benchmarks/results/simulator.json."""


@dataclass(frozen=True)
class Manner:
    """How a scenario appears in payments; a push of 1 is average boldness."""

    deck_share: int
    """Incidents of this scenario in a deck of nineteen."""
    payments: tuple[int, int]
    """Fewest and most payments of one incident."""
    mean_gap_s: float
    kinds: tuple[int, ...]
    """Kinds of merchant that the fraudster chooses."""
    online: bool
    """Whether the signals are online or at the till."""
    one_terminal: bool
    one_card: bool
    size_push: float
    reach_push: float
    """Excess of the log distance from home over the holder's reach."""


_TILL_KINDS: Final = tuple(int(kind) for kind in np.flatnonzero(Kinds.online == 0))
_ONLINE_KINDS: Final = tuple(int(kind) for kind in np.flatnonzero(Kinds.online > 0))


class Scenario(Enum):
    """The fraud scenarios, each with its manner."""

    STOLEN_CARD = Manner(3, (2, 4), 700.0, (1, 3, 4), False, False, True, 0.6, 1.6)
    COMPROMISED_TERMINAL = Manner(2, (3, 6), 500.0, _TILL_KINDS, False, True, False, 0.3, 1.3)
    SMALL_TESTS = Manner(3, (2, 5), 45.0, (7,), True, True, True, 0.0, 1.0)
    ACCOUNT_TAKEOVER = Manner(4, (1, 2), 1500.0, _ONLINE_KINDS, True, False, True, 0.8, 1.8)
    UNSEEN = Manner(7, (1, 1), 1.0, (), False, False, True, 0.0, 0.0)
    """Paid by a fraudster who behaves like the holder: no model can detect it, as with some real frauds."""


@dataclass(frozen=True)
class Incident:
    """A series of payments by one fraudster."""

    scenario: Scenario
    start: float
    gap_s: float
    count: int
    boldness: float
    """How far the payments stand out; about 1."""


def commit(population: Population, incident: Incident, rng: np.random.Generator) -> Payments:
    """Generate the payments of one incident."""
    manner = incident.scenario.value
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
        anomaly = _LEAST_ANOMALY + _ANOMALY * push
        till, online = (till, online + anomaly) if manner.online else (till + anomaly, online)
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
    """Choose terminals of the scenario's kinds; of any kind if a small population has none."""
    fits = np.isin(population.terminals.kind, manner.kinds)
    candidates = np.flatnonzero(fits) if fits.any() else np.arange(len(fits))
    chosen = candidates[rng.integers(0, len(candidates), count)]
    return np.repeat(chosen[:1], count) if manner.one_terminal else chosen


def _tests(incident: Incident, rng: np.random.Generator) -> Floats:
    """Draw the sizes of card tests with small amounts; a bold fraudster then makes a large payment."""
    size = rng.normal(*_TEST_SIZE, incident.count)
    if incident.boldness > 1.0 and incident.count > 2:
        size[-1] = rng.normal(*_HARVEST_SIZE)
    return size


FRAUD_SHARE: Final = 0.00173
"""492 of 284,807 rows, as in creditcard.csv."""

FIRST_INCIDENT_ROWS: Final = (40, 200, 450)
"""Approximate rows of the first incidents, so that a demo shows frauds immediately."""

_NIGHT_SHARE: Final = 0.35
"""Share of incidents spread evenly over the clock instead of over the payments: fraud does not stop at night."""

_BOLDNESS_STRATA: Final = 10
_BURST_SHARE: Final = 0.12
_BURST_FEWEST_MOST: Final = (8, 40)
_BURST_ROWS: Final = 1_500
_BURST_BOLDNESS: Final = 1.3


def plan(population: Population, rows: int, burst_at: float | None, rng: np.random.Generator) -> Payments:
    """Plan all frauds of a stream of `rows` payments: 0.17 % of them, so they fit in memory."""
    frauds = max(1, round(FRAUD_SHARE * rows))
    fewest, most = _BURST_FEWEST_MOST
    burst = 0 if burst_at is None else min(frauds, max(fewest, min(most, round(_BURST_SHARE * frauds))))
    incidents = _schedule(deal_incidents(frauds - burst, population.pace, rng), rows, rng)
    if burst_at is not None:
        incidents.append(_burst(burst, burst_at, rows))
    return Payments.joined([commit(population, incident, rng) for incident in incidents])


def deal_incidents(frauds: int, pace: float, rng: np.random.Generator) -> list[Incident]:
    """Deal scenarios and boldness from shuffled decks; the first is a conspicuous test with small amounts."""
    whole_deck = [scenario for scenario in Scenario for _ in range(scenario.value.deck_share)]
    incidents: list[Incident] = []
    deck: list[int] = []
    strata: list[int] = []
    while frauds > 0:
        deck = deck or [int(i) for i in rng.permutation(len(whole_deck))]
        strata = strata or [int(i) for i in rng.permutation(_BOLDNESS_STRATA)]
        scenario, rank = whole_deck[deck.pop()], (strata.pop() + rng.random()) / _BOLDNESS_STRATA
        if not incidents:
            scenario, rank = Scenario.SMALL_TESTS, 0.9
        manner = scenario.value
        count = min(frauds, int(rng.integers(manner.payments[0], manner.payments[1] + 1)))
        incidents.append(Incident(scenario, 0.0, manner.mean_gap_s / pace, count, boldness=0.6 + 1.1 * rank))
        frauds -= count
    return incidents


def _schedule(incidents: list[Incident], rows: int, rng: np.random.Generator) -> list[Incident]:
    """Set the start of each incident: one in every equal part of the stream, the first ones immediately."""
    if not incidents:
        return []
    count = len(incidents)
    share = (np.arange(count) + rng.random(count)) / count
    start = np.where(rng.random(count) < _NIGHT_SHARE, share * DURATION_S, time_at(share))
    first = np.array(FIRST_INCIDENT_ROWS[:count]) / rows
    start[: len(first)] = np.minimum(time_at(first), start[: len(first)])
    return [replace(incident, start=float(at)) for incident, at in zip(incidents, start, strict=True)]


def _burst(count: int, at: float, rows: int) -> Incident:
    """Create a burst of frauds at one terminal within about 1,500 rows."""
    start, end = time_at(np.array([at, min(1.0, at + _BURST_ROWS / rows)]))
    return Incident(Scenario.COMPROMISED_TERMINAL, float(start), float(end - start) / count, count, _BURST_BOLDNESS)
