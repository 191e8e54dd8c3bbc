"""Dead letters and unscorable rows over the API: filtered, in pages, as files, and asked to be sent again."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from dashboards import Clock, alert, json_of
from dead_letters import INPUT, dead_letter
from fraudstream.dashboard.views.dead_letters import PREVIEW_BYTES, dead_letter_row
from fraudstream.store.dead_letters import StoredDeadLetter
from fraudstream.transactions.wire import Outcome, RecordId

WHO = {"who": "Ada", "why": "mended"}


def unscorable(number: int, **changes: Any) -> dict[str, Any]:
    return alert(number, outcome="unscorable", score=None, reason="2 of 3 features missing", **changes)


def offsets(client: FlaskClient, query: str) -> list[int]:
    """All that match, by pages of two."""
    numbers: list[int] = []
    cursor = ""
    while True:
        page = json_of(client.get(f"/api/dead-letters?limit=2&{query}&cursor={cursor}"))
        numbers += [each["offset"] for each in page["dead_letters"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return numbers


def test_both_kinds_come_newest_first_in_pages_that_leave_none_out(client: FlaskClient, clock: Clock) -> None:
    for number in range(9):
        clock.forward(1)
        if number % 3:
            client.post("/api/dead-letters", json=[dead_letter(number)])
        else:
            client.post("/api/alerts", json=[unscorable(number), alert(100 + number)])
    assert offsets(client, "kind=all") == list(range(8, -1, -1))
    assert offsets(client, "kind=unscorable") == [6, 3, 0]
    assert offsets(client, "") == [8, 7, 5, 4, 2, 1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reason=NOT a json", [3, 2]),
        ("reason=features", [1]),
        ("reason=%25", []),
        ("since=2026-01-02T03:03:05Z", [4, 3, 1]),
        ("until=2026-01-02T03:03:05Z", [2]),
        ("since=2026-01-02T03:02:05.000Z&until=2026-01-02T03:02:05.001Z", [2]),
        ("partition=7", [4]),
        ("topic=other", [4]),
        ("offset=3&partition=0&topic=" + INPUT, [3]),
        ("replayed=yes", [2]),
        ("replayed=no", [4, 3, 1]),
        ("reason=&since=&offset=", [4, 3, 2, 1]),
    ],
)
def test_each_filter_narrows(client: FlaskClient, query: str, expected: list[int]) -> None:
    client.post("/api/alerts", json=[unscorable(1)])
    client.post(
        "/api/dead-letters",
        json=[dead_letter(2), dead_letter(3), dead_letter(4, topic="other", partition=7, reason="empty")],
    )
    client.post("/api/replays", json=WHO | {"places": [f"{INPUT}/0/2"]})
    assert sorted(offsets(client, "kind=all&" + query), reverse=True) == expected


@pytest.mark.parametrize("query", ["kind=x", "since=x", "partition=-1", "offset=x", "replayed=maybe", "cursor=7"])
def test_a_filter_that_makes_no_sense_is_said_so(client: FlaskClient, query: str) -> None:
    for route in ("/api/dead-letters", "/rejected"):
        assert client.get(f"{route}?{query}").status_code == 400


HOSTILE = [b'=cmd|"/c calc"!A1', b"+1+1", b"\xff\xfe\x00", b"", 'ä\n"'.encode(), None]


def test_downloads_hold_every_byte_and_no_cell_that_a_spreadsheet_runs(client: FlaskClient) -> None:
    client.post("/api/dead-letters", json=[dead_letter(n, payload, key="@key") for n, payload in enumerate(HOSTILE)])
    client.post("/api/alerts", json=[unscorable(10, transaction={"V1": 1})])
    lines = client.get("/api/dead-letters.jsonl?kind=all").data.splitlines()
    by_offset = {line["offset"]: line for line in map(orjson.loads, lines)}
    assert orjson.loads(base64.b64decode(by_offset[10]["payload_base64"])) == {"V1": 1}
    rows = list(csv.DictReader(io.StringIO(client.get("/api/dead-letters.csv?kind=all").text, newline="")))
    assert len(rows) == len(lines) == 7
    for row in rows:
        line = by_offset[int(row["offset"])]
        encoded = row["payload_base64"].removeprefix("'")
        if int(row["offset"]) < len(HOSTILE):
            payload = HOSTILE[int(row["offset"])]
            assert (line["payload_base64"] is None) == (payload is None)
            assert base64.b64decode(line["payload_base64"] or "") == base64.b64decode(encoded) == (payload or b"")
            assert row["key"] == "'@key"
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
    filtered = client.get("/api/dead-letters.csv?kind=unscorable")
    assert filtered.headers["Content-Disposition"] == 'attachment; filename="dead_letters.csv"'
    assert len(filtered.text.splitlines()) == 2


@given(payload=st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_bytes_are_shown_as_text_where_they_are_printable_else_in_hexadecimal(payload: bytes) -> None:
    one = dead_letter_row(StoredDeadLetter(1, Outcome.DEAD_LETTER, 0, dead_letter(1, payload)), [])
    if one.is_hex:
        assert bytes.fromhex(one.payload.replace("\n", " ")) == payload
    else:
        assert one.payload.encode() == payload
        assert all(char.isprintable() or char in "\t\r\n" for char in one.payload)


def test_a_long_payload_is_cut_between_characters_and_says_so() -> None:
    for shift in range(4):
        payload = b"x" * shift + "😀".encode() * 2000
        one = dead_letter_row(StoredDeadLetter(1, Outcome.DEAD_LETTER, 0, dead_letter(1, payload)), [])
        assert not one.is_hex
        assert PREVIEW_BYTES - 4 < len(one.payload.encode()) <= PREVIEW_BYTES
        assert f"of {len(payload):,} bytes" in one.cut


def test_a_second_replay_has_to_be_asked_for(client: FlaskClient) -> None:
    client.post("/api/dead-letters", json=[dead_letter(1), dead_letter(2)])
    place = f"{INPUT}/0/1"
    assert json_of(client.post("/api/replays", json=WHO | {"places": [place]}))["letters"] == 1
    answer = client.post("/api/replays", json=WHO | {"filter": "kind=all"})
    assert answer.status_code == 409
    assert (json_of(answer)["letters"], json_of(answer)["replayed"]) == (2, 1)
    assert json_of(client.get("/api/replays"))["counts"]["requested"] == 1
    assert client.post("/api/replays", json=WHO | {"filter": "kind=all", "again": True}).status_code == 200
    document = json_of(client.get(f"/api/replays?place={place}"))
    assert [each["origin"] for each in document["replays"]] == [place, place]
    assert document["counts"]["requested"] == 3


def test_of_many_only_those_that_were_replayed_before_are_counted(client: FlaskClient) -> None:
    many = 1_200
    client.post("/api/dead-letters", json=[dead_letter(n) for n in range(many)])
    places = [f"{INPUT}/0/{n}" for n in range(0, many, 3)]
    for _ in range(2):
        client.post("/api/replays", json=WHO | {"places": places, "again": True})
    answer = json_of(client.post("/api/replays", json=WHO | {"filter": "", "dry_run": True}))
    assert (answer["letters"], answer["replayed"]) == (many, len(places))
    answer = json_of(client.post("/api/replays", json=WHO | {"places": [f"{INPUT}/0/1"], "dry_run": True}))
    assert (answer["letters"], answer["replayed"]) == (1, 0)


def test_a_replay_that_failed_may_be_asked_for_again(client: FlaskClient) -> None:
    client.post("/api/dead-letters", json=[dead_letter(1)])
    body = WHO | {"places": [f"{INPUT}/0/1"]}
    client.post("/api/replays", json=body)
    (claimed,) = json_of(client.post("/api/replays/claim", json={"limit": 5}))["replays"]
    results = {"results": [{"replay_id": claimed["replay_id"], "reason": "gone"}]}
    assert json_of(client.post("/api/replays/results", json=results)) == {"recorded": 1}
    assert json_of(client.post("/api/replays/results", json=results)) == {"recorded": 0}
    assert json_of(client.get("/api/replays?state=failed"))["replays"][0]["reason"] == "gone"
    assert client.post("/api/replays", json=body).status_code == 200


def test_a_replay_without_a_result_is_given_again_and_one_with_a_result_is_not(
    client: FlaskClient, clock: Clock
) -> None:
    client.post("/api/dead-letters", json=[dead_letter(n) for n in range(3)])
    assert json_of(client.post("/api/replays", json=WHO | {"filter": ""}))["letters"] == 3

    def claimed() -> dict[str, str]:
        waiting = json_of(client.post("/api/replays/claim", json={"limit": 0}))["waiting"]
        replays = json_of(client.post("/api/replays/claim", json={"limit": 2}))["replays"]
        assert len(replays) == min(waiting, 2)
        return {each["origin"]: each["replay_id"] for each in replays}

    first = claimed()
    assert list(first) == [f"{INPUT}/0/0", f"{INPUT}/0/1"]
    assert list(claimed()) == [f"{INPUT}/0/2"]
    assert claimed() == {}
    sent = [{"replay_id": first[f"{INPUT}/0/0"], "place": f"{INPUT}/0/9"}]
    assert json_of(client.post("/api/replays/results", json={"results": sent})) == {"recorded": 1}
    clock.forward(31)
    again = claimed()
    assert list(again) == [f"{INPUT}/0/1", f"{INPUT}/0/2"]
    assert again[f"{INPUT}/0/1"] == first[f"{INPUT}/0/1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"places": [f"{INPUT}/0/9"]}, 404),
        ({"places": ["no place"]}, 400),
        ({"places": []}, 400),
        ({"places": [f"{INPUT}/0/1"], "filter": ""}, 400),
        ({}, 400),
        ({"filter": "kind=x"}, 400),
        ({"filter": "", "payload_base64": "e30="}, 400),
        ({"places": [f"{INPUT}/0/1"], "payload_base64": "?"}, 400),
        ({"filter": "", "who": ""}, 400),
        ({"filter": "", "why": 7}, 400),
    ],
)
def test_a_request_that_makes_no_sense_records_nothing(client: FlaskClient, body: dict[str, Any], status: int) -> None:
    client.post("/api/dead-letters", json=[dead_letter(1)])
    answer = client.post("/api/replays", json=WHO | body)
    assert (answer.status_code, "error" in json_of(answer)) == (status, True)
    assert json_of(client.get("/api/replays"))["replays"] == []


def test_a_dry_run_only_counts(client: FlaskClient) -> None:
    client.post("/api/dead-letters", json=[dead_letter(1)])
    assert json_of(client.post("/api/replays", json=WHO | {"filter": "", "dry_run": True}))["letters"] == 1
    assert json_of(client.get("/api/replays"))["replays"] == []


def test_an_origin_is_read_as_it_is_written() -> None:
    assert str(RecordId.parse("a/b/3/45")) == "a/b/3/45"
    for text in ("a/b", "a/b/-3/45", "a/b/3/" + "9" * 19, "a/b/\N{ARABIC-INDIC DIGIT ONE}/4"):
        with pytest.raises(ValueError, match="is not topic/partition/offset"):
            RecordId.parse(text)


def test_the_page_says_what_to_do_while_there_is_nothing(client: FlaskClient) -> None:
    assert "Fix the cause" in client.get("/rejected").text
    client.post("/api/dead-letters", json=[dead_letter(1)])
    assert "No matches" in client.get("/rejected?offset=9").text
