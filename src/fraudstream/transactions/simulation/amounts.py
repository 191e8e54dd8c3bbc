"""Amounts of money: how a payment's size (a standard normal) becomes an amount with a shop's price on it."""

from typing import Final

import numpy as np

from fraudstream.transactions.simulation.arrays import Floats

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
    """Amounts for standard normal sizes: a log-normal with another width on each side, then on prices as shops ask.

    The widths follow the quantiles of creditcard.csv: 5 % below 0.92, 25 % below 5.60, 95 % below 365, 99 % below 1018.
    """
    up = 1.49 + 0.47 * np.exp(-0.5 * np.abs(size))
    raw = np.exp(LOG_MEDIAN + size * np.where(size < 0, 2.12, up))
    return _priced(np.minimum(raw, LARGEST), rng)


def _priced(raw: Floats, rng: np.random.Generator) -> Floats:
    """Most small amounts stand on a few prices (1.00 above all), a third of the others end as prices do."""
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
    """About the size that an amount had: log, centred and scaled; an observer's view, for behaviour features."""
    return (np.log(amount + 0.3) - LOG_MEDIAN) / 1.75
