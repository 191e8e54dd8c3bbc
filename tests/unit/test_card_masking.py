"""What is taken for a card number, and how it reads masked."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from fraudstream import logs
from fraudstream.config import Settings
from fraudstream.transactions.cards import is_card_column, is_card_number, masked_text
from fraudstream.transactions.masking import CardMask
from fraudstream.transactions.wire import Outcome

VISA = "4111111111111111"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4111111111111111", "411111******1111"),
        ("4111 1111 1111 1111", "4111 11** **** 1111"),
        ("4111-1111-1111-1111", "4111-11**-****-1111"),
        ("4111 - 1111 - 1111 - 1111", "4111 - 11** - **** - 1111"),
        ("4111\u00a01111\u00a01111\u00a01111", "4111\u00a011**\u00a0****\u00a01111"),
        ("378282246310005", "378282*****0005"),
        ("30569309025904", "305693****5904"),
        ("4222222222222", "422222***2222"),
        ("6011000990139424", "601100******9424"),
        ("3530111333300000", "353011******0000"),
        ("2223003122003222", "222300******3222"),
        ("4111111111111111.0", "411111******1111.0"),
        ("card 4111 1111 1111 1111 123 declined", "card 4111 11** **** 1111 123 declined"),
        ("visa4111111111111111", "visa411111******1111"),
        ("5555555555554444 4111111111111111", "555555******4444 411111******1111"),
        ("No.4111111111111111", "No.411111******1111"),
    ],
)
def test_a_card_number_keeps_its_first_six_and_last_four_digits(text: str, shown: str) -> None:
    assert masked_text(text) == shown
    told = orjson.loads(CardMask().json(orjson.dumps({"transaction": {"x": text}})))
    assert told["transaction"]["x"] == shown


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # fails the check of Luhn
        "1111111111111117",  # no issuer begins so
        "0.4111111111111111",
        "-1.3598071336738",
        "411111111111",
        "41111111111111110000000",
        "2026-01-02T03:04:05.000000+00:00",
        "1764000000000000",  # a time in microseconds
        "deadbeef4111111111111111deadbeef",
        "0123456789abcdef0123456789abcdef",
        "41111111-1111-1111-1111-111111111111",
        "logistic-regression-0123456789ab",
    ],
)
def test_what_is_no_card_number_passes_as_it_is(text: str) -> None:
    assert masked_text(text) is text


@pytest.mark.parametrize("name", ["card_number", "cc_num", "pan", "Card Number", "customer.cardNo", "CreditCardNumber"])
def test_columns_of_cards_are_known_by_their_name(name: str) -> None:
    assert is_card_column(name)


@pytest.mark.parametrize("name", ["card", "row_number", "span", "V1", "japan_share", "no", "Amount", "card_count", ""])
def test_other_columns_are_not(name: str) -> None:
    assert not is_card_column(name)


def test_a_declared_column_is_masked_whatever_it_holds_and_however_deep() -> None:
    mask = CardMask(["Token", "payer.account"])
    row: dict[str, Any] = {
        "token": "tok_abcdefghijkl",
        "payer": {"account": 12345678901, "name": "A"},
        "account": 12345678901,
        "other": [{"TOKEN": None}, {"token": True}, {"token": ["12345"]}],
        "pan": 4111111111111111.0,
    }
    shown = mask.document({"transaction": row})["transaction"]
    assert shown == {
        "token": "tok_abc*****ijkl",
        "payer": {"account": "*******8901", "name": "A"},
        "account": 12345678901,
        "other": [{"TOKEN": None}, {"token": True}, {"token": ["*****"]}],
        "pan": "411111******1111",
    }


def test_ids_places_and_times_of_an_alert_pass_as_they_are() -> None:
    number = int(VISA)
    alert = {"seq": number, "alert_id": VISA, "offset": number, "received_us": number, "schema_id": VISA}
    assert CardMask().document(alert) == alert
    assert CardMask().document({"transaction": alert})["transaction"] == dict.fromkeys(alert, "411111******1111")


def test_a_payload_keeps_its_length_and_its_kind() -> None:
    mask = CardMask(["secret"])
    for payload in (
        b'{"cc_num": "60416207185", "x": 4111111111111111, "secret": 123',
        b"\xff\xfe 4111111111111111",
        "4111111111111111".encode("utf-16"),
        "4111\u00a01111\u00a01111\u00a01111 \u20ac".encode(),
    ):
        shown = mask.payload(payload)
        assert len(shown) == len(payload)
        assert b"*" in shown
        encoded = base64.b64encode(payload).decode()
        assert base64.b64decode(mask.document({"payload_base64": encoded})["payload_base64"]) == shown


def test_an_alert_without_a_card_leaves_as_the_very_bytes_that_are_stored() -> None:
    body = orjson.dumps({"seq": 1, "topic": "credit_card_transactions", "transaction": {"V1": -1.3598071336738}})
    assert CardMask().json(body) is body


def test_a_reason_tells_no_value_of_a_column_of_cards() -> None:
    reason = {"feature": "cc_num", "value": 4444444444445.0, "typical": 12, "text": "cc_num is 4444444444445 here"}
    shown = CardMask().document({"reasons": [reason]})["reasons"][0]
    assert shown == reason | {"value": "444444***4445", "typical": "**", "text": "cc_num is 444444***4445 here"}


@given(st.from_regex(r"4[0-9]{14}", fullmatch=True), st.sampled_from([" ", "-", ""]), st.text(max_size=5))
def test_every_visa_number_is_found_in_a_text_and_in_json(digits: str, separator: str, around: str) -> None:
    number = next(f"{digits}{last}" for last in range(10) if is_card_number(f"{digits}{last}"))
    grouped = separator.join(number[at : at + 4] for at in range(0, 16, 4))
    text = f"{around}/{grouped}/{around}"
    assert grouped not in masked_text(text)
    body = orjson.dumps({"transaction": {"note": text, "n": int(number)}})
    assert number not in CardMask().json(body).decode().replace(" ", "").replace("-", "")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_fraction_is_taken_for_a_card(value: float) -> None:
    if not 1e12 <= abs(value) < 1e19:
        body = orjson.dumps({"transaction": {"V1": value}})
        assert orjson.loads(CardMask().json(body)) == orjson.loads(body)


def test_logs_mask_cards_of_both_kinds_of_logger() -> None:
    out = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level, structlog.get_config()
    try:
        logs.set_up("INFO", out, card_columns=["secret"])
        log = structlog.get_logger("cards")
        log.info("read 4111 1111 1111 1111", value=int(VISA), row={"secret": "abc"}, offset=int(VISA), pan="12345")
        try:
            raise ValueError(VISA)
        except ValueError:
            log.exception("failed", error=ValueError(VISA))
        logging.getLogger("other").warning("also %s", VISA)
    finally:
        logging.getLogger().handlers[:], level, config = before
        logging.getLogger().setLevel(level)
        structlog.configure(**config)
    said = out.getvalue()
    lines = [orjson.loads(line) for line in said.splitlines()]
    assert lines[0] | {"timestamp": 0} == {
        "event": "read 4111 11** **** 1111",
        "level": "info",
        "offset": int(VISA),
        "pan": "*****",
        "row": {"secret": "***"},
        "timestamp": 0,
        "value": "411111******1111",
    }
    assert VISA not in "".join(str(line | {"offset": 0}) for line in lines)
    assert lines[2]["event"] == "also 411111******1111"


def test_columns_are_declared_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_CARD_COLUMNS", "token, payer.account ,")
    assert Settings.load().card_columns == ("token", "payer.account")
    assert Settings.load(card_columns=["a,b"]).card_columns == ("a,b",)


def test_a_hash_hides_no_card_and_digits_alone_are_no_hash() -> None:
    assert masked_text("a4111111111111111bcdef0123") == "a4111111111111111bcdef0123"
    assert "4111111111111111" not in masked_text("4111 1111 1111 1111 " + "7" * 40)


def test_a_long_run_of_digits_is_looked_through_once() -> None:
    # With a look ahead from each digit this took most of a minute.
    text = "4" * 100_000
    assert len(masked_text(text)) == len(text)


@pytest.mark.parametrize(
    "value",
    [
        {0: 12, 1: 7},
        {"until": {0: 5}, "places": [{0: 1}, (1, 2)]},
        [Path("a"), Outcome.ALERT, None, float("nan"), float("inf"), b"bytes", {1, 2}],
        ("t", 0, {None: 1.5, 2.5: "x"}),
    ],
)
def test_whatever_is_logged_is_told_and_nothing_fails(value: object) -> None:
    written = io.StringIO()
    logs.set_up(stream=written)
    structlog.get_logger("odd").warning("told", value=value, card_number={0: "4111111111111111"})
    line = json.loads(written.getvalue())
    assert line["event"] == "told"
    assert VISA not in written.getvalue()


def test_what_is_masked_already_stays_as_it_is() -> None:
    mask = CardMask(["token"])
    grouped = "4111 1111 1111 1111"
    document = {
        "transaction": {"a": grouped, "token": grouped, "pan": VISA, "cc_num": "60416207185", "x": {"token": ["1"]}},
        "reasons": [
            {"feature": "cc_num", "value": float(VISA), "text": f"cc_num is {VISA} here"},
            {"feature": "token", "value": "604162071850", "text": "token is 604162071850 here"},
        ],
        "payload_text": f'{{"pan": {VISA}, "cc_num": 60416207185, "token": "{grouped}", "x',
        "payload_base64": base64.b64encode(f'{{"pan": {VISA}, "cc_num": 6041620'.encode()).decode(),
    }  # fmt: skip
    once = mask.document(document)
    assert once["transaction"]["a"] == once["transaction"]["token"] == "4111 11** **** 1111"
    assert once["reasons"][0]["text"] == "cc_num is 411111******1111 here"
    assert mask.document(once) == once
    assert mask.document(mask.document(once)) == once


def test_a_value_with_a_mask_of_its_own_is_masked_still() -> None:
    assert CardMask(["token"]).document({"transaction": {"token": "tok*0123456789secret"}}) == {
        "transaction": {"token": "tok*01**********cret"}
    }
