"""Messages of the API: what a model takes, what it refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fraudstream.errors import RecordError
from fraudstream.messages.base import Message, reason
from fraudstream.messages.posted import EndsEvent, Progress, Sample, check_dead_letter, check_event
from fraudstream.messages.requests import AddNote, Alias, Claim, Decide, ReplayRequest, ReplayResult


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        (Claim, {}, "alert_ids is missing"),
        (Claim, {"alert_ids": []}, "alert_ids must have at least 1 item after validation, not 0"),
        (Claim, {"alert_ids": [7]}, "alert_ids.0 must be text"),
        (Claim, {"alert_ids": ["a"], "take_over": 1}, "take_over must be true or false"),
        (Claim, {"alert_ids": ["a"], "versions": {"a": True}}, "versions.a must be an integer"),
        (Decide, {"alert_ids": ["a"], "status": "new"}, "status must be 'confirmed_fraud', 'false_alarm' or 'unsure'"),
        (AddNote, {"alert_ids": ["a"], "text": " "}, "text must not be blank"),
        (Alias, {"new": "", "old": "V1"}, "new must have at least 1 character"),
        (ReplayRequest, {"why": "x", "places": ["t/0"]}, "places.0 must be topic/partition/offset"),
        (ReplayRequest, {"why": "x", "places": ["t/0/1"], "payload_base64": "?"}, "payload_base64 must be base64"),
        (ReplayRequest, {"why": "x"}, "set either places (a list of topic/partition/offset) or filter"),
        (ReplayResult, {"replay_id": "r"}, "either place or reason is required"),
    ],
)
def test_the_reason_begins_with_the_member_and_is_in_plain_words(
    model: type[Message], body: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValidationError) as error:
        model.model_validate(body)
    assert reason(error.value).startswith(expected)


def test_card_numbers_in_what_a_person_writes_are_masked() -> None:
    note = AddNote(alert_ids=["a"], text="card 4111111111111111 is stolen")
    assert note.text == "card 411111******1111 is stolen"
    assert Alias(new="4111111111111111", old="V1").new == "411111******1111"


def test_an_id_named_twice_counts_once() -> None:
    assert Claim(alert_ids=["a", "b", "a"]).alert_ids == ["a", "b"]


def test_an_event_is_checked_as_its_type_says_and_kept_whole() -> None:
    positions = {"t": {"0": {"begin": 1, "end": 3}}}
    ends = check_event({"type": "position", "at": "1970-01-01T00:00:01Z", "positions": positions, "trouble": ""})
    assert isinstance(ends, EndsEvent)
    assert (ends.at_us, ends.positions["t"][0].end, ends.document["trouble"]) == (1_000_000, 3, "")
    progress = check_event({"type": "progress", "positions": {"t": {"1": {"position": 7}}}})
    assert isinstance(progress, Progress)
    assert progress.positions["t"][1].position == 7
    assert not isinstance(check_event({"type": "query", "topic": 7}), Sample)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, "type is missing"),
        ({"type": "x" * 65}, "type must have at most 64 characters"),
        ({"type": "sample", "topic": "t", "partition": 0}, "offset is missing"),
        ({"type": "sample", "topic": "t", "partition": 0, "offset": 1, "schema_id": "s"}, "columns must be"),
        (
            {"type": "sample", "topic": "t", "partition": 0, "offset": 1, "threshold": "high"},
            "threshold must be a number",
        ),
        ({"type": "position", "positions": {"t": {"0": {"end": None}}}}, "positions.t.0.end must be an integer"),
        ({"type": "position", "positions": {"t": {"x": {"end": 1}}}}, "positions.t.x"),
        ({"type": "query", "value": float("inf")}, "value cannot be written as JSON"),
    ],
)
def test_a_malformed_event_is_refused_with_what_is_wrong(event: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecordError) as error:
        check_event(event)
    assert error.value.what.startswith(expected)


def test_a_dead_letter_names_its_record() -> None:
    with pytest.raises(RecordError, match="partition is missing"):
        check_dead_letter({"topic": "t", "offset": 1})
