"""The triage state of an alert, and the names of the people who triage it."""

import re
import unicodedata
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

import orjson

from fraudstream.messages.base import Object
from fraudstream.times import iso_time, microseconds, parse_time
from fraudstream.transactions.cards import masked_text


class AlertStatus(StrEnum):
    """The triage status of an alert."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"
    ESCALATED = "escalated"
    NEEDS_INFORMATION = "needs_information"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)
OPEN: Final = tuple(each for each in AlertStatus if each not in VERDICTS)
"""The statuses of alerts that are not decided yet."""


_TIMES: Final = {"decided_us": "decided_at", "since_us": "since", "due_us": "due_at"}
_OPTIONAL: Final = ("reason_code", "due_at", "escalated_by")


class TriageState(NamedTuple):
    """The triage state of one alert; `version` is incremented with each change of the other attributes.

    `decided_us` is the time of the verdict, `since_us` of the last change of status, in microseconds since 1970; so is
    `due_us`, until when the information that is needed should be there. `reason_code` belongs to the verdict, and
    `escalated_by` is who gave an escalated alert to its assignee.
    """

    status: str = AlertStatus.NEW.value
    assignee: str | None = None
    version: int = 0
    decided_us: int | None = None
    since_us: int | None = None
    reason_code: str | None = None
    due_us: int | None = None
    escalated_by: str | None = None

    def document(self) -> Object:
        """Return the member `work` of an alert; a reason code, due time or escalation only if there is one."""
        members = self._asdict() | {name: iso_time(getattr(self, name)) for name in _TIMES}
        document = {_TIMES.get(name, name): value for name, value in members.items()}
        return {name: value for name, value in document.items() if value is not None or name not in _OPTIONAL}

    @classmethod
    def of(cls, document: Object) -> Self:
        """Return the state of a `document`, also of one from a release without reason codes."""
        members: dict[str, Any] = {name: document.get(_TIMES.get(name, name)) for name in cls._fields}
        times = {name: microseconds(parse_time(at)) for name in _TIMES if (at := members[name]) is not None}
        return cls(**members | times)

    def json(self) -> bytes:
        """Return the member `work` as JSON."""
        return orjson.dumps(self.document()) if self.version else UNTOUCHED


UNTOUCHED: Final = orjson.dumps(TriageState().document())
"""The `work` of an alert that nobody has triaged, serialised once: nearly all alerts have it."""

LONGEST_NAME: Final = 80

# Printable in Python but invisible on screen: Unicode's Default_Ignorable_Code_Point, and the Braille blank.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are used together, also with Latin, and cannot be mistaken for any other."""

# Cyrillic and Greek characters that look Latin in lower or upper case (Unicode's confusables.txt).
_LATIN_LOOK_ALIKES: Final = str.maketrans("авекмнорстухіјѕԁԛԝһαβεικμνορτυχ", "abekmhopctyxijsdqwhabeikmnoptyx")


def name_of(text: str) -> str | None:
    """Normalise a name for the record (NFKC, single spaces); None if it is not acceptable.

    Invisible characters, mixed scripts (a Cyrillic а in a Latin name) and card numbers are not.
    """
    if len(text) > 4 * LONGEST_NAME:
        return None
    name = re.sub(" +", " ", unicodedata.normalize("NFKC", text)).strip()
    usable = 0 < len(name) <= LONGEST_NAME and name.isprintable() and not _INVISIBLE.search(name)
    return name if usable and not _is_mixed(name) and masked_text(name) == name else None


def is_same_person(name: str | None, other: str | None) -> bool:
    """Whether two names look the same; None matches nothing."""
    return name is not None and other is not None and skeleton(name) == skeleton(other)


def skeleton(name: str) -> str:
    """Fold case, width and the forms of accents, and map look-alikes to Latin, to compare names."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return folded.translate(_LATIN_LOOK_ALIKES)


def _is_mixed(name: str) -> bool:
    scripts = {
        unicodedata.name(char, "UNKNOWN").split(" ")[0].split("-")[0]
        for char in name
        if unicodedata.category(char) in ("Lu", "Ll", "Lt", "Lo")
    }
    others = scripts - _EAST_ASIAN
    return len(others) > 1 or bool(scripts & _EAST_ASIAN and others - {"LATIN"})
