"""The routes of what judges: another threshold, a score again, the columns; those of alerts are `alert_routes.py`'s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.route import Route
from fraudstream.dashboard.openapi.schemas import (
    ANYTHING,
    FLAG,
    INSTANT,
    NUMBER,
    TEXT,
    WHOLE,
    listed,
    maybe,
    members,
    one_of,
)
from fraudstream.transactions.wire import Outcome

OUTCOME: Final = one_of(*(each.value for each in Outcome))
IN_FORCE: Final = members(
    {"model_id": TEXT, "threshold": NUMBER, "revision": WHOLE, "who": TEXT, "when": TEXT, "why": TEXT}
)
FIGURES: Final = members(
    {
        "alerts": NUMBER,
        "alerts_per_day": maybe(NUMBER),
        "error": maybe(NUMBER),
        "frauds_caught": NUMBER,
        "frauds_missed": NUMBER,
        "false_alarms": NUMBER,
        "saved": maybe(NUMBER),
    }
)
SOURCE: Final = members(
    {
        "key": one_of("test", "live", "verdicts"),
        "title": TEXT,
        "kind": one_of("measured", "estimate", "partial"),
        "about": TEXT,
        "period": TEXT,
        "known_from": NUMBER,
        "lacking": maybe(TEXT),
        "now": maybe(FIGURES),
        "then": maybe(FIGURES),
    }
)
POINT: Final = members({"threshold": NUMBER}, {key: FIGURES for key in ("test", "live", "verdicts")})
WHAT_IF: Final = members(
    {
        "in_force": IN_FORCE,
        "threshold": NUMBER,
        "review_cost": NUMBER,
        "recommended": maybe(NUMBER),
        "cheapest": maybe(NUMBER),
        "changeable": FLAG,
        "why_not": maybe(TEXT),
        "sources": listed(SOURCE),
    },
    {"curve": listed(POINT)},
)
PUT: Final = members(
    {
        "model_id": TEXT,
        "threshold": NUMBER,
        "former_threshold": NUMBER,
        "revision": WHOLE,
        "who": TEXT,
        "when": INSTANT,
        "why": TEXT,
        "change_id": maybe(TEXT),
    }
)
RESCORED: Final = members(
    {
        "alert_id": TEXT,
        "stored": members(
            {
                "score": maybe(NUMBER),
                "threshold": maybe(NUMBER),
                "outcome": OUTCOME,
                "model_id": maybe(TEXT),
                "revision": maybe(WHOLE),
            }
        ),
        "now": members(
            {
                "score": maybe(NUMBER),
                "threshold": NUMBER,
                "outcome": OUTCOME,
                "model_id": TEXT,
                "revision": WHOLE,
                "missing": WHOLE,
            }
        ),
        "difference": maybe(NUMBER),
        "same_model": FLAG,
        "scale": TEXT,
        "comparable": FLAG,
        "stored_cause": maybe(TEXT),
        "features": listed(
            members(
                {
                    "feature": TEXT,
                    "value": ANYTHING,
                    "imputed": FLAG,
                    "then": maybe(NUMBER),
                    "now": maybe(NUMBER),
                    "difference": maybe(NUMBER),
                }
            )
        ),
        "sentence": TEXT,
    }
)
ALIASES: Final = members(
    {"aliases": {"type": "object", "additionalProperties": TEXT}, "model_id": TEXT, "revision": WHOLE}
)


def model() -> Iterator[Route]:
    """What judges, and with what columns."""
    yield Route(
        "get",
        "/api/alerts/{alert_id}/rescore",
        "An alert scored again with the model in force.",
        RESCORED,
        takes=(p.ID,),
        errors=(404, 409),
    )
    yield Route(
        "get",
        "/api/what-if",
        "What another threshold would do, from three sources.",
        WHAT_IF,
        takes=p.WHAT_IF,
        errors=(400, 409),
    )
    yield Route(
        "post",
        "/api/threshold",
        "Put a threshold in force, if what is in force is what the person saw.",
        PUT,
        body=members({"threshold": NUMBER, "why": TEXT, "revision": WHOLE}),
        errors=(400, 409, 415, 422),
    )
    yield Route(
        "get",
        "/api/schemas",
        "The stream's columns, held against the model's contract.",
        members({"contract": ANYTHING, "current": ANYTHING, "schemas": listed({"type": "object"})}),
        takes=(p.LIMIT,),
        errors=(400,),
    )
    yield Route(
        "post",
        "/api/schema/aliases",
        "Have a column read as a feature from the next revision on.",
        ALIASES,
        body=members({"new": TEXT, "old": TEXT}, {"who": TEXT, "why": TEXT}),
        errors=(400, 409, 415, 422),
    )
    yield Route(
        "post",
        "/api/schema/aliases/remove",
        "Take an alias back.",
        ALIASES,
        body=members({"new": TEXT}, {"who": TEXT, "why": TEXT}),
        errors=(400, 409, 415, 422),
    )
    yield Route(
        "post",
        "/api/schema/suggestions/refuse",
        "Never suggest this alias again.",
        members({"new": TEXT, "old": TEXT, "refused": {"const": True}}),
        body=members({"new": TEXT, "old": TEXT}, {"who": TEXT, "why": TEXT}),
        errors=(400, 415, 422),
    )
