"""Declares API routes by the annotations of their views, for validation and for OpenAPI."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_type_hints

import orjson
from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError

from fraudstream.errors import RequestError
from fraudstream.messages.base import reason
from fraudstream.messages.requests import Query

JSON: Final = "application/json"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Operation:
    """A method of a path in the OpenAPI document; `same` are statuses with the response of 200."""

    method: str
    path: str
    about: str
    answer: Any
    media_type: str
    query: type[Query] | None
    body: Any
    errors: set[int]
    same: tuple[int, ...]


class Api(Blueprint):
    """A blueprint whose views get the `query` and the `body` that their annotations declare."""

    def __init__(self, name: str) -> None:
        super().__init__(name, __name__)
        self.operations: Final[list[Operation]] = []

    def operation(
        self, method: str, path: str, answer: Any, *errors: int,
        media_type: str = JSON, body: Any = None, same: tuple[int, ...] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Response]]:  # fmt: skip
        """Route a method of a path to a view; its result is sent as JSON unless it is a response.

        `errors` are statuses beyond those of an invalid query or body and of any route, `same` those with the body of
        200; `body` is the type of a body that the view reads itself.
        """

        def declare(view: Callable[..., Any]) -> Callable[..., Response]:
            hints = get_type_hints(view)
            query, posted = hints.get("query"), hints.get("body")

            @functools.wraps(view)
            def respond(**values: Any) -> Response:
                if query is not None:
                    values["query"] = query.read(request.args)
                if posted is not None:
                    values["body"] = read_body(posted)
                result = view(**values)
                return result if isinstance(result, Response) else json_response(result)

            about, kind = inspect.getdoc(view) or "", posted or body
            statuses = {*errors, *((400, 415) if kind else (400,) if query else ())}
            self.operations.append(Operation(method, path, about, answer, media_type, query, kind, statuses, same))
            self.add_url_rule(path, view.__name__, respond, methods=[method])
            return respond

        return declare


def json_response(document: object, status: int = 200) -> Response:
    """Return a response of a document, of messages and dataclasses too, or of bytes that are JSON already."""
    body = document if isinstance(document, bytes) else orjson.dumps(document, default=vars)
    return Response(body, status, mimetype=JSON)


def read_json_body() -> bytes:
    """Return the body of the request; raises RequestError if it is not declared as JSON."""
    if request.mimetype != JSON:
        raise RequestError(f"post JSON, with Content-Type: {JSON}", status=415)
    return request.get_data(cache=False)


def read_body(model: type[Model]) -> Model:
    """Validate the body of the request; raises RequestError if it is invalid."""
    try:
        return model.model_validate(orjson.loads(read_json_body()))
    except orjson.JSONDecodeError as e:
        # The message gives the position and quotes nothing. A number beyond a double is valid JSON, but refused here.
        raise RequestError(f"the body cannot be read as JSON: {e}") from e
    except ValidationError as e:
        raise RequestError(reason(e)) from e
