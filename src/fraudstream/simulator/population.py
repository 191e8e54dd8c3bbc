"""Generates the simulated population: cards with their holders' habits, and terminals."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fraudstream.simulator.arrays import DURATION_S, HOURLY_WEIGHT, Floats, Ints

ROWS_PER_CARD: Final = 6
FEWEST_CARDS: Final = 300
MOST_CARDS: Final = 48_000
"""Beyond 288,000 rows the cards pay more often instead of growing in number, so that memory is bounded."""

CARDS_PER_TERMINAL: Final = 10
FAVOURITES: Final = 6
"""Terminals that a cardholder uses regularly."""


class Kinds:
    """The kinds of merchant: one entry each."""

    # groceries, fuel, restaurant, clothes, electronics, travel, web shop, subscription and games, transfer, kiosk
    size: Final[Floats] = np.array([0.2, 0.45, 0.25, 0.7, 1.35, 1.6, 0.45, -1.55, 1.1, -1.0])
    """Usual size of a payment, as a standard normal before scaling."""
    online: Final[Floats] = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    hour: Final[Floats] = np.array([16.0, 12.0, 20.0, 15.0, 14.0, 13.0, 20.0, 22.0, 11.0, 9.0])
    """Busiest hour of the day."""
    share: Final[Floats] = np.array([0.20, 0.09, 0.12, 0.09, 0.05, 0.04, 0.15, 0.11, 0.05, 0.10])


@dataclass(frozen=True)
class Cards:
    """The cards, one array entry each."""

    x: Floats
    y: Floats
    """Home, in km on a flat country of 400 by 400."""
    size: Floats
    """How much its holder spends at once, as a standard normal."""
    rate: Floats
    """Payments per second, averaged over the day."""
    lots: Ints
    """Card indexes in proportion to their payments, for weighted drawing."""
    hour: Floats
    """The hour of the day around which its holder pays most."""
    reach_km: Floats
    """How far from home its holder usually goes."""
    online: Floats
    """The holder's preference for paying online, 0 to 1."""
    travelling_km: Floats
    """Distance of a journey that lasts both days; 0 for holders at home."""
    new_device: Floats
    """1 if the holder has just got another phone or card, which looks like fraud."""
    favourites: Ints
    """[card, FAVOURITES] terminals."""
    age_years: Floats

    def __len__(self) -> int:
        """How many cards."""
        return len(self.x)


@dataclass(frozen=True)
class Terminals:
    """The terminals, one array entry each."""

    x: Floats
    y: Floats
    kind: Ints
    size: Floats
    """Usual size of a payment: that of its kind, and the shop's own."""
    lots: Ints
    """Terminal indexes in proportion to their payments, as with the cards."""
    rate: Floats
    """Payments per second."""
    risk: Floats
    """Complaints about it in the acquirer's records."""

    def __len__(self) -> int:
        """How many terminals."""
        return len(self.x)


@dataclass(frozen=True)
class Population:
    """All cards and terminals of one simulation, and its time scale."""

    cards: Cards
    terminals: Terminals
    pace: float
    """How many times faster than real time the cards pay, so that a long stream fits into two days."""


def populate(rows: int, rng: np.random.Generator) -> Population:
    """Draw the cards and terminals for a stream of `rows` payments."""
    count = int(np.clip(rows // ROWS_PER_CARD, FEWEST_CARDS, MOST_CARDS))
    city = rng.uniform(20, 380, (2, 14))
    city_share = rng.dirichlet(np.full(14, 1.5))
    terminals = _terminals(count // CARDS_PER_TERMINAL, rows / DURATION_S, city, city_share, rng)
    cards = _cards(count, rows / DURATION_S, terminals, city, city_share, rng)
    return Population(cards, terminals, pace=rows / (count * ROWS_PER_CARD))


def _locations(count: int, city: Floats, city_share: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    at = rng.choice(len(city_share), count, p=city_share)
    return city[0, at] + rng.normal(0, 7, count), city[1, at] + rng.normal(0, 7, count)


def _lots(share: Floats) -> Ints:
    """Return eight entries per owner on average, in proportion to its share, so that drawing one is a look-up."""
    count = 8 * len(share)
    return np.searchsorted(np.cumsum(share), (np.arange(count) + 0.5) / count).clip(max=len(share) - 1)


def _terminals(count: int, rate: float, city: Floats, city_share: Floats, rng: np.random.Generator) -> Terminals:
    x, y = _locations(count, city, city_share, rng)
    kind = rng.choice(len(Kinds.share), count, p=Kinds.share)
    popularity = rng.lognormal(0, 0.8, count)
    popularity /= popularity.sum()
    return Terminals(
        x=x,
        y=y,
        kind=kind,
        size=Kinds.size[kind] + rng.normal(0, 0.35, count),
        lots=_lots(popularity),
        rate=popularity * rate,
        risk=rng.standard_gamma(1.2, count),
    )


def _cards(
    count: int, rate: float, terminals: Terminals, city: Floats, city_share: Floats, rng: np.random.Generator
) -> Cards:
    x, y = _locations(count, city, city_share, rng)
    activity = 0.15 + rng.standard_gamma(1.3, count)
    activity /= activity.sum()
    online = rng.beta(1.5, 2.0, count)
    return Cards(
        x=x,
        y=y,
        size=rng.standard_normal(count),
        rate=activity * rate,
        lots=_lots(activity),
        hour=rng.choice(24, count, p=HOURLY_WEIGHT) + rng.random(count),
        reach_km=rng.lognormal(1.8, 0.6, count),
        online=online,
        travelling_km=np.where(rng.random(count) < 0.0025, rng.lognormal(6.0, 0.8, count), 0.0),
        new_device=(rng.random(count) < 0.0015).astype(np.float64),
        favourites=_favourites(x, y, online, terminals, rng),
        age_years=rng.gamma(2.0, 2.0, count),
    )


def _favourites(x: Floats, y: Floats, online: Floats, terminals: Terminals, rng: np.random.Generator) -> Ints:
    """Choose each favourite as the best of eight terminals: near, or online for holders who prefer that."""
    best = np.zeros((len(x), FAVOURITES), dtype=np.int64)
    for i in range(FAVOURITES):
        drawn = rng.choice(terminals.lots, (8, len(x)))
        far = np.hypot(terminals.x[drawn] - x, terminals.y[drawn] - y)
        is_online = Kinds.online[terminals.kind[drawn]] > 0
        prefers_online = rng.random(len(x)) < online
        cost = np.where(is_online, np.where(prefers_online, 0.0, 400.0), far + np.where(prefers_online, 200.0, 0.0))
        best[:, i] = np.take_along_axis(drawn, cost.argmin(axis=0)[None], axis=0)[0]
    return best
