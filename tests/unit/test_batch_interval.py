"""A batch interval that cannot be used is reported before Spark is started."""

from __future__ import annotations

import pytest

from fraudstream.detector.query import Trigger, check_interval
from fraudstream.errors import SettingsError


@pytest.mark.parametrize("interval", ["5 minutes", "1 minute", "5 seconds", " 7 SECONDS ", "1 hour"])
def test_an_interval_of_a_number_and_a_unit_is_taken(interval: str) -> None:
    check_interval(interval, Trigger.REALTIME)


def test_a_micro_batch_may_be_short() -> None:
    check_interval("200 milliseconds", Trigger.MICRO_BATCH)


@pytest.mark.parametrize(
    ("interval", "why"), [("3 seconds", "shorter than Real-time Mode"), ("often", "cannot be read"), ("5", "be read")]
)
def test_another_one_is_refused_with_the_reason(interval: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        check_interval(interval, Trigger.REALTIME)
