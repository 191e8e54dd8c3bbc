"""The filter of the alerts in a request's query or body; what it narrows is `alerts/reading.py`'s."""

from __future__ import annotations

import contextlib
import math
from typing import Final

from flask import abort
from werkzeug.datastructures import MultiDict

from fraudstream.alerts.store import AlertFilter
from fraudstream.dashboard.asked import instant_of
from fraudstream.transactions.wire import Outcome

EVERY_OUTCOME: Final = "all"


def filter_asked(args: MultiDict[str, str]) -> AlertFilter:
    """The filter in a query; a value that makes no sense is answered with 400."""
    return AlertFilter(
        outcome=_outcome(args),
        since_us=instant_of("since", args),
        until_us=instant_of("until", args),
        min_score=_score(args),
        model_id=args.get("model_id"),
        source=args.get("source"),
    )


def _outcome(args: MultiDict[str, str]) -> Outcome | None:
    asked = args.get("outcome", Outcome.ALERT)
    if asked not in (Outcome.ALERT, Outcome.UNSCORABLE, EVERY_OUTCOME):
        abort(400, f"outcome must be {Outcome.ALERT}, {Outcome.UNSCORABLE} or {EVERY_OUTCOME}")
    return None if asked == EVERY_OUTCOME else Outcome(asked)


def _score(args: MultiDict[str, str]) -> float | None:
    given = args.get("min_score")
    if given is None:
        return None
    with contextlib.suppress(ValueError):
        if math.isfinite(score := float(given)):
            return score
    abort(400, "min_score must be a number")
