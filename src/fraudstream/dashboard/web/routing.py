"""Declares API routes by the annotations of their views, for validation and for OpenAPI."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, get_type_hints

import orjson
from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError

from fraudstream.errors import RequestError
from fraudstream.messages.base import reason
from fraudstream.messages.requests import Query

JSON: Final = "application/json"

Model = TypeVar("Model", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operation:
    """A method of a path, served by the method `view`; `same` are statuses with the response of 200."""

    view: str
    method: str
    path: str
    about: str
    answer: Any
    media_type: str
    query: type[Query] | None
    posted: type[BaseModel] | None
    body: Any
    errors: set[int]
    same: tuple[int, ...]


class Api:
    """The operations of a class of views; each method gets the `query` and the `body` that its annotations declare."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: Final[list[Operation]] = []

    def operation(
        self, method: str, path: str, answer: Any, *errors: int,
        media_type: str = JSON, body: Any = None, same: tuple[int, ...] = (),
    ) -> Callable[[View], View]:  # fmt: skip
        """Declare a method of a path; the result of its view is sent as JSON unless it is a response.

        `errors` are statuses beyond those of an invalid query or body and of any route, `same` those with the body of
        200; `body` is the type of a body that the view reads itself.
        """

        def declare(view: View) -> View:
            hints = get_type_hints(view)
            query, posted = hints.get("query"), hints.get("body")
            about, kind = inspect.getdoc(view) or "", posted or body
            statuses = {*errors, *((400, 415) if kind else (400,) if query else ())}
            self.operations.append(
                Operation(view.__name__, method, path, about, answer, media_type, query, posted, kind, statuses, same)
            )
            return view

        return declare

    def blueprint(self, views: object) -> Blueprint:
        """Route the operations to the methods of `views`."""
        blueprint = Blueprint(self.name, __name__)
        for each in self.operations:
            respond = partial(_respond, getattr(views, each.view), each)
            blueprint.add_url_rule(each.path, each.view, respond, methods=[each.method])
        return blueprint


def _respond(view: Callable[..., Any], operation: Operation, **values: Any) -> Response:
    if operation.query is not None:
        values["query"] = operation.query.read(request.args)
    if operation.posted is not None:
        values["body"] = read_body(operation.posted)
    result = view(**values)
    return result if isinstance(result, Response) else json_response(result)


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
