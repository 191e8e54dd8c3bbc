"""What is masked, what is removed, and what passes: by values, by names, in every shape that a record may have."""

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
from fraudstream.transactions.cards import MOST_DIGITS, CardScan, is_card_number, masked_text
from fraudstream.transactions.masking import MOST_FIELDS, PAYLOAD_BYTES, DataMask
from fraudstream.transactions.sensitive_names import Sensitivity, sensitivity
from fraudstream.transactions.wire import Outcome

VISA = "4111111111111111"
OTHER = "5555555555554444"
TRACK = "29112010000012300000"


def stored(transaction: object, mask: DataMask | None = None) -> Any:
    record = (mask or DataMask()).record({"alert_id": "a", "transaction": transaction})
    assert (mask or DataMask()).record(record) == record, "masked twice it reads the same"
    return record["transaction"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (VISA, "411111******1111"),
        ("4111 1111 1111 1111", "4111 11** **** 1111"),
        ("4111-1111-1111-1111", "4111-11**-****-1111"),
        ("4111 - 1111 - 1111 - 1111", "4111 - 11** - **** - 1111"),
        ("4111\u00a01111\u00a01111\u00a01111", "4111\u00a011**\u00a0****\u00a01111"),
        ("4111.1111.1111.1111", "4111.11**.****.1111"),
        ("4111/1111/1111/1111", "4111/11**/****/1111"),
        ("4111_1111_1111_1111", "4111_11**_****_1111"),
        ("4111,1111,1111,1111", "4111,11**,****,1111"),
        ("3782.822463.10005", "3782.82****.*0005"),
        ("4111\u200b1111\u200c1111\u20601111", "4111\u200b11**\u200c****\u20601111"),
        ("4111\ufeff1111\u200d1111 1111", "4111\ufeff11**\u200d**** 1111"),
        ("４１１１１１１１１１１１１１１１", "４１１１１１******１１１１"),
        ("٤١١١١١١١١١١١١١١١", "٤١١١١١******١١١١"),
        ("378282246310005", "378282*****0005"),
        ("30569309025904", "305693****5904"),
        ("4222222222222", "422222***2222"),
        ("6011000990139424", "601100******9424"),
        ("3530111333300000", "353011******0000"),
        ("2223003122003222", "222300******3222"),
        ("4111111111111111.0", "411111******1111.0"),
        ("-4111111111111111", "-411111******1111"),
        ("4.111111111111111E15", "411111******1111"),
        ("4.111111111111111e+15", "411111******1111"),
        ("card 4111 1111 1111 1111 123 declined", "card 4111 11** **** 1111 123 declined"),
        ("visa4111111111111111", "visa411111******1111"),
        (f"{OTHER} {VISA}", "555555******4444 411111******1111"),
        (f"{OTHER}/{VISA}", "555555******4444/411111******1111"),
        (OTHER + VISA, "555555******4444411111******1111"),
        (OTHER + VISA + OTHER, "555555******4444411111******1111555555******4444"),
        (f"16{VISA}", "16411111******1111"),
        (f"000{VISA}", "000411111******1111"),
        (f"{VISA}000", "411111******1111000"),
        ("No.4111111111111111", "No.411111******1111"),
        (f"{VISA}={TRACK}", f"411111******1111={'*' * 20}"),
        (f"{VISA}D{TRACK}F", f"411111******1111{'*' * 22}"),
        (f";{VISA}d{TRACK}?", f";411111******1111{'*' * 21}?"),
        (f"37{VISA}D{TRACK}", f"37411111******1111{'*' * 21}"),
        (f"%B{VISA}^DOE/JOHN^{TRACK}?", f"%B411111******1111^***/****^{'*' * 20}?"),
    ],
)
def test_a_card_number_keeps_its_first_six_and_last_four_digits(text: str, masked: str) -> None:
    assert masked_text(text) == masked
    assert masked_text(masked) is masked
    assert stored({"x": text})["x"] == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # fails the check of Luhn
        "1111111111111117",  # no issuer begins so
        "0.4111111111111111",
        "-1.3598071336738",
        "411111111111",
        "41111111111111110000001",
        "4.111111111111111E-15",
        "2026-01-02T03:04:05.000000+00:00",
        "1764000000000000",  # a time in microseconds
        "1764000000000000000",  # in nanoseconds
        "deadbeef4111111111111111deadbeef",
        "0123456789abcdef0123456789abcdef",
        "41111111-1111-1111-1111-111111111111",
        "logistic-regression-0123456789ab",
        "1,234,567,890,123.45",
        "4,111,111,111,111,111",
        "411111.1111111111",
        "192.168.100.200:54321",
        "credit_card_transactions/0/123456789012",
    ],
)
def test_what_is_no_card_number_passes_as_it_is(text: str) -> None:
    assert masked_text(text) is text
    assert DataMask().text(text) is text


def test_numbers_and_lists_that_are_card_numbers_are_masked() -> None:
    original = {
        "whole": int(VISA),
        "negative": -int(VISA),
        "double": 4.111111111111111e15,
        "two": int(OTHER + VISA),
        "groups": ["4111", "1111", "1111", "1111"],
        "numbers": [4111, 1111, 1111, 1111],
        "prices": [4111, 1112, 1111, 1111],
        "amount": 4000000000005.0,
        "at": 1764000000000000,
        "ratio": 0.4111111111111111,
        "yes": True,
        "huge": 10**30,
        "none": None,
    }
    result = stored(original)
    masked = "411111******1111"
    assert [result[name] for name in ("whole", "negative", "double")] == [masked] * 3
    assert result["two"] == f"555555******4444{masked}"
    assert result["groups"] == ["4111", "11**", "****", "1111"]
    assert result["numbers"] == [4111, "11**", "****", 1111]
    rest = ("prices", "amount", "at", "ratio", "yes", "huge", "none")
    assert {name: result[name] for name in rest} == {name: original[name] for name in rest}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "cvv",
            "CVV2",
            "cvc",
            "cvc_2",
            "csc",
            "cardCVV",
            "enteredCVV",
            "card.cid",
            "security_code",
            "cardSecurityCode",
        ),
        *("Prüfziffer", "PRÜFZIFFER", "Kartenprüfnummer", "pruefziffer", "código de seguridad", "CodigoSeguridad"),
        *("código_de_segurança", "cryptogramme", "Cryptogramme visuel", "codice di sicurezza", "проверочный код"),
        *("Код_безопасности", "安全码", "セキュリティコード", "PIN", "pin", "card_pin", "customer.pin", "PIN-Block"),
        *("pinBlock", "PINBlock", "pin_block", "encrypted_pin_block", "pvv", "track1", "track2", "Track 2 Data"),
        *("TrackData", "track_2_equivalent_data", "iso8583.track2", "magstripe", "magStripeData", "magnetic_stripe"),
    ],
)
def test_verification_codes_pins_and_track_data_are_removed_and_named(name: str) -> None:
    record = {"alert_id": "a", "transaction": {"id": 1, name: "123", "deep": [{name: 123}]}, "detail": {name: "123"}}
    result = DataMask().record(record)
    assert result["transaction"] == {"id": 1, "deep": [{}]}
    assert result["detail"] == {}
    assert set(result["removed"]) == {name, f"deep.{name}", f"detail.{name}"}
    assert DataMask().record(result) == result
    assert DataMask().text(f'{{"{name}": "123", "{name}":123}}') == f'{{"{name}": "***", "{name}":***}}'


@pytest.mark.parametrize(
    "name",
    [
        *(
            "used_pin_number",
            "cvv_result",
            "cvv_match",
            "pin_tries",
            "has_pin",
            "pin_entry_mode",
            "shopping",
            "opinion",
        ),
        *("tracking_number", "track_id", "cid", "customer_cid", "code", "discount_code", "V1", "Amount", "Time", "zip"),
        *("days_to_expiry", "row_number", "span", "japan_share", "card", "card_count", "exp", "experience", "no", ""),
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert sensitivity(name) is None


@pytest.mark.parametrize("name", ["card_number", "cc_num", "pan", "Card Number", "customer.cardNo", "CreditCardNumber"])
def test_columns_of_cards_are_known_by_their_name(name: str) -> None:
    assert sensitivity(name) is Sensitivity.CARD
    assert stored({name: "60416207185"}) == {name: "*******7185"}


@pytest.mark.parametrize(
    "name",
    ["ssn", "customer.SSN", "social_security_number", "nationalId", "expiry", "exp_date", "expMonth", "Ablaufdatum"],
)
def test_national_ids_and_expiry_dates_are_masked_whole(name: str) -> None:
    assert stored({name: "078-05/29", "x": {name: 1129}}) == {name: "***-**/**", "x": {name: "****"}}


def test_names_that_mean_much_beside_a_card_number_mean_little_elsewhere() -> None:
    assert stored({"card_number": VISA, "cid": "1234", "exp": "11/29"}) == {
        "card_number": "411111******1111",
        "exp": "**/**",
    }
    assert stored({"cid": "1234", "exp": 11}) == {"cid": "1234", "exp": 11}


def test_a_declared_column_is_masked_whatever_it_holds_and_however_deep() -> None:
    row: dict[str, Any] = {
        "token": "tok_abcdefghijkl",
        "payer": {"account": 12345678901, "name": "A"},
        "account": 12345678901,
        "other": [{"TOKEN": None}, {"token": True}, {"token": ["12345"]}],
        "text": '{"token": "tok_abcdefghijkl"}',
    }
    assert stored(row, DataMask(["Token", "payer.account"])) == {
        "token": "tok_abc*****ijkl",
        "payer": {"account": "*******8901", "name": "A"},
        "account": 12345678901,
        "other": [{"TOKEN": None}, {"token": True}, {"token": ["*****"]}],
        "text": '{"token": "tok_abc*****ijkl"}',
    }


def test_places_and_times_of_a_record_pass_and_those_in_a_transaction_do_not() -> None:
    number = int(VISA)
    alert = {"seq": number, "offset": number, "received_us": number, "positions": {"t": {"0": {"end": number}}}}
    assert DataMask().record(alert) == alert
    assert stored({"offset": number}) == {"offset": "411111******1111"}
    types = {"type": "sample", "columns": {"cvv": "number", VISA: "text"}, "values": {"cvv": 1, "V1": 2}}
    assert DataMask().record(types) == {
        "type": "sample",
        "columns": {"cvv": "number", "411111******1111": "text"},
        "values": {"V1": 2},
        "removed": ["cvv"],
    }


def test_two_ids_that_read_alike_when_masked_stay_two() -> None:
    one = DataMask().record({"alert_id": VISA, "transaction": {"x": 1}})
    two = DataMask().record({"alert_id": VISA, "transaction": {"x": 2}})
    assert one["alert_id"].startswith("411111******1111~")
    assert one["alert_id"] != two["alert_id"]
    assert DataMask().record({"alert_id": VISA, "transaction": {"x": 1}}) == one
    assert DataMask().record(one) == one


def test_keys_headers_and_payloads_of_dead_letters_are_masked() -> None:
    payload = f'[{{"cvv": "123", "pin":1234, "note": "{VISA}", "expiry":"11/29"'.encode()
    dead_letter = {
        "topic": "t",
        "partition": 0,
        "offset": 1,
        "key": f"card {VISA}",
        "headers": {"pan": VISA, "cvv": "123", "event_id": VISA, VISA: "x"},
        "event_id": VISA,
        "reason": f"no object: cvv=123 of {VISA}",
        "payload_base64": base64.b64encode(payload).decode(),
    }
    result = DataMask().record(dead_letter)
    assert result["key"] == "card 411111******1111"
    masked = "411111******1111"
    assert result["headers"] == {"pan": masked, "event_id": masked, masked: "x"}
    assert result["event_id"] == masked
    assert result["reason"] == f"no object: cvv=*** of {masked}"
    assert result["removed"] == ["headers.cvv"]
    assert base64.b64decode(result["payload_base64"]) == (
        f'[{{"cvv": "***", "pin":****, "note": "{masked}", "expiry":"**/**"'.encode()
    )
    assert DataMask().record(result) == result


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("<cvv>123</cvv><x>1</x>", "<cvv>***</cvv><x>1</x>"),
        ("cvv=123&x=1", "cvv=***&x=1"),
        ("the PIN: 1234, and the ssn 078-05-1120", "the PIN: ****, and the ssn ***-**-****"),
        ("she read out cvv 123 to him", "she read out cvv *** to him"),
        ('{"cvv":"1\\"23","n":1}', '{"cvv":"*\\"**","n":1}'),
        ('"{\\"cvv\\":\\"123\\"}"', '"{\\"cvv\\":\\"***\\"}"'),
        ('{"cvv": null, "pin": true}', '{"cvv": null, "pin": true}'),
        ("código de seguridad: 123", "código de seguridad: ***"),
        ("shopping: 123, opinion=4", "shopping: 123, opinion=4"),
    ],
)
def test_values_behind_names_in_a_text_are_masked(text: str, masked: str) -> None:
    assert DataMask().text(text) == masked
    assert DataMask().text(masked) == masked


def test_of_an_avro_payload_only_the_id_of_its_schema_is_stored() -> None:
    encoded = base64.b64encode(b"\0\0\0\0\7" + b"\x06737" + VISA.encode()).decode()
    assert base64.b64decode(DataMask().record({"payload_base64": encoded})["payload_base64"]) == b"\0\0\0\0\7"


def test_a_payload_keeps_its_length_and_what_is_no_text_in_it() -> None:
    for payload in (
        b"\xff\xfe 4111111111111111",
        VISA.encode("utf-16"),
        "4111\u00a01111\u00a01111\u00a01111 \u20ac".encode(),
    ):
        encoded = base64.b64encode(payload).decode()
        result = base64.b64decode(DataMask().record({"payload_base64": encoded})["payload_base64"])
        assert len(result) == len(payload)
        assert b"*" in result
    long = base64.b64encode(VISA.encode() * 10_000).decode()
    assert len(base64.b64decode(DataMask().record({"payload_base64": long})["payload_base64"])) == PAYLOAD_BYTES
    assert DataMask().record({"payload_base64": f"no base64: {VISA}"}) == {
        "payload_base64": "no base64: 411111******1111"
    }


@given(st.from_regex(r"4[0-9]{14}", fullmatch=True), st.sampled_from([" ", "-", "", ".", "/"]), st.text(max_size=5))
def test_every_visa_number_is_found_in_a_text_and_in_json(digits: str, separator: str, around: str) -> None:
    number = next(f"{digits}{last}" for last in range(10) if is_card_number(f"{digits}{last}"))
    grouped = separator.join(number[at : at + 4] for at in range(0, 16, 4))
    text = f"{around}|{grouped}|{around}"
    assert grouped not in masked_text(text)
    assert number not in orjson.dumps(stored({"note": text, "n": int(number)})).decode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_fraction_is_taken_for_a_card(value: float) -> None:
    if not 1e12 <= abs(value) < 1e19:
        assert stored({"V1": value}) == {"V1": value}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from([VISA, f"cvv: {VISA}"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(max_size=6) | st.sampled_from(["cvv", "pan", "ssn", "removed", "exp"]), inner, max_size=4
            )
        ),
        max_leaves=20,
    )
)
def test_any_record_is_masked_without_an_error_and_the_same_twice(record: Any) -> None:
    once = DataMask().record(record)
    assert repr(DataMask().record(once)) == repr(once)
    assert VISA not in repr(once)


def test_a_record_nested_thousands_deep_is_masked_to_its_bottom() -> None:
    nested: Any = {"cvv": "123", "card": VISA, "lone": "\ud800"}
    for _ in range(5_000):
        nested = {"x": [nested]}
    result = DataMask().record({"transaction": nested})
    bottom = result["transaction"]
    for _ in range(5_000):
        bottom = bottom["x"][0]
    assert bottom == {"card": "411111******1111", "lone": "\ud800"}


def test_whatever_an_integer_is_it_is_masked_or_passes() -> None:
    huge = 10**5_000
    assert stored({"x": huge}) == {"x": huge}
    assert DataMask().record({"transaction": {"pan": huge}})["transaction"]["pan"] == "*"


def test_a_long_text_of_digits_is_masked_whole_behind_the_limit() -> None:
    text = f"{VISA} x " + "4-" * MOST_DIGITS + f" x {VISA} x"
    result = masked_text(text)
    assert result.startswith("411111******1111 x ")
    assert result.endswith(f" x {'*' * 16} x")
    assert not any(char.isdigit() for char in result[19:])
    fields = 'cvv: "1", ' * (MOST_FIELDS + 1)
    assert "1" not in DataMask().text(fields + "behind 1")


def test_the_digits_looked_into_do_not_grow_beyond_the_limit() -> None:
    for size in (1_000, 100_000, 1_000_000):
        scan = CardScan()
        scan.masked("4-" * 200 + "x")
        scan.masked("4-" * (size // 2))
        assert scan.inspected <= MOST_DIGITS + size


def test_logs_mask_cards_of_both_kinds_of_logger() -> None:
    out = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level, structlog.get_config()
    try:
        logs.set_up("INFO", out, card_columns=["secret"])
        log = structlog.get_logger("cards")
        log.info(
            "read 4111 1111 1111 1111", value=int(VISA), row={"secret": "abc", "cvv": 1}, offset=int(VISA), pan="12345"
        )
        try:
            raise ValueError(VISA)
        except ValueError:
            log.exception("failed", error=ValueError(VISA))
        logging.getLogger("other").warning("also %s", VISA)
    finally:
        logging.getLogger().handlers[:], level, config = before
        logging.getLogger().setLevel(level)
        structlog.configure(**config)
    output = out.getvalue()
    lines = [orjson.loads(line) for line in output.splitlines()]
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


@pytest.mark.parametrize(
    "value",
    [
        {0: 12, 1: 7},
        {"until": {0: 5}, "places": [{0: 1}, (1, 2)]},
        [Path("a"), Outcome.ALERT, None, float("nan"), float("inf"), b"bytes", {1, 2}],
        ("t", 0, {None: 1.5, 2.5: "x"}),
    ],
)
def test_every_value_is_logged_and_nothing_fails(value: object) -> None:
    output = io.StringIO()
    logs.set_up(stream=output)
    structlog.get_logger("odd").warning("told", value=value, card_number={0: VISA})
    assert json.loads(output.getvalue())["event"] == "told"
    assert VISA not in output.getvalue()


def test_columns_are_declared_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_CARD_COLUMNS", "token, payer.account ,")
    assert Settings.load().card_columns == ("token", "payer.account")
    assert Settings.load(card_columns=["a,b"]).card_columns == ("a,b",)
