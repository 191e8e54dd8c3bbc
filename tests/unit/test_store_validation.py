"""What the alert store takes and what it refuses, and with which reason."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import alert
from fraudstream.errors import RecordError
from fraudstream.messages.posted import check_alert, digest
from fraudstream.times import microseconds


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alert_id": ""}, "alert_id"),
        ({"alert_id": "x" * 201}, "alert_id"),
        ({"alert_id": 7}, "alert_id"),
        ({"outcome": "clear"}, "outcome"),
        ({"outcome": []}, "outcome"),
        ({"transaction": "text"}, "transaction"),
        ({"transaction": None}, "transaction"),
        ({"score": None}, "score"),
        ({"score": True}, "score"),
        ({"score": "0.9"}, "score"),
        ({"score": math.nan}, "score"),
        ({"as_text": "V1"}, "as_text"),
        ({"threshold": "high"}, "threshold"),
        ({"produced_at": "yesterday"}, "produced_at"),
        ({"produced_at": 1767323046}, "produced_at"),
        ({"detected_at": "2026-13-01"}, "detected_at"),
        ({"partition": 1.5}, "partition"),
        ({"offset": True}, "offset"),
        ({"offset": 2**60}, "offset"),
        ({"revision": "1"}, "revision"),
        ({"source_row": "1"}, "source_row"),
        ({"imputed": "V1"}, "imputed"),
        ({"imputed": [1]}, "imputed"),
        ({"model_id": 1}, "model_id"),
        ({"reason": {}}, "reason"),
    ],
)
def test_an_alert_that_cannot_be_stored_is_refused_with_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        check_alert(alert(1, **changes))


def test_an_alert_needs_no_more_than_an_id_a_score_and_a_transaction() -> None:
    checked = check_alert({"alert_id": "a", "score": 1, "transaction": {}})
    assert (checked.outcome, checked.score, checked.produced_us) == ("alert", 1.0, None)


def test_an_unscorable_transaction_needs_no_score() -> None:
    assert check_alert(alert(1, outcome="unscorable", score=None)).score is None


def test_a_time_without_a_zone_is_read_as_utc() -> None:
    naive = datetime.fromisoformat("1970-01-02T00:00:00.000001")
    assert microseconds(naive) == microseconds(naive.replace(tzinfo=UTC)) == 86_400_000_001


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_any_transaction_of_json_is_taken_as_it_is(transaction: dict[str, Any]) -> None:
    sent = orjson.loads(orjson.dumps(transaction))
    checked = check_alert(alert(1, transaction=sent))
    assert orjson.loads(orjson.dumps(checked.document))["transaction"] == sent
    assert list(checked.transaction) == list(sent)
    assert checked.digest == digest(dict(reversed(list(sent.items()))))
