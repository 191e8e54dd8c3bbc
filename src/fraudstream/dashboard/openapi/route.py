"""What the description says of one route; the routes themselves are beside it, in `…_routes.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.schemas import Schema

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
