"""The routes of the model, of records that were not judged, and of how it all stands; see `alert_routes.py`."""

from __future__ import annotations

from collections.abc import Iterator

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.route import CSV, LINES, Route
from fraudstream.dashboard.openapi.schemas import (
    ANYTHING,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    listed,
    maybe,
    members,
    paged,
    ref,
)


def model() -> Iterator[Route]:
    """What judges, and with what columns."""
    yield Route(
        "get",
        "/api/what-if",
        "What another threshold would do, from three sources.",
        members({"in_force": {"type": "object"}, "threshold": NUMBER, "sources": listed({"type": "object"})}),
        takes=p.WHAT_IF,
        errors=(400, 409),
    )
    yield Route(
        "post",
        "/api/threshold",
        "Put a threshold in force, if what is in force is what the person saw.",
        members({"threshold": NUMBER, "former_threshold": NUMBER, "revision": WHOLE, "change_id": maybe(TEXT)}),
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
    alias = members({"aliases": {"type": "object"}})
    yield Route(
        "post",
        "/api/schema/aliases",
        "Have a column read as a feature from the next revision on.",
        alias,
        body=members({"new": TEXT, "old": TEXT}, {"why": TEXT}),
        errors=(400, 409, 415, 422),
    )
    yield Route(
        "post",
        "/api/schema/aliases/remove",
        "Take an alias back.",
        alias,
        body=members({"new": TEXT}, {"why": TEXT}),
        errors=(400, 409, 415, 422),
    )
    yield Route(
        "post",
        "/api/schema/suggestions/refuse",
        "Never suggest this alias again.",
        ANYTHING,
        body=members({"new": TEXT, "old": TEXT}, {"why": TEXT}),
        errors=(400, 415, 422),
    )


def letters() -> Iterator[Route]:
    """What could not be judged, and what is sent again."""
    page = paged("dead_letters", {"type": "object"})
    yield Route(
        "get",
        "/api/dead-letters",
        "Dead letters and unscorable rows, the newest first.",
        page,
        takes=(*p.LETTERS, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route(
        "get", "/api/dead-letters.csv", "Those that match as a file.", TEXT, CSV, takes=p.LETTERS, errors=(400,)
    )
    yield Route(
        "get",
        "/api/dead-letters.jsonl",
        "Those that match, one JSON object a line.",
        TEXT,
        LINES,
        takes=p.LETTERS,
        errors=(400,),
    )
    yield Route(
        "get",
        "/api/replays",
        "Records that were asked to be sent again, and how many are in each state.",
        paged("replays", {"type": "object"}, {"counts": {"type": "object"}}),
        takes=(*p.REPLAYS, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    asked = members(
        {"who": TEXT, "why": TEXT},
        {"places": listed(TEXT), "filter": TEXT, "again": FLAG, "dry_run": FLAG, "payload_base64": TEXT},
    )
    yield Route(
        "post",
        "/api/replays",
        "Ask for records to be sent again.",
        ANYTHING,
        body=asked,
        errors=(400, 404, 409, 415, 422),
    )
    yield Route(
        "post",
        "/api/replays/claim",
        "Give replays to a sender.",
        ANYTHING,
        body=members({"sender": TEXT, "limit": WHOLE}, {"ends": {"type": "object"}}),
        errors=(400, 415),
    )
    yield Route(
        "post",
        "/api/replays/results",
        "Take down what became of replays.",
        ANYTHING,
        body=members({"sender": TEXT, "results": listed({"type": "object"})}),
        errors=(400, 415),
    )


def state() -> Iterator[Route]:
    """Figures and health."""
    yield Route("get", "/api/stats", "The counters.", ref("Stats"))
    yield Route(
        "get",
        "/api/charts",
        "What each of the last minutes came to.",
        members({"minutes": {"type": "object"}, "scores": ANYTHING, "precision": ANYTHING}),
        takes=(p.MINUTES,),
        errors=(400,),
    )
    yield Route(
        "get",
        "/api/events",
        "Events, the newest first.",
        paged("events", {"type": "object"}),
        takes=(p.asked("type", TEXT, "schema", "of this type"), p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route(
        "get",
        "/api/ledger",
        "What every record came to, by partition.",
        members(
            {
                "totals": {"type": "object"},
                "partitions": listed({"type": "object"}),
                "entries": listed({"type": "object"}),
                "next_cursor": maybe(TEXT),
            }
        ),
        takes=(p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route(
        "get", "/api/openapi.json", "This description.", members({"openapi": TEXT, "paths": {"type": "object"}})
    )
    yield Route(
        "get",
        "/health",
        "Whether the process lives and its store takes writes.",
        members({"status": {"enum": ["ok", "failing"]}, "checks": {"type": "object"}}),
        same_body=(503,),
    )
    yield Route(
        "get",
        "/ready",
        "Whether alerts can arrive and are found, else why not.",
        members({"ready": FLAG, "reasons": listed(TEXT)}),
        same_body=(503,),
    )
    yield Route("get", "/metrics", "The counters for Prometheus.", TEXT, "text/plain")
