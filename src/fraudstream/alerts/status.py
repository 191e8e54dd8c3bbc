"""What people have made of an alert: its status and who has it; the changes that lead there are `work.py`'s."""

from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from fraudstream.times import iso_time


class AlertStatus(StrEnum):
    """Where an alert stands with the people who look at it."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)


class Work(NamedTuple):
    """What people have made of one alert.

    Attributes:
        assignee: Who has claimed it, or has given the verdict.
        version: Grows by one with each change of the others.
        decided_us: When the verdict was given, in microseconds since 1970.
        since_us: Since when its status is what it is, likewise.
    """

    status: str = AlertStatus.NEW.value
    assignee: str | None = None
    version: int = 0
    decided_us: int | None = None
    since_us: int | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is a verdict."""
        return self.status in VERDICTS

    def document(self) -> dict[str, Any]:
        """The member `work` of an alert."""
        return {
            "status": self.status,
            "assignee": self.assignee,
            "version": self.version,
            "decided_at": iso_time(self.decided_us),
            "since": iso_time(self.since_us),
        }

    def json(self) -> bytes:
        """The same, as JSON."""
        return orjson.dumps(self.document()) if self.version else UNTOUCHED


UNTOUCHED: Final = orjson.dumps(Work().document())
"""The `work` of an alert that nobody has touched: nearly all of them, so it is written once."""
