"""Payments of a few cards at a few terminals, one of which is compromised for a month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

START = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = "TX_TIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"
COMPROMISED = "t0"
ENTITIES = ("card=CUSTOMER_ID", "terminal=TERMINAL_ID")


class Payment(NamedTuple):
    """A row of the file."""

    at: datetime
    card: str
    terminal: str
    amount: float
    is_fraud: bool

    @property
    def line(self) -> str:
        """Its row as text."""
        return f"{self.at:%Y-%m-%d %H:%M:%S},{self.card},{self.terminal},{self.amount:.2f},{int(self.is_fraud)}"


def payments(days: int = 60, a_day: int = 40, *, seed: int = 1) -> list[Payment]:
    """Payments in the order of their times; those at the compromised terminal are frauds from day 15 to 45."""
    chance = np.random.default_rng(seed)
    rows = []
    for second in np.sort(chance.integers(0, days * 86_400, days * a_day)).tolist():
        at, card, terminal = START + timedelta(seconds=second), chance.integers(25), f"t{chance.integers(12)}"
        is_fraud = terminal == COMPROMISED and 15 <= second / 86_400 < 45
        rows.append(Payment(at, f"c{card}", terminal, float(chance.lognormal(3, 1)), is_fraud))
    return rows


def write_payments(path: Path, rows: Sequence[Payment]) -> Path:
    """Write rows as CSV."""
    path.write_text("\n".join([HEADER, *(row.line for row in rows)]) + "\n")
    return path
