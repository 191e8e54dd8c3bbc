"""Generates the OpenAPI 3.1 document from the declared routes; docs/openapi.json is a copy."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from flask import Response
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from fraudstream.dashboard.web.routing import JSON, Api, json_response
from fraudstream.messages.answers import Error, answer
from fraudstream.messages.base import Object

MEANINGS: Final = {
    200: "success",
    400: "invalid or incomplete request; see `error`",
    401: "a token is required",
    403: "a page of another origin may not post here",
    404: "not found",
    409: "conflict with the current state",
    413: "the body is too large",
    415: "post JSON, with Content-Type: application/json",
    421: "unknown host name",
    422: "the value is not acceptable",
    429: "too many wrong tokens from this address; retry after `Retry-After` seconds",
    503: "temporarily unavailable",
}
EVERYWHERE: Final = {401, 403, 421, 429, 503}
"""Errors that any route may return."""

COMPONENT: Final = "#/components/schemas/"
MODE: Final = "validation"

IN_PATH: Final = {
    "alert_id": "the id of an alert; it may contain slashes",
    "column": "a column that identifies entities",
    "name": "the name of a saved view",
    "value": "the value in it, as stored; it may contain slashes",
}
_PATH: Final = re.compile(r"<(?:path:)?(.*?)>")
TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "the read token to read and to triage alerts, the ingest token to post; where set",
}

api = Api("openapi")


class _Schemas(GenerateJsonSchema):
    """Omits the title of each member, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class OpenApiViews:
    """Serves the document of `apis`."""

    apis: tuple[Api, ...]

    @api.operation("GET", "/api/openapi.json", answer("Description", openapi=str, paths=Object))
    def openapi(self) -> Response:
        """This OpenAPI document."""
        return json_response(serialized(self.apis))


@cache
def serialized(apis: tuple[Api, ...]) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document(apis), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def document(apis: Iterable[Api]) -> Object:
    """Build the document."""
    operations = [operation for each in apis for operation in each.operations]
    types = {id(each): each for o in operations for each in (o.answer, o.query, o.body, Error) if each is not None}
    schemas, shared = TypeAdapter.json_schemas(
        [(key, "validation", TypeAdapter(each)) for key, each in types.items()],
        ref_template=COMPONENT + "{model}",
        schema_generator=_Schemas,
    )
    components: Object = shared["$defs"]
    paths: dict[str, Object] = {}
    for each in operations:
        done = {"description": MEANINGS[200], "content": {each.media_type: {"schema": schemas[id(each.answer), MODE]}}}
        error = {"schema": schemas[id(Error), MODE]}
        answers = {status: done | {"description": MEANINGS[status]} for status in (200, *each.same)}
        for status in sorted(each.errors | EVERYWHERE - set(each.same)):
            answers[status] = {"description": MEANINGS[status], "content": {JSON: error}}
        summary, _, description = each.about.partition("\n\n")
        operation: Object = {"summary": summary.replace("\n", " ")}
        if description:
            operation["description"] = description
        parameters: list[Object] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": IN_PATH[name]}
            for name in _PATH.findall(each.path)
        ]
        if each.query is not None:
            members = components[each.query.__name__]["properties"].items()
            parameters += [_parameter(name, member, components) for name, member in members]
        if parameters:
            operation["parameters"] = parameters
        if each.body is not None:
            content = {JSON: {"schema": schemas[id(each.body), MODE]}}
            operation["requestBody"] = {"required": True, "content": content}
        operation["responses"] = {str(status): answer for status, answer in answers.items()}
        paths.setdefault(_PATH.sub(r"{\1}", each.path), {})[each.method.lower()] = operation
    text = orjson.dumps([paths, components]).decode()  # a query is expanded to parameters, and not referenced
    components = {name: schema for name, schema in components.items() if f'{COMPONENT}{name}"' in text}
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
        "components": {"schemas": components, "securitySchemes": {"token": TOKEN}},
    }


def _parameter(name: str, member: Mapping[str, Any], components: Mapping[str, Any]) -> Object:
    """Return a member of a query as a parameter, its schema without null, which a query cannot contain."""
    own = dict(member)
    (example,), about = own.pop("examples"), own.pop("description")
    schema = next((each for each in own.pop("anyOf", ()) if each != {"type": "null"}), own)
    schema = components[schema["$ref"].removeprefix(COMPONENT)] if "$ref" in schema else schema
    return {"name": name, "in": "query", "schema": schema, "example": example, "description": about}
