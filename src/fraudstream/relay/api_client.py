"""Questions and decisions that a command takes to the dashboard's API; the relay's posts are `service.py`'s."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.errors import DashboardFailed
from fraudstream.messages.base import Object

TIMEOUT_SECONDS = 10.0
PIECE_BYTES = 65_536


class DashboardClient:
    """Sends requests to one dashboard; DashboardFailed where nobody answers, or not with 2xx."""

    def __init__(
        self, pool: urllib3.PoolManager, url: str, read_token: SecretStr | None, ingest_token: SecretStr | None
    ) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._read_token = read_token
        self._ingest_token = ingest_token

    def get(self, route: str) -> Object:
        """The JSON object of a route."""
        return self._ask("GET", route, None, self._read_token, "FRAUDSTREAM_READ_TOKEN")

    def post(self, route: str, content: Mapping[str, Any]) -> Object:
        """Post an object, and return the one that is answered."""
        return self._ask("POST", route, orjson.dumps(content), self._ingest_token, "FRAUDSTREAM_INGEST_TOKEN")

    def stream(self, route: str) -> Iterator[bytes]:
        """The body of a route, in pieces as it comes; raises DashboardFailed also where it does not come to the end."""
        where = self._url + route
        headers = _headers(self._read_token)
        try:
            answer = self._pool.request(
                "GET", where, headers=headers, timeout=TIMEOUT_SECONDS, retries=False, preload_content=False
            )
            if not 200 <= answer.status < 300:
                raise _refused(answer.status, answer.read(), where, "FRAUDSTREAM_READ_TOKEN")
            yield from answer.stream(PIECE_BYTES)
        except HTTPError as e:
            raise _silent(self._url) from e

    def _ask(self, method: str, route: str, body: bytes | None, token: SecretStr | None, variable: str) -> Object:
        headers = {"Content-Type": "application/json"} | _headers(token)
        where = self._url + route
        try:
            answer = self._pool.request(
                method, where, body=body, headers=headers, timeout=TIMEOUT_SECONDS, retries=False
            )
        except HTTPError as e:
            raise _silent(self._url) from e
        told = _object(answer.data)
        if not 200 <= answer.status < 300 or told is None:
            raise _refused(answer.status, answer.data, where, variable)
        return told


def _headers(token: SecretStr | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}


def _silent(url: str) -> DashboardFailed:
    return DashboardFailed(
        "the dashboard does not answer", where=url, remedy="start it, or name its address with --api"
    )


def _refused(status: int, body: bytes, where: str, variable: str) -> DashboardFailed:
    return DashboardFailed(
        f"the dashboard answered {status}: {(_object(body) or {}).get('error', 'no JSON object')}",
        where=where,
        remedy=f"set {variable}" if status == 401 else "see what it says; --api names another one",
    )


def _object(body: bytes) -> Object | None:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None
