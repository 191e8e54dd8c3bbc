"""Sends requests of commands, and the records of the relay, to the dashboard's API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.errors import DashboardFailed
from fraudstream.messages.base import Object

TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 65_536
RECORDS_TIMEOUT = urllib3.Timeout(connect=2.0, read=30.0)

# The request itself is invalid; any other status (401 during a token change, 429, 5xx) may change.
_REFUSALS = frozenset({400, 404, 405, 413, 415, 422})


class ApiUnavailable(Exception):
    """Raised without a response, or with one that may change later."""


class ApiRefused(Exception):
    """Raised if the request as a whole will never be accepted."""


class DashboardClient:
    """A client for one dashboard; methods raise DashboardFailed without a 2xx response."""

    def __init__(
        self, pool: urllib3.PoolManager, url: str, read_token: SecretStr | None, ingest_token: SecretStr | None
    ) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._read_token = read_token
        self._ingest_token = ingest_token

    def get(self, route: str) -> Object:
        """Return the JSON object of a route."""
        return self._request("GET", route, None, self._read_token, "FRAUDSTREAM_READ_TOKEN")

    def post(self, route: str, content: Mapping[str, Any]) -> Object:
        """Post an object, and return the response."""
        return self._request("POST", route, orjson.dumps(content), self._ingest_token, "FRAUDSTREAM_INGEST_TOKEN")

    def post_records(self, route: str, records: Sequence[bytes]) -> None:
        """Post a list of JSON objects; returns once it is committed, or raises ApiUnavailable or ApiRefused."""
        body = b"[%s]" % b",".join(records)
        try:
            response = self._send("POST", route, self._ingest_token, body=body, timeout=RECORDS_TIMEOUT)
        except HTTPError as e:
            raise ApiUnavailable(f"{self._url}: {type(e).__name__}") from e
        if not 200 <= response.status < 300:
            reason = f"{response.status} {response.data[:200].decode(errors='replace')}"
            raise ApiRefused(reason) if response.status in _REFUSALS else ApiUnavailable(reason)

    def stream(self, route: str) -> Iterator[bytes]:
        """Yield the body of a route in chunks; also raises DashboardFailed if it is incomplete."""
        try:
            response = self._send("GET", route, self._read_token, preload_content=False)
            if not 200 <= response.status < 300:
                raise _refused(response.status, response.read(), self._url + route, "FRAUDSTREAM_READ_TOKEN")
            yield from response.stream(CHUNK_BYTES)
        except HTTPError as e:
            raise _unavailable(self._url) from e

    def _request(self, method: str, route: str, body: bytes | None, token: SecretStr | None, variable: str) -> Object:
        try:
            response = self._send(method, route, token, body=body)
        except HTTPError as e:
            raise _unavailable(self._url) from e
        content = _object(response.data)
        if not 200 <= response.status < 300 or content is None:
            raise _refused(response.status, response.data, self._url + route, variable)
        return content

    def _send(
        self, method: str, route: str, token: SecretStr | None, timeout: Any = TIMEOUT_SECONDS, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        url = self._url + route
        return self._pool.request(method, url, headers=headers, timeout=timeout, retries=False, **options)


def _unavailable(url: str) -> DashboardFailed:
    return DashboardFailed("the dashboard does not answer", where=url, remedy="start it, or set its address with --api")


def _refused(status: int, body: bytes, where: str, variable: str) -> DashboardFailed:
    return DashboardFailed(
        f"the dashboard answered {status}: {(_object(body) or {}).get('error', 'no JSON object')}",
        where=where,
        remedy=f"set {variable}" if status == 401 else "see the error; use --api for another dashboard",
    )


def _object(body: bytes) -> Object | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None
