"""Defines the reasons that a team gives for its verdicts, and the message of a verdict for Kafka."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from fraudstream.messages.base import Message
from fraudstream.messages.requests import Verdict
from fraudstream.transactions.cards import masked_text

MOST_CODES: Final = 30
"""Reasons of one verdict; the first nine have a key."""

Label = Annotated[str, Field(max_length=60), AfterValidator(lambda text: " ".join(masked_text(text).split()))]


def code_of(label: str) -> str:
    """Return the code that is stored for a reason: `stolen_card` for "Stolen card"."""
    return re.sub(r"\W+", "_", label.casefold()).strip("_")


def label_of(code: str) -> str:
    """Return the text for a code that is no longer in the list."""
    return code.replace("_", " ").capitalize()


def _distinct(labels: list[str]) -> list[str]:
    by_code: dict[str, str] = {}
    for label in labels:
        if not (code := code_of(label)):
            raise ValueError(f"{label!r} has no letter or digit")
        if code in by_code:
            raise ValueError(f"{label!r} and {by_code[code]!r} are the same reason")
        by_code[code] = label
    return labels


Labels = Annotated[list[Label], Field(max_length=MOST_CODES), AfterValidator(_distinct)]


class ReasonCodes(Message):
    """The reasons of each verdict, in the order of their keys; one may fit several verdicts."""

    confirmed_fraud: Labels
    false_alarm: Labels
    unsure: Labels

    def of(self, verdict: str) -> dict[str, str]:
        """Return the reasons of a verdict, by code."""
        return {code_of(label): label for label in getattr(self, verdict, ())}

    def label(self, code: str) -> str:
        """Return the text of a code, also of one that is no longer in the list."""
        return next((codes[code] for name in VERDICT_NAMES if code in (codes := self.of(name))), label_of(code))


VERDICT_NAMES: Final = tuple(ReasonCodes.model_fields)

DEFAULT_REASON_CODES: Final = ReasonCodes(
    confirmed_fraud=["Stolen card", "Account takeover", "Card not present", "Merchant fraud", "Scam", "Friendly fraud"],
    false_alarm=["Customer confirmed", "Known customer", "Travel", "Unusual but plausible", "Wrong amount", "Test"],
    unsure=["Customer not reached", "Too little information", "Conflicting information"],
)
"""The reasons until a team changes them."""


class VerdictMessage(Message):
    """A verdict on an alert, or its withdrawal, as published to Kafka with the alert's id as key.

    Attributes:
        event_id: The same each time the message is sent.
        verdict: None if the verdict was withdrawn: undone, or the alert was claimed again.
        reason_code: Why, if it was given; a code of the team's list.
        former_verdict: The verdict before, None if there was none.
        by: Who decided or withdrew it.
        action: How: "verdict", "undo", "claim", "escalate" or "needs_information".
        version: That of the alert's triage state; the highest one is valid.
    """

    event_id: str
    alert_id: str
    verdict: Verdict | None
    reason_code: str | None
    former_verdict: Verdict | None
    by: str
    verified: bool
    at: str
    action: str
    change_id: str
    version: int
    model_id: str | None
    score: float | None
    outcome: Literal["alert", "unscorable"]


@dataclass(frozen=True)
class UnpublishedVerdicts:
    """Verdicts that are not published yet; `until` is the position to post once they are."""

    verdicts: list[VerdictMessage]
    until: int
