"""The search text of the queue: what it means as filters, what it cannot mean, and how it may go on."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.web.queue_query import QueueQuery
from fraudstream.dashboard.web.search_text import LONGEST, SearchTextError, Vocabulary, parse_search, suggestions

WORDS = Vocabulary(
    ("CUSTOMER_ID", "TERMINAL_ID", "Amount", "Merchant name", "isOnline"),
    {"TERMINAL_ID"},
    ZoneInfo("Europe/Zurich"),
    datetime(2026, 7, 1, 10, 0, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('kiosk "am see"', [("q", 'kiosk "am see"')]),
        ("amount>=500 amount<=1000", [("min_amount", "500"), ("max_amount", "1000")]),
        ("Amount:100..500", [("min_amount", "100"), ("max_amount", "500")]),
        ("amount:7.5", [("min_amount", "7.5"), ("max_amount", "7.5")]),
        ("score>=80%", [("min_score", "0.8")]),
        ("amount>500", [("min_amount", "500.00000000000006")]),
        ("amount<500", [("max_amount", "499.99999999999994")]),
        ("status:fraud,needs-info", [("status", "confirmed_fraud"), ("status", "needs_information")]),
        ("assignee:me outcome:all", [("assignee", "me"), ("outcome", "all")]),
        ("terminal:T1", [("entity", "TERMINAL_ID:T1")]),
        ("TERMINAL_ID!=T1", [("where", "TERMINAL_ID:ne:T1")]),
        ("customer_id:C1 online:true", [("where", "CUSTOMER_ID:eq:C1"), ("where", "isOnline:eq:true")]),
        ('"Merchant name"~kiosk', [("where", "Merchant name:has:kiosk")]),
        ('merchant:"A B"', [("where", "Merchant name:eq:A B")]),
        ("merchant:Kio*", [("where", "Merchant name:has:Kio")]),
        ("from:2026-07-01T08:00", [("since", "2026-07-01T06:00:00Z")]),
        ("from:2h before:09:30", [("since", "2026-07-01T08:00:00Z"), ("until", "2026-07-01T07:30:00Z")]),
        ("due:now reason:stolen_card", [("due_before", "2026-07-01T10:00:00Z"), ("reason_code", "stolen_card")]),
    ],
)  # fmt: skip
def test_a_text_is_read_as_filters(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_search(text, WORDS) == pairs


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("amount>5 termnal_id:T1", "No column is called termnal_id. Did you mean TERMINAL_ID?", "termnal_id:T1"),
        ("http://x", "No column is called http. Write text with a colon in quotes", "http://x"),
        ("amount>much", "amount is compared with a number, not with much", "amount>much"),
        ("amount>1..2", "amount is compared as amount>100", "amount>1..2"),
        ("amount:..", "amount is compared as amount>100", "amount:.."),
        ("status>new", "status is compared with a colon: status:new", "status>new"),
        ("status:s", "status is one of new, claimed,", "status:s"),
        ("from:monday", "monday is not a time: write 2026-01-31,", "from:monday"),
        ("from:9999-12-31T23:59-12:00", "is not a time", "from:9999-12-31T23:59-12:00"),
        ("customer:", "customer needs a value", "customer:"),
        ("amount>1 " * 21, "A search has at most 20 conditions", "amount>1"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, message: str, place: str) -> None:
    with pytest.raises(SearchTextError) as error:
        parse_search(text, WORDS)
    assert message in str(error.value)
    assert text[error.value.start : error.value.end] == place


@pytest.mark.parametrize("outcome", ["unscorable", "all"])
def test_an_entity_is_an_ordinary_column_of_unscorable_payments(outcome: str) -> None:
    query = QueueQuery(MultiDict({"search": "terminal:T1:2", "outcome": outcome}), WORDS)
    assert query.pairs == [("outcome", outcome), ("where", "TERMINAL_ID:eq:T1:2")]
    assert QueueQuery(MultiDict({"search": "terminal:T1"}), WORDS).pairs == [("entity", "TERMINAL_ID:T1")]


@pytest.mark.parametrize(("name", "most"), [("entity", 5), ("where", 20)])
def test_too_many_filters_are_an_error_beside_the_first_ones(name: str, most: int) -> None:
    args = MultiDict([(name, f"Amount:{'eq:' if name == 'where' else ''}{number}") for number in range(most + 2)])
    query = QueueQuery(args, WORDS)
    assert query.errors == [f"A search has at most {most} filters {name}"]
    assert query.many(name) == args.getlist(name)[:most]


@pytest.mark.parametrize("unit", ["a", ":", '"', 'a"', 'a:"', "a ", "a>", '" '])
def test_a_long_text_is_read_in_linear_time(unit: str) -> None:
    text = (unit * LONGEST)[:LONGEST]
    began = time.perf_counter()
    for _ in range(20):
        with contextlib.suppress(SearchTextError):
            parse_search(text, WORDS)
    assert time.perf_counter() - began < 1
    with pytest.raises(SearchTextError, match="at most 1,000 characters"):
        parse_search(text + "x", WORDS)


def test_suggestions_go_on_from_the_last_term() -> None:
    assert suggestions("status:new term", WORDS, {}) == ["status:new TERMINAL_ID:"]
    assert suggestions("merch", WORDS, {}) == ['"Merchant name":']
    assert suggestions("terminal:t", WORDS, {"TERMINAL_ID": ["T1", "X"]}) == ["terminal:T1"]
    assert suggestions("status:unsu", WORDS, {}) == ["status:unsure"]
    assert suggestions("nothing:", WORDS, {}) == []
