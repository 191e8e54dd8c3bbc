"""Reads lists of words from the data files of this package."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final


def word_lists(file: str) -> dict[str, list[str]]:
    """Read a TOML file of lists by name, each a text of terms between commas and line ends."""
    lists = tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    return {name: [term.strip() for term in text.strip().replace("\n", ",").split(",")] for name, text in lists.items()}


LISTS: Final = word_lists("words.toml")
WORDS: Final[Mapping[str, frozenset[str]]] = {name: frozenset(words) for name, words in LISTS.items()}
"""By which columns and labels are recognised."""
