"""How an alert and a column read on a page as first served; one value is `readable.py`'s, the counters `tiles.py`'s."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from fraudstream.alerts.status import AlertStatus
from fraudstream.dashboard.readable import NOTHING, clock_time, number, short_id, shortened
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.wire import AlertField

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


def columns(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns of the page Schema, those that differ from training first, else in their order."""
    marked = [dict(column) | {"differs": _differs(column)} for column in table]
    return sorted(marked, key=lambda column: not column["differs"])


def _differs(column: Mapping[str, Any]) -> bool:
    is_new = column["expected"] is None
    is_retyped = column["expected"] == "number" and column["came"] not in (None, "number", "unknown")
    return bool(is_new or is_retyped or column["imputed_share"] or column["alias"])


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
