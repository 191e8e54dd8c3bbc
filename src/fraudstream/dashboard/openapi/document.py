"""The OpenAPI 3.1 document, made of the routes beside it; served, and kept in docs/openapi.json."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from flask import Blueprint, Response

from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.openapi import alert_routes, model_routes, replay_routes, system_routes
from fraudstream.dashboard.openapi.route import JSON, Route
from fraudstream.dashboard.openapi.schemas import COMPONENTS, ref

MEANINGS: Final = {
    200: "done",
    400: "the request cannot be read, or lacks something; `error` says what",
    401: "a token is set, and this request does not have it",
    403: "a page of another origin may not post here",
    404: "it is not there",
    409: "it is not as the request says it is",
    413: "too much at once",
    415: "post JSON, with Content-Type: application/json",
    421: "this host name is not one of the dashboard's",
    422: "it does not fit",
    429: "this address has presented too many wrong tokens; `Retry-After` says when it may try again",
    503: "not now: the store does not take it, or something is not well",
}

EVERYWHERE: Final = (401, 403, 421, 429, 503)
"""Answers that any route may give."""

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api/openapi.json")
def openapi() -> Response:
    """The description of the HTTP interface."""
    return json_response(written())


@cache
def written() -> bytes:
    """The document as it is served."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    parts = (
        alert_routes.ingest, alert_routes.alerts, alert_routes.work,
        model_routes.model, system_routes.letters, replay_routes.replays, system_routes.state,
    )  # fmt: skip
    for route in (route for part in parts for route in part()):
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fraudstream",
            "version": version("fraudstream"),
            "summary": "The dashboard's HTTP interface",
            "description": "What each member means: docs/http.md. An object may gain members in a later release.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(COMPONENTS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "the read token to read and to work alerts, the ingest token to post; where set",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    content = {route.kind: {"schema": route.answer}}
    answers: dict[str, Any] = {"200": {"description": MEANINGS[200], "content": content}}
    for status in route.same_body:
        answers[str(status)] = {"description": MEANINGS[status], "content": content}
    for status in sorted({*route.errors, *EVERYWHERE} - set(route.same_body)):
        answers[str(status)] = {"description": MEANINGS[status], "content": {JSON: {"schema": ref("Error")}}}
    operation: dict[str, Any] = {"summary": route.about, "responses": answers}
    if route.takes:
        operation["parameters"] = list(route.takes)
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": route.body}}}
    return operation
