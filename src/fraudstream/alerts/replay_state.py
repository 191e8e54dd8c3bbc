"""The states of a replay, which store, sender, API and commands share; who moves them is `replay_log.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ReplayState(StrEnum):
    """How far a replay is. `sending` is set before the record leaves: from then on it may stand in the topic."""

    REQUESTED = "requested"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


OPEN: Final = (ReplayState.REQUESTED, ReplayState.SENDING)

LEASE_SECONDS: Final = 30.0
"""A sender that has told nothing of a replay for so long is taken for dead, and another one looks after it."""

SEND_SECONDS: Final = 10.0
"""A record that Kafka has not acknowledged by then is given up by its sender: well within the lease."""
