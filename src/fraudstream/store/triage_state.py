"""What people have made of an alert: its status and who has it, by which name."""

import re
import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

from fraudstream.messages.base import Object
from fraudstream.times import iso_time
from fraudstream.transactions.cards import masked_text


class AlertStatus(StrEnum):
    """Where an alert stands with the people who look at it."""

    NEW = "new"
    CLAIMED = "claimed"
    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


VERDICTS: Final = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE)


class TriageState(NamedTuple):
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

    def document(self) -> Object:
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


UNTOUCHED: Final = orjson.dumps(TriageState().document())
"""The `work` of an alert that nobody has touched: nearly all of them, so it is written once."""

LONGEST_NAME: Final = 80

# Printable to Python and invisible on a screen: Unicode's Default_Ignorable_Code_Point, and the blank of Braille.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are written beside one another, and beside Latin, and look like none of the others."""

# Whole names that look Latin in small or capital letters (Unicode's confusables.txt, the Cyrillic and Greek letters).
_LATIN_LOOK_ALIKES: Final = str.maketrans("авекмнорстухіјѕԁԛԝһαβεικμνορτυχ", "abekmhopctyxijsdqwhabeikmnoptyx")


def name_of(text: str) -> str | None:
    """A name as it is recorded: in Unicode's compatible form, single blanks within; None where it is none.

    Refused are what cannot be seen, scripts that are mixed within a name (a Cyrillic а among Latin letters), and a
    card's number.
    """
    if len(text) > 4 * LONGEST_NAME:
        return None
    name = re.sub(" +", " ", unicodedata.normalize("NFKC", text)).strip()
    usable = 0 < len(name) <= LONGEST_NAME and name.isprintable() and not _INVISIBLE.search(name)
    return name if usable and not _is_mixed(name) and masked_text(name) == name else None


def is_same_person(name: str | None, other: str | None) -> bool:
    """Whether two names read the same; None is nobody."""
    return name is not None and other is not None and skeleton(name) == skeleton(other)


def skeleton(name: str) -> str:
    """What is compared of a name: without case, width and accents' forms, look-alike letters as Latin ones."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return folded.translate(_LATIN_LOOK_ALIKES)


def _is_mixed(name: str) -> bool:
    scripts = {
        unicodedata.name(letter, "UNKNOWN").split(" ")[0].split("-")[0]
        for letter in name
        if unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Lo")
    }
    others = scripts - _EAST_ASIAN
    return len(others) > 1 or bool(scripts & _EAST_ASIAN and others - {"LATIN"})
