"""The shapes of what is posted and answered, as JSON Schema; where each goes, the routes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fraudstream.alerts.status import VERDICTS, AlertStatus
from fraudstream.transactions.problems import ProblemKind
from fraudstream.transactions.wire import Outcome

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {}
INSTANT: Final[Schema] = {"type": "string", "description": "ISO 8601 with an offset"}


def ref(name: str) -> Schema:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """A list of such things."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """Such a thing, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}


def members(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object that has these members, may have those, and may gain others in a later release."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def paged(name: str, item: Schema, more: Mapping[str, Schema] | None = None) -> Schema:
    """A page of a list, and where the next one begins."""
    return members({name: listed(item), "next_cursor": maybe(TEXT), **(more or {})})


WORK: Final = members(
    {
        "status": {"enum": [status.value for status in AlertStatus]},
        "assignee": maybe(TEXT),
        "version": WHOLE,
        "decided_at": maybe(INSTANT),
    },
    {"since": maybe(INSTANT)},
)
ALERT: Final = members(
    {
        "seq": WHOLE,
        "alert_id": TEXT,
        "outcome": {"enum": [Outcome.ALERT.value, Outcome.UNSCORABLE.value]},
        "transaction": {"type": "object"},
        "received_at": INSTANT,
        "work": ref("Work"),
    },
    {
        "score": maybe(NUMBER),
        "threshold": maybe(NUMBER),
        "model_id": maybe(TEXT),
        "as_text": listed(TEXT),
        "reasons": maybe(listed({"type": "object"})),
        "explanation": maybe({"type": "object"}),
    },
)
POSTED_ALERT: Final = members(
    {"alert_id": {"type": "string", "minLength": 1, "maxLength": 200}, "transaction": {"type": "object"}},
    {
        "outcome": {"enum": [Outcome.ALERT.value, Outcome.UNSCORABLE.value]},
        "score": maybe(NUMBER),
        "as_text": listed(TEXT),
    },
)
RECEIVED: Final = members(
    {
        "accepted": WHOLE,
        "duplicates": WHOLE,
        "conflicts": WHOLE,
        "rejected": listed(members({"index": WHOLE, "reason": TEXT})),
    }
)
DONE: Final = members(
    {
        "change_id": maybe(TEXT),
        "done": listed(
            members({"alert_id": TEXT, "seq": WHOLE, "status": TEXT, "assignee": maybe(TEXT), "version": WHOLE})
        ),
        "refused": listed(members({"alert_id": TEXT, "reason": TEXT, "work": maybe(ref("Work"))})),
    }
)
CHANGE: Final = members(
    {
        "change_id": TEXT,
        "at": INSTANT,
        "actor": maybe(TEXT),
        "verified": FLAG,
        "action": TEXT,
        "before": ANYTHING,
        "after": ANYTHING,
        "why": TEXT,
        "undoes": maybe(TEXT),
        "undone_by": maybe(TEXT),
        "session": maybe(TEXT),
        "hash": TEXT,
    }
)
STATS: Final = members(
    {
        **{
            name: WHOLE
            for name in (
                "payments_seen",
                "scored",
                "alerts",
                "unscorable",
                "dead_letters",
                "rejected",
                "lag",
                "viewers",
            )
        },
        "at": INSTANT,
        "rate": NUMBER,
        "p50_ms": maybe(NUMBER),
        "p99_ms": maybe(NUMBER),
        "model_id": maybe(TEXT),
        "threshold": maybe(NUMBER),
        "problems": listed(TEXT),
        "sampled": listed(TEXT),
    }
)
SYSTEM: Final = members(
    {
        "at": INSTANT,
        "problems": listed(
            members(
                {
                    "kind": one_of(*ProblemKind),
                    "message": TEXT,
                    "since": maybe(TEXT),
                    "partition": maybe(WHOLE),
                }
            )
        ),
        **{name: listed({"type": "object"}) for name in ("processes", "partitions")},
        "task_slots": maybe(WHOLE),
        "losses": members({"records": WHOLE, "until_seq": WHOLE, "since": maybe(INSTANT)}),
    }
)
IDS: Final[Schema] = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 1000}
VERDICT: Final[Schema] = {"enum": [status.value for status in VERDICTS]}

COMPONENTS: Final[Mapping[str, Schema]] = {
    "Alert": ALERT,
    "PostedAlert": POSTED_ALERT,
    "Received": RECEIVED,
    "Work": WORK,
    "Done": DONE,
    "Change": CHANGE,
    "Stats": STATS,
    "System": SYSTEM,
    "Error": members({"error": TEXT, "status": WHOLE}),
}
