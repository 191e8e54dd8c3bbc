"""When frauds happen: dealt so that every part of a stream has its share; `scenarios.py` says how they look."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fraudstream.transactions.simulation.arrays import Ints, Payments
from fraudstream.transactions.simulation.clock import DURATION_S, time_at
from fraudstream.transactions.simulation.population import Population
from fraudstream.transactions.simulation.scenarios import MANNERS, Incident, Scenario, commit

FRAUD_SHARE: Final = 0.00173
"""492 of 284,807 rows, as in creditcard.csv."""

FIRST_INCIDENT_ROWS: Final = (40, 200, 450)
"""About where the first incidents begin, so that a demo shows frauds at once."""

_NIGHT_SHARE: Final = 0.35
"""Incidents spread evenly over the clock rather than over the payments: thieves do not sleep when holders do."""

_BOLDNESS_STRATA: Final = 10
_BURST_SHARE: Final = 0.12
_BURST_FEWEST_MOST: Final = (8, 40)
_BURST_ROWS: Final = 1_500
_BURST_BOLDNESS: Final = 1.3


@dataclass(frozen=True)
class Plan:
    """Every fraud of a stream in order of time: 0.17 % of the rows, so it is small."""

    payments: Payments
    scenario: Ints
    """A `Scenario` for each."""


def plan(population: Population, rows: int, burst_at: float | None, rng: np.random.Generator) -> Plan:
    """Plan all frauds of a stream of so many rows."""
    wanted = max(1, round(FRAUD_SHARE * rows))
    fewest, most = _BURST_FEWEST_MOST
    burst = 0 if burst_at is None else min(wanted, max(fewest, min(most, round(_BURST_SHARE * wanted))))
    incidents = _timed(_dealt(wanted - burst, population.pace, rng), rows, rng)
    if burst_at is not None:
        incidents.append(_burst(burst, burst_at, rows))
    done = [commit(population, incident, rng) for incident in incidents]
    scenario = np.repeat([int(incident.scenario) for incident in incidents], [len(some) for some in done])
    order = np.argsort(np.concatenate([some.time for some in done]), kind="stable")
    return Plan(Payments.joined(done), scenario[order].astype(np.int64))


def _dealt(wanted: int, pace: float, rng: np.random.Generator) -> list[Incident]:
    """Deal scenarios and boldness from shuffled decks; the first is a test with small amounts that stands out."""
    whole_deck = [scenario for scenario, manner in MANNERS.items() for _ in range(manner.deck_share)]
    incidents: list[Incident] = []
    deck: list[int] = []
    strata: list[int] = []
    while wanted > 0:
        deck = deck or [int(i) for i in rng.permutation(len(whole_deck))]
        strata = strata or [int(i) for i in rng.permutation(_BOLDNESS_STRATA)]
        scenario, rank = whole_deck[deck.pop()], (strata.pop() + rng.random()) / _BOLDNESS_STRATA
        if not incidents:
            scenario, rank = Scenario.SMALL_TESTS, 0.9
        manner = MANNERS[scenario]
        count = min(wanted, int(rng.integers(manner.payments[0], manner.payments[1] + 1)))
        incidents.append(Incident(scenario, 0.0, manner.mean_gap_s / pace, count, boldness=0.6 + 1.1 * rank))
        wanted -= count
    return incidents


def _timed(incidents: list[Incident], rows: int, rng: np.random.Generator) -> list[Incident]:
    """Give each incident its start: one in every equal part of the stream, the first ones at once."""
    if not incidents:
        return []
    count = len(incidents)
    share = (np.arange(count) + rng.random(count)) / count
    start = np.where(rng.random(count) < _NIGHT_SHARE, share * DURATION_S, time_at(share))
    first = np.array(FIRST_INCIDENT_ROWS[:count]) / rows
    start[: len(first)] = np.minimum(time_at(first), start[: len(first)])
    return [replace(incident, start=float(at)) for incident, at in zip(incidents, start, strict=True)]


def _burst(count: int, at: float, rows: int) -> Incident:
    """Many frauds at one terminal within about 1,500 rows."""
    start, end = time_at(np.array([at, min(1.0, at + _BURST_ROWS / rows)]))
    return Incident(Scenario.COMPROMISED_TERMINAL, float(start), float(end - start) / count, count, _BURST_BOLDNESS)
