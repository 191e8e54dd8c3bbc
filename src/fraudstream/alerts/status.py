"""What people made of an alert, in one word; who changed it when is in the table `changes`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AlertStatus(StrEnum):
    """The status of an alert; the last three are verdicts."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)
