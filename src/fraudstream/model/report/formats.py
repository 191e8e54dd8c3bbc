"""How figures read in the report: one form for each kind, in tables, on axes and in sentences alike."""

import math
from decimal import Decimal
from typing import Final

from fraudstream.model.evaluation_record import Estimate

NONE: Final = "n/a"
SPACE: Final = "\N{NO-BREAK SPACE}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1, as "79.0 %", its space one that no line breaks at."""
    return NONE if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def small_percent(share: float) -> str:
    """A share that may be far below 1 %, with two figures that mean something."""
    return percent(share) if share >= 0.01 or share == 0 else f"{plain(100 * share)}{SPACE}%"


def percent_tick(share: float) -> str:
    """A share at a tick of an axis, as short as it goes."""
    return f"{plain(100 * share, 3)}{SPACE}%"


def count(value: float | None, digits: int = 0) -> str:
    """A number of things, as "1,234"."""
    return NONE if value is None else f"{value:,.{digits}f}"


def money(value: float | None) -> str:
    """An amount, as "1,234.50"; in the unit of the amounts, which no CSV tells."""
    return NONE if value is None else f"{value:,.2f}"


def plain(value: float, figures: int = 2) -> str:
    """So many significant figures and never an exponent: "0.000087"."""
    return format(Decimal(f"{value:.{figures}g}"), "f")


def score(value: float) -> str:
    """A score or a threshold; one close to 1 with so many digits that it is told from 1."""
    if 0.99 < value < 1:
        return f"{value:.{min(math.ceil(-math.log10(1 - value)) + 1, 12)}f}"
    return plain(value, 3)


def interval(found: Estimate, digits: int = 3) -> str:
    """The ends of a figure's interval."""
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def estimate(found: Estimate | None, digits: int = 3) -> str:
    """A figure with its interval, as "0.790 (0.695 to 0.879)"."""
    return NONE if found is None else f"{found.value:.{digits}f} ({interval(found, digits)})"


def estimate_percent(found: Estimate) -> str:
    """A share with its interval, as "78.0 % (67.8 to 88.1 %)"."""
    return f"{percent(found.value)} ({100 * found.low:.1f} to {percent(found.high)})"


def signed(found: Estimate) -> str:
    """A difference with its interval, as "+0.012 (-0.003 to +0.027)"."""
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
