"""How values, an alert and a column read on a page as first served."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from fraudstream.store.triage_state import AlertStatus
from fraudstream.times import parse_time
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.wire import AlertField, DeadLetterField

NOTHING: Final = "–"
ID_CHARS: Final = 14
PREVIEW_CHARS: Final = 160

_MODEL_ID: Final = re.compile(r"(?P<algorithm>[a-z]+(-[a-z]+)*)-(?P<digits>[0-9a-f]{12})")


def number(value: float) -> str:
    """A raw value in few characters: 1,234 or -6.77 or 1.23e-5; the whole of it is in the row's details."""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def short_id(identifier: str) -> str:
    """A long id in 14 characters; a model's as the initials of its algorithm and the beginning of its digits."""
    found = _MODEL_ID.fullmatch(identifier)
    if found is None or len(identifier) <= ID_CHARS:
        return shortened(identifier, ID_CHARS)
    words = found["algorithm"].split("-")
    algorithm = words[0] if len(words) == 1 else "".join(word[0] for word in words)
    return f"{algorithm}-{found['digits'][:8]}"


def payload_preview(letter: Mapping[str, Any]) -> str:
    """The beginning of a dead letter's bytes, as text where they are text."""
    payload = letter.get(DeadLetterField.PAYLOAD)
    if not isinstance(payload, str):
        return "no payload"
    try:
        raw = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return "not base64"
    return shortened(raw[: PREVIEW_CHARS * 4].decode("utf-8", "backslashreplace"), PREVIEW_CHARS) or "empty"


def clock_time(at: str) -> str:
    """A time of day, as it reads before the page's script puts it into the viewer's zone."""
    try:
        return f"{parse_time(at).astimezone(UTC):%H:%M:%S} UTC"
    except ValueError:
        return at or NOTHING


def compact(value: float) -> str:
    """A number of things in so few characters that it fits beside an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.3g} M"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def rate(value: float) -> str:
    """So many a second."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def milliseconds(value: float | None) -> str:
    """A duration, in the unit that keeps it short."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def shortened(text: str, chars: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


SHOWN_VALUES: Final = 3
TEXT_CHARS: Final = 40
REASON_CHARS: Final = 18

_NOT_TELLING = re.compile(r"^(time|class|label|fraud|is_?fraud|.*_?id|.*amount|.*amt)$", re.IGNORECASE)
"""Columns that tell nothing by their size: the clock, the label, identifiers, and the amount (shown elsewhere)."""


class ShownValue(NamedTuple):
    """One of the transaction's own values."""

    name: str
    text: str


class ShownReason(NamedTuple):
    """One of an alert's reasons: a value, and how much it speaks for or against fraud beside the others."""

    name: str
    value: str
    text: str
    width: str
    is_for: bool


class ShownWork(NamedTuple):
    """What people made of an alert."""

    status: str
    assignee: str
    version: int | None
    text: str
    by: str


class ShownRow(NamedTuple):
    """A row of the table of alerts."""

    seq: int | None
    alert_id: str
    at: str
    at_text: str
    score: float | None
    score_text: str
    tick: str
    amount: str
    values: list[ShownValue]
    reason: str
    source_row: str
    seen: str
    model: str
    model_id: str
    reasons: list[ShownReason]
    work: ShownWork
    page: str


BLANK_ROW: Final = ShownRow(
    None, "", "", "", None, "", "0", "", [], "", "", "", "", "", [], ShownWork("", "", None, "", ""), ""
)
"""What the template for rows that JavaScript adds is made of."""


def row(alert: Mapping[str, Any], stats: Mapping[str, Any]) -> ShownRow:
    """One alert as a row."""
    at = alert.get(AlertField.PRODUCED_AT) or alert.get("received_at") or ""
    model_id = alert.get(AlertField.MODEL_ID) or ""
    source_row = alert.get(AlertField.SOURCE_ROW)
    score = alert.get(AlertField.SCORE)
    transaction = alert[AlertField.TRANSACTION]
    return ShownRow(
        seq=alert["seq"],
        alert_id=alert[AlertField.ALERT_ID],
        at=at,
        at_text=clock_time(at),
        score=score,
        score_text=NOTHING if score is None else f"{score:.4f}",
        tick=_tick(alert.get(AlertField.THRESHOLD)),
        amount=_amount(transaction),
        values=telling_values(transaction),
        reason=alert.get(AlertField.REASON) or NOTHING,
        source_row=NOTHING if source_row is None else f"{source_row:,}",
        seen=_seen(source_row, model_id, stats),
        model=short_id(model_id),
        model_id=model_id,
        reasons=shown_reasons(alert.get("reasons") or ()),
        work=shown_work(alert.get("work") or {}),
        page=f"/alerts/{quote(alert[AlertField.ALERT_ID], safe='/')}",
    )


def expected_loss(alert: Mapping[str, Any]) -> str:
    """Score times amount: what the queue goes by first."""
    amount, score = amount_of(alert[AlertField.TRANSACTION]), alert.get(AlertField.SCORE)
    return NOTHING if amount is None or score is None else f"{score * amount:,.2f}"


def shown_work(work: Mapping[str, Any]) -> ShownWork:
    """What people made of an alert, in words: nothing yet, where none is told."""
    status = AlertStatus(work.get("status", AlertStatus.NEW))
    assignee = work.get("assignee") or ""
    is_claimed = status is AlertStatus.CLAIMED
    text = f"claimed by {assignee or 'somebody'}" if is_claimed else status.value.replace("_", " ")
    by = "" if not assignee else text if is_claimed else f"{text} by {assignee}"
    return ShownWork(status.value, assignee, work.get("version", 0), text, by)


def shown_reasons(reasons: Sequence[Mapping[str, Any]]) -> list[ShownReason]:
    """The first reasons with bars beside one another; a value that is missing reads so."""
    most = max((abs(reason["contribution"]) for reason in reasons), default=0.0) or 1.0
    return [
        ShownReason(
            reason["feature"],
            _reason_value(reason["value"]),
            reason["text"],
            f"{abs(reason['contribution']) / most * 100:.1f}%",
            reason["contribution"] > 0,
        )
        for reason in reasons[:SHOWN_VALUES]
    ]


def telling_values(transaction: Mapping[str, Any]) -> list[ShownValue]:
    """The numbers of largest size; where there are none, the first texts."""
    candidates = [(name, value) for name, value in transaction.items() if not _NOT_TELLING.match(name)]
    numbers = [(name, value) for name, value in candidates if _is_number(value)]
    if numbers:
        numbers.sort(key=lambda pair: -abs(pair[1]))
        return [ShownValue(name, number(value)) for name, value in numbers[:SHOWN_VALUES]]
    texts = [(name, value) for name, value in candidates if isinstance(value, str)]
    return [ShownValue(name, shortened(value, TEXT_CHARS)) for name, value in texts[:SHOWN_VALUES]]


def _amount(transaction: Mapping[str, Any]) -> str:
    amount = amount_of(transaction)
    return NOTHING if amount is None else f"{amount:,.2f}"


def _seen(source_row: int | None, model_id: str, stats: Mapping[str, Any]) -> str:
    unseen_from = stats["unseen_from_row"]
    if source_row is None or unseen_from is None or model_id != stats["model_id"]:
        return ""
    return "new" if source_row >= unseen_from else "seen"


def _tick(threshold: float | None) -> str:
    return f"{min(max(threshold or 0.0, 0.0), 1.0) * 100:.2f}%"


def _reason_value(value: object) -> str:
    if value is None or value == "":
        return "missing"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return shortened(value if isinstance(value, str) else orjson.dumps(value).decode(), REASON_CHARS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
