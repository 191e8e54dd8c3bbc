"""Each route with what it takes and answers; `document.py` makes the description of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.schemas import (
    ANYTHING,
    FLAG,
    IDS,
    NUMBER,
    TEXT,
    VERDICT,
    WHOLE,
    Schema,
    listed,
    maybe,
    members,
    paged,
    ref,
)

JSON: Final = "application/json"
CSV: Final = "text/csv"
LINES: Final = "application/x-ndjson"


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes:
        method: In small letters.
        path: As OpenAPI writes it.
        about: What it does.
        answer: The schema of what is answered with 200.
        kind: The media type of that.
        takes: Parameters of the query and the path.
        body: What is posted; None where nothing is.
        errors: Other answers, all of them `Error` but for those in `same_body`.
        same_body: Statuses with the body of the 200.
    """

    method: str
    path: str
    about: str
    answer: Schema
    kind: str = JSON
    takes: p.Parameters = ()
    body: Schema | None = None
    errors: tuple[int, ...] = ()
    same_body: tuple[int, ...] = ()


def routes() -> Iterator[Route]:
    """All of them."""
    yield from _ingest()
    yield from _alerts()
    yield from _work()
    yield from _model()
    yield from _letters()
    yield from _state()


def _ingest() -> Iterator[Route]:
    for path, item, about in (
        ("/api/alerts", ref("PostedAlert"), "Store alerts and unscorable rows; answered after the commit."),
        ("/api/events", {"type": "object"}, "Store events of the detector and positions of the relay."),
        ("/api/dead-letters", {"type": "object"}, "Store records that were no payments."),
        ("/api/ledger", {"type": "object"}, "Store entries of the detector's ledger."),
    ):
        body = {"type": "array", "items": dict(item), "maxItems": 10_000}
        yield Route("post", path, about, ref("Received"), body=body, errors=(400, 413, 415, 503))


def _alerts() -> Iterator[Route]:
    found = {"complete": FLAG, "scanned": WHOLE, "of": WHOLE}
    page = {"anyOf": [paged("alerts", ref("Alert"), found), members({"alerts": listed(ref("Alert")), "latest": WHOLE})]}
    files = (*p.FILTERS, p.asked("work", WHOLE, 1, "1: what people made of them, in the last columns"))
    yield Route(
        "get",
        "/api/alerts",
        "The alerts that match, in an order; with a `since` of digits, what followed.",
        page,
        takes=(*p.FILTERS, p.SORT, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route(
        "get",
        "/api/alerts/scan",
        "The alerts that match as they are found, and how far the scan is.",
        TEXT,
        LINES,
        takes=(*p.FILTERS, p.SORT, p.LIMIT),
        errors=(400,),
    )
    yield Route("get", "/api/alerts.csv", "The alerts that match as a file.", TEXT, CSV, takes=files, errors=(400,))
    yield Route(
        "get",
        "/api/alerts.json",
        "The alerts that match as one array.",
        listed(ref("Alert")),
        takes=p.FILTERS,
        errors=(400,),
    )
    yield Route("get", "/api/alerts/{alert_id}", "One alert.", ref("Alert"), takes=(p.ID,), errors=(404,))
    yield Route(
        "get",
        "/api/alerts/{alert_id}/rescore",
        "An alert scored again with the model in force.",
        members({"stored": {"type": "object"}, "now": {"type": "object"}, "sentence": TEXT}),
        takes=(p.ID,),
        errors=(404, 409),
    )
    yield Route(
        "get",
        "/api/stream",
        "Alerts, reasons, work and counters as server-sent events.",
        TEXT,
        "text/event-stream",
        takes=(p.RESUME, p.OUTCOME),
        errors=(400,),
    )


def _work() -> Iterator[Route]:
    seen = {"take_over": FLAG, "versions": {"type": "object", "additionalProperties": WHOLE}}
    who = members({"actor": maybe(members({"name": TEXT, "verified": FLAG}))})
    for name, about, body in (
        ("claim", "Have alerts for oneself.", members({"alert_ids": IDS}, seen)),
        ("release", "Leave one's own alerts to others.", members({"alert_ids": IDS}, {"versions": seen["versions"]})),
        ("verdict", "Decide alerts.", members({"alert_ids": IDS, "status": VERDICT}, {"note": TEXT, **seen})),
        ("note", "Write a note on one alert.", members({"alert_ids": IDS, "text": TEXT})),
        ("undo", "Take one's own change back.", members({"change_id": TEXT})),
    ):
        yield Route(
            "post",
            f"/api/work/{name}",
            about,
            ref("Done"),
            body=body,
            errors=(400, 404, 415) if name == "undo" else (400, 415),
            same_body=(409,),
        )
    yield Route(
        "post",
        "/api/work/next",
        "Claim the first new alert in an order, of those that match.",
        members({"alert": maybe(ref("Alert")), "change_id": maybe(TEXT)}),
        body=members({}, {"order": {"enum": ["loss", "score", "newest", "oldest"]}, "skip": IDS}),
        errors=(400, 415),
    )
    yield Route(
        "get",
        "/api/work/{alert_id}",
        "How an alert stands, and what was done to it.",
        members({"work": ref("Work"), "history": listed(ref("Change"))}),
        takes=(p.ID,),
        errors=(404,),
    )
    yield Route("get", "/api/actor", "Who this browser says it is.", who)
    yield Route(
        "post", "/api/actor", "Keep a name in this browser.", who, body=members({"name": TEXT}), errors=(400, 415)
    )
    yield Route("delete", "/api/actor", "Forget the name.", who)
    yield Route(
        "get",
        "/api/audit",
        "What people changed, the newest first.",
        paged("changes", ref("Change")),
        takes=(*p.CHANGES, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route("get", "/api/audit.csv", "The changes as a file.", TEXT, CSV, takes=p.CHANGES, errors=(400, 503))


def _model() -> Iterator[Route]:
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


def _letters() -> Iterator[Route]:
    page = paged("dead_letters", {"type": "object"})
    yield Route(
        "get",
        "/api/dead-letters",
        "Dead letters and unscorable rows, the newest first.",
        page,
        takes=(*p.LETTERS, p.LIMIT),
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
    states = p.asked(
        "state", {"type": "string", "enum": ["requested", "sending", "sent", "failed"]}, "sent", "their state"
    )
    yield Route(
        "get",
        "/api/replays",
        "Records that were asked to be sent again, and how many are in each state.",
        paged("replays", {"type": "object"}, {"counts": {"type": "object"}}),
        takes=(states, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    asked = members(
        {"who": TEXT, "why": TEXT}, {"places": listed(TEXT), "filter": TEXT, "again": FLAG, "dry_run": FLAG}
    )
    yield Route(
        "post", "/api/replays", "Ask for records to be sent again.", ANYTHING, body=asked, errors=(400, 409, 415, 422)
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


def _state() -> Iterator[Route]:
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
