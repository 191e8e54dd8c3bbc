"""What meets foreign text takes time linear in its length."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from fraudstream.dashboard.web.export import cell
from fraudstream.store.full_text import columns_of, tokenize
from fraudstream.transactions import drift
from fraudstream.transactions.amounts import is_missing, parse_number
from fraudstream.transactions.formats import FormatReader
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.notation import canonical_date, canonical_number
from fraudstream.transactions.reading_options import DateOrder, Decimal

SIZES = (8_000, 32_000)

Text = Callable[[int], str]
HOSTILE: dict[str, Text] = {
    "digits and dashes": lambda size: "4-" * (size // 2),
    "short runs": lambda size: "4111111111112x" * (size // 14),
    "digits": lambda size: "4" * size + "x",
    "points": lambda size: "1." * (size // 2) + "a",
    "zeros": lambda size: "0" * size + "e",
    "names": lambda size: "cvv:" * (size // 4),
    "names without values": lambda size: "card number " * (size // 12),
    "quotes": lambda size: '"pin":"' + '\\"' * (size // 2),
    "open quotes": lambda size: '"pin":' * (size // 6),
    "brackets": lambda size: "<pin><" * (size // 6),
    "numbers in a sentence": lambda size: "cvv 123 " * (size // 8),
    "security numbers": lambda size: "078-05-1120 " * (size // 12),
    "exponents": lambda size: "1.1e1" * (size // 5),
    "tracks": lambda size: "4111111111111111=2911201" * (size // 24),
    "accents": lambda size: "é4" * (size // 2),
    "blanks": lambda size: " " * size + "x",
    "semicolons": lambda size: "; " * (size // 2),
}
EVERY: dict[str, Callable[[str], Any]] = {
    "masking": lambda text: DataMask(["token"]).record({"transaction": {"a": text, "pan": text}}),
    "words": tokenize,
    "a number": parse_number,
    "no value": is_missing,
    "a cell of a file": cell,
    "a column": lambda text: FormatReader("a").read([text, text[1:]]),
    "a canonical number": lambda text: [canonical_number(text, decimal) for decimal in Decimal],
    "a canonical date": lambda text: [canonical_date(text, order) for order in DateOrder],
}


def seconds(work: Callable[[], Any]) -> float:
    """CPU time of this process, the shortest of three: what else runs on the machine does not count."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("function", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_four_times_the_text_takes_about_four_times_as_long(function: Callable[[str], Any], text: Text) -> None:
    # Quadratic growth is sixteen times as long, and there is no doubt of it at this size.
    short, long = (text(size) for size in SIZES)
    assert seconds(lambda: function(long)) <= 10 * seconds(lambda: function(short)) + 0.01


def test_names_of_what_is_nested_are_bounded_however_long_those_around_them_are() -> None:
    transaction: dict[str, Any] = {f"leaf {number}": number for number in range(1_000)}
    for level in range(100):
        transaction = {f"{level}" + "n" * 5_000: transaction}
    for names in ([name for name, _ in columns_of(transaction)], list(drift.columns_of(transaction))):
        assert len(set(names)) == 1_000
        assert max(map(len, names)) < 6_100


def test_names_of_what_is_nested_are_dotted_and_in_order() -> None:
    assert list(columns_of({"a": {"b": 1, "c": {"d": 2}, "e": {}}, "f": 3, "a.b": 4})) == [
        ("a.c.d", 2),
        ("f", 3),
        ("a.b", 4),
    ]
