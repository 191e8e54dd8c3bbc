"""Computes the history features of a payment, from it and earlier payments only."""

from typing import Final

import numpy as np

from fraudstream.simulator.arrays import ONLINE, TILL, Floats, Ints, Payments, hour_of_day
from fraudstream.simulator.payments import hour_habit, log_size
from fraudstream.simulator.population import Kinds, Population

_MINUTES_S: Final = 900.0
_DAY_S: Final = 43_200.0
_TERMINAL_S: Final = 3_600.0


class DecayingSums:
    """Exponentially decaying sums, one row for each card or terminal."""

    def __init__(self, windows_s: Floats, start: Floats, last: Floats) -> None:
        self._windows = windows_s
        self._sums = start.copy()
        self._last = last.copy()

    def read_and_add(self, owner: Ints, time: Floats, what: Floats) -> tuple[Floats, Floats]:
        """Return the decayed sums before each payment, in order of time, and the seconds since the owner's last one.

        `owner` is the card or terminal; `time` seconds since the start; `what` [payment, window] is added to each sum.
        """
        before = np.empty_like(what)
        since = np.empty(len(owner))
        for turn in turns(owner):
            who = owner[turn]
            gap = time[turn] - self._last[who]
            faded = self._sums[who] * np.exp(-gap[:, None] / self._windows)
            before[turn], since[turn] = faded, gap
            self._sums[who] = faded + what[turn]
            self._last[who] = time[turn]
        return before, since


def turns(owner: Ints) -> list[Ints]:
    """Split positions so that no owner is twice in a part: each owner's first payments, then the second ones, …."""
    order = np.argsort(owner, kind="stable")
    ranked = owner[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(owner)), 0))
    rank = np.arange(len(owner)) - start
    by_rank = np.argsort(rank, kind="stable")
    return np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(owner) else []


class Behaviour:
    """The profiles of all cards and terminals, and the history features of payments based on them."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        cards, terminals = population.cards, population.terminals
        self._population = population
        windows = np.array([_MINUTES_S, _DAY_S, _DAY_S, _DAY_S / 4]) / population.pace
        usual = np.outer(cards.rate, windows) * np.array([1.0, 1.0, 0.0, 0.0])
        since = rng.exponential(1.0 / cards.rate)
        self._cards = DecayingSums(windows, usual, -since)
        windows = np.full(4, _TERMINAL_S) / population.pace
        usual = np.outer(terminals.rate, windows) * np.array([1.0, 0.0, 0.2, 0.15])
        self._terminals = DecayingSums(windows, usual, np.zeros(len(terminals)))

    def features(self, payments: Payments) -> Floats:
        """Return [payment, feature] for payments in order of time, and update the profiles with them."""
        cards, terminals = self._population.cards, self._population.terminals
        card, terminal = payments.card, payments.terminal
        kind = terminals.kind[terminal]
        hour = hour_of_day(payments.time)
        online = Kinds.online[kind]
        size = log_size(payments.amount)
        over_card = size - 0.45 * cards.size[card]
        over_terminal = size - 0.75 * (terminals.size[terminal] - 0.2)
        over_both = over_terminal - 0.45 * cards.size[card]
        small = (size < -1.1).astype(np.float64)
        reach = np.log(payments.away_km / cards.reach_km[card] + 0.2)
        known = (cards.favourites[card] == terminal[:, None]).any(axis=1).astype(np.float64)
        odd_hour = -np.log(hour_habit(cards.hour[card], hour))
        odd_hour_here = -np.log(hour_habit(Kinds.hour[kind], hour))
        till = np.maximum(payments.signals[:, TILL].sum(axis=1) - 1.0, 0.0) / 3.0
        remote = np.maximum(payments.signals[:, ONLINE].sum(axis=1) - 1.0, 0.0) / 3.0
        unlike = till + remote

        happened = np.stack(
            [np.ones(len(payments)), np.ones(len(payments)), np.exp(np.minimum(size, 3.0)), unlike], axis=1
        )
        recent, since = self._cards.read_and_add(card, payments.time, happened)
        expected = cards.rate[card] * (_DAY_S / self._population.pace)
        happened = np.stack([np.ones(len(payments)), unlike, 1.0 - known, small], axis=1)
        here, _ = self._terminals.read_and_add(terminal, payments.time, happened)
        crowd = terminals.rate[terminal] * (_TERMINAL_S / self._population.pace)
        often = np.log1p(recent[:, 0])
        lull = np.log(since * cards.rate[card] + 0.003)
        columns = [
            size,
            over_card,
            over_terminal,
            over_both,
            lull,
            often,
            np.log((recent[:, 1] + 0.5) / (expected + 0.5)),
            np.log1p(recent[:, 2]) - np.log1p(expected),
            np.log1p(recent[:, 3]),
            np.log(payments.away_km + 0.5),
            reach,
            odd_hour,
            odd_hour_here,
            np.sin(hour * np.pi / 12.0),
            np.cos(hour * np.pi / 12.0),
            known,
            online,
            np.abs(online - cards.online[card]),
            terminals.size[terminal],
            np.log(terminals.rate[terminal]),
            np.log((here[:, 0] + 0.7) / (crowd + 0.7)),
            here[:, 1] / (here[:, 0] + 1.0),
            here[:, 2] / (here[:, 0] + 1.0),
            here[:, 3] / (here[:, 0] + 1.0),
            terminals.risk[terminal],
            np.log(cards.age_years[card] + 0.2),
            *payments.signals.T,
            till,
            remote,
            cards.size[card],
            cards.online[card],
            np.log(cards.reach_km[card]),
            # As in a bank's rules: two unusual things at once.
            np.maximum(over_both, 0.0) * np.maximum(reach, 0.0),
            often * (1.0 - known),
        ]
        return np.stack(columns, axis=1)
