"""The routes of alerts: how they come in, are found, read and worked; the others are `system_routes.py`'s."""

from __future__ import annotations

from collections.abc import Iterator

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.route import CSV, LINES, Route
from fraudstream.dashboard.openapi.schemas import (
    FLAG,
    IDS,
    TEXT,
    VERDICT,
    WHOLE,
    listed,
    maybe,
    members,
    paged,
    ref,
)


def ingest() -> Iterator[Route]:
    """What the relay posts."""
    for path, item, about in (
        ("/api/alerts", ref("PostedAlert"), "Store alerts and unscorable rows; answered after the commit."),
        ("/api/events", {"type": "object"}, "Store events of the detector and positions of the relay."),
        ("/api/dead-letters", {"type": "object"}, "Store records that were no payments."),
        ("/api/ledger", {"type": "object"}, "Store entries of the detector's ledger."),
    ):
        body = {"type": "array", "items": dict(item), "maxItems": 10_000}
        yield Route("post", path, about, ref("Received"), body=body, errors=(400, 413, 415, 503))


def alerts() -> Iterator[Route]:
    """Alerts as they are found and read."""
    found = {"complete": FLAG, "back_to": maybe(TEXT), "scanned": WHOLE, "of": WHOLE}
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
        takes=(*p.FILTERS, p.SORT, p.LIMIT, p.CURSOR),
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
        "/api/stream",
        "Alerts, reasons, work and counters as server-sent events.",
        TEXT,
        "text/event-stream",
        takes=(p.RESUME, p.OUTCOME),
        errors=(400,),
    )


def work() -> Iterator[Route]:
    """What people do with alerts."""
    seen = {"take_over": FLAG, "versions": {"type": "object", "additionalProperties": WHOLE}}
    who = members({"actor": maybe(members({"name": TEXT, "verified": FLAG}))})
    for name, about, body in (
        ("claim", "Have alerts for oneself.", members({"alert_ids": IDS}, seen)),
        ("release", "Leave one's own alerts to others.", members({"alert_ids": IDS}, {"versions": seen["versions"]})),
        ("verdict", "Decide alerts.", members({"alert_ids": IDS, "status": VERDICT}, {"note": TEXT, **seen})),
        ("note", "Write a note on one alert.", members({"alert_ids": IDS, "text": TEXT})),
        ("undo", "Take one's own change back.", members({"change_id": TEXT}, {"take_over": FLAG})),
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
        body=members({}, {"order": {"enum": ["loss", "score", "newest", "oldest"]}, "skip": listed(TEXT)}),
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
        "post", "/api/actor", "Keep a name in this browser.", who, body=members({"name": TEXT}), errors=(400, 409, 415)
    )
    yield Route("delete", "/api/actor", "Forget the name.", who, errors=(409,))
    yield Route(
        "get",
        "/api/audit",
        "What people changed, the newest first.",
        paged("changes", ref("Change")),
        takes=(*p.CHANGES, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    yield Route(
        "get",
        "/api/audit/head",
        "The newest change's hash, which stands for all before.",
        members({"seq": WHOLE, "hash": TEXT, "entries": WHOLE}),
    )
    yield Route("get", "/api/audit.csv", "The changes as a file.", TEXT, CSV, takes=p.CHANGES, errors=(400, 503))
