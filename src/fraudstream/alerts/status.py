"""What an alert can be in the hands of people; `alerts/tables.py` keeps it beside the alert."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AlertStatus(StrEnum):
    """Where the work on an alert stands."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)
"""The statuses that end the work on an alert."""
