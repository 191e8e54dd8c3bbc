"""The routes of records that were not judged, and of how it all stands; the others are beside it."""

from __future__ import annotations

from collections.abc import Iterator

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.route import CSV, LINES, Route
from fraudstream.dashboard.openapi.schemas import (
    ANYTHING,
    FLAG,
    TEXT,
    WHOLE,
    listed,
    maybe,
    members,
    paged,
    ref,
)


def letters() -> Iterator[Route]:
    """What could not be judged."""
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


def state() -> Iterator[Route]:
    """Figures and health."""
    yield Route("get", "/api/stats", "The counters.", ref("Stats"))
    yield Route("get", "/api/system", "Processes, partitions, losses, and what is wrong.", ref("System"))
    yield Route(
        "post",
        "/api/system/acknowledge",
        "Have the losses up to an entry of the ledger no longer reported.",
        members({"acknowledged": WHOLE, "change_id": TEXT}),
        body=members({"until_seq": WHOLE}, {"why": TEXT}),
        errors=(400, 409, 415),
    )
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
        "Whether this process can serve, else why not.",
        members({"ready": FLAG, "reasons": listed(TEXT)}),
        same_body=(503,),
    )
    yield Route("get", "/metrics", "The counters for Prometheus.", TEXT, "text/plain")
