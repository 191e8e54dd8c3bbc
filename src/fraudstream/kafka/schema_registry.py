"""Reads and registers Avro schemas at a schema registry with Confluent's API."""

from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from fraudstream.config import ENVIRONMENT_PREFIX, Settings
from fraudstream.errors import SchemaRegistryFailed, SettingsError

SECONDS: Final = 5.0
_JSON: Final = "application/vnd.schemaregistry.v1+json"


def subject_of(topic: str) -> str:
    """Name the subject of a topic's values, as Confluent's serializers do by default."""
    return f"{topic}-value"


def prefix_of(schema_id: int) -> bytes:
    """Return the bytes before a value's Avro: zero, and the schema's id."""
    return b"\0" + schema_id.to_bytes(4, "big")


@dataclass(frozen=True)
class SchemaRegistry:
    """A client of one registry; its methods raise SchemaRegistryFailed if it does not answer, or refuses."""

    url: str
    pool: urllib3.PoolManager

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the client of the settings; raises SettingsError, also if they name no registry."""
        if settings.schema_registry is None:
            where = f"{ENVIRONMENT_PREFIX}SCHEMA_REGISTRY"
            raise SettingsError("Avro needs a schema registry", where=where, remedy="set it to the registry's URL")
        headers: dict[str, str] = {"Accept": f"{_JSON}, application/json", "Content-Type": _JSON}
        if settings.schema_registry_user is not None:
            secret = settings.schema_registry_password
            login = f"{settings.schema_registry_user}:{secret.get_secret_value() if secret else ''}"
            headers |= urllib3.make_headers(basic_auth=login)
        ca = settings.schema_registry_ca
        if ca is not None and not ca.is_file():
            where = f"{ENVIRONMENT_PREFIX}SCHEMA_REGISTRY_CA"
            raise SettingsError(f"there is no file {ca}", where=where, remedy="correct it, or omit it")
        pool = urllib3.PoolManager(headers=headers, ca_certs=None if ca is None else str(ca))
        return cls(settings.schema_registry.rstrip("/"), pool)

    def versions(self, subject: str, newest: int) -> dict[int, str]:
        """Return the newest schemas of a subject by id; none if it has none."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        versions = (self._request("GET", path) or [])[-newest:]
        answers = [self._request("GET", f"{path}/{version}") for version in versions]
        return {each["id"]: _avro(each) for each in answers if each is not None}

    def schema(self, schema_id: int) -> str | None:
        """Return the schema of an id; None if the registry does not have it."""
        answer = self._request("GET", f"/schemas/ids/{schema_id}")
        return None if answer is None else _avro(answer)

    def register(self, subject: str, schema: str) -> int:
        """Register a schema under a subject, if it is not yet, and return its id."""
        answer = self._request("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
        return int(answer["id"])

    def _request(self, method: str, path: str, content: object = None) -> Any:
        """Return the JSON of an answer; None for what does not exist."""
        body = None if content is None else orjson.dumps(content)
        try:
            answer = self.pool.request(method, self.url + path, body=body, timeout=SECONDS, retries=False)
        except HTTPError as e:
            reason = str(getattr(e, "reason", None) or e).rpartition(": ")[2]
            raise self._failure(f"the schema registry does not answer: {reason}", "start it, or correct its URL") from e
        try:
            parsed = orjson.loads(answer.data)
        except orjson.JSONDecodeError:
            parsed = None
        if method == "GET" and answer.status == 404 and isinstance(parsed, dict) and "error_code" in parsed:
            return None
        if answer.status != 200 or parsed is None:
            reason = str(parsed.get("message", "")) if isinstance(parsed, dict) else "no JSON"
            what = f"the schema registry answers {answer.status}: {reason[:300]}"
            remedy = f"check {ENVIRONMENT_PREFIX}SCHEMA_REGISTRY with the path of its API, _USER and _PASSWORD"
            raise self._failure(what, remedy)
        return parsed

    def _failure(self, what: str, remedy: str) -> SchemaRegistryFailed:
        return SchemaRegistryFailed(what, where=self.url, remedy=remedy)


def _avro(answer: dict[str, Any]) -> str:
    """Return the schema's text, or the empty string for what is no Avro schema of its own."""
    is_usable = answer.get("schemaType", "AVRO") == "AVRO" and not answer.get("references")
    return str(answer["schema"]) if is_usable else ""
