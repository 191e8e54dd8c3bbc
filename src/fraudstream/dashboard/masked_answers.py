"""Masks card numbers in what the API answers, whatever it echoes; alerts are masked where they are read, once.

What a card number is, and how it reads, is `transactions/cards.py`'s; pages get what was masked from the readers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Flask, Response, request

from fraudstream.transactions.masking import CardMask

MASKED_WHERE_READ: Final = frozenset({"alerts.list_alerts", "api.one_alert"})
"""Many alerts, of which each is masked already, by its own bytes."""

AS_THEY_CAME: Final = frozenset({"replays.claim_replays"})
"""A sender must have the bytes as they were."""


def mask_answers(app: Flask, cards: Callable[[], CardMask]) -> None:
    """Have each JSON answer masked that is not streamed; files and streams mask row by row.

    Args:
        app: The app.
        cards: The mask in force.
    """

    @app.after_request
    def masked(response: Response) -> Response:
        passes = request.endpoint in MASKED_WHERE_READ or request.endpoint in AS_THEY_CAME
        if response.mimetype == "application/json" and not response.is_streamed and not passes:
            body = response.get_data()
            # What a payment tells was masked where it was read; the numbers that are left are sums and counts.
            shown = cards().keeping_figures().json(body)
            if shown is not body:
                response.set_data(shown)
        return response
