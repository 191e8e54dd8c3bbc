"""The JSON answer of every route."""

from __future__ import annotations

import orjson
from flask import Response


def json_response(document: object, status: int = 200) -> Response:
    """An answer that is a document, or bytes that are JSON already."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return Response(body, status, mimetype="application/json")
