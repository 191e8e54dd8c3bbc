"""Normalises people's names, so that no two people look the same."""

import re
import unicodedata
from typing import Final

from fraudstream.transactions.cards import masked_text

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
