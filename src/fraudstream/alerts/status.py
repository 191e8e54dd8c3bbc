"""What people have made of an alert."""

from enum import StrEnum
from typing import Final


class AlertStatus(StrEnum):
    """Where an alert stands with the people who look at it."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)
