"""Dead letters as the relay posts them."""

from __future__ import annotations

import base64
from typing import Any

INPUT = "credit_card_transactions"


def dead_letter(number: int, payload: bytes | None = b"[1]", **changes: Any) -> dict[str, Any]:
    """A dead letter as the relay posts it."""
    return {
        "topic": INPUT,
        "partition": 0,
        "offset": number,
        "event_id": f"id-{number}",
        "produced_at": f"2026-01-02T03:{number % 60:02}:05.000Z",
        "detected_at": f"2026-01-02T03:{number % 60:02}:05.010Z",
        "reason": "the value is not a JSON object",
        "key": None,
        "payload_base64": None if payload is None else base64.b64encode(payload).decode(),
        "headers": {"event_id": f"id-{number}"},
        "original_bytes": len(payload or b""),
        "dead_letter": f"transactions_dead_letter/0/{number}",
    } | changes
