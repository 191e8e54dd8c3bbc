"""Decides which label a transaction had at a time, from what was known of it by then."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from fraudstream.history.spec import LABEL_DELAY_DAYS

DAY_US: Final = 86_400_000_000


class LabelValue(StrEnum):
    """What a transaction was, according to a source; `unknown` withdraws what the source said before."""

    FRAUD = "fraud"
    LEGITIMATE = "legitimate"
    UNKNOWN = "unknown"


class LabelSource(StrEnum):
    """Where a label comes from: an analyst's verdict, a chargeback, or another list of labels."""

    VERDICT = "verdict"
    CHARGEBACK = "chargeback"
    FILE = "file"


class KnownLabel(NamedTuple):
    """What a source said of a transaction, and when it became known, in microseconds since 1970."""

    label: LabelValue
    source: LabelSource
    known_us: int


def current_label(labels: Iterable[KnownLabel], as_of_us: int | None = None) -> KnownLabel | None:
    """Return the label that counts, of those known at a time (None: at any); None if there is none.

    Of each source the newest counts, of several at the same time the last in the order of `labels`. Between sources a
    chargeback counts, else the newest. A chargeback is withdrawn by its own source only: see docs/decisions/0048.
    """
    newest: dict[LabelSource, KnownLabel] = {}
    for label in labels:
        former = newest.get(label.source)
        is_known = as_of_us is None or label.known_us <= as_of_us
        if is_known and (former is None or label.known_us >= former.known_us):
            newest[label.source] = label
    valid = [each for each in newest.values() if each.label is not LabelValue.UNKNOWN]
    return max(
        valid, key=lambda each: (each.source is LabelSource.CHARGEBACK, each.known_us, each.source), default=None
    )


def mature_label(
    event_us: int, labels: Iterable[KnownLabel], as_of_us: int, delay_days: float = LABEL_DELAY_DAYS
) -> LabelValue:
    """Return what was known of a transaction at a time: fraud, legitimate, or unknown because it is too early to say.

    A transaction without a label counts as legitimate once `delay_days` have passed since it: a fraud would have been
    reported by then. Times are in microseconds since 1970.
    """
    current = current_label(labels, as_of_us)
    if current is not None:
        return current.label
    return LabelValue.LEGITIMATE if as_of_us - event_us >= delay_days * DAY_US else LabelValue.UNKNOWN
