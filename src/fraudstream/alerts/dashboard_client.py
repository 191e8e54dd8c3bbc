"""Questions and decisions that a command takes to the dashboard's API; the relay's posts are `api_client.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.errors import DashboardFailed

TIMEOUT_SECONDS = 10.0


class DashboardClient:
    """Asks one dashboard.

    Args:
        pool: Connections.
        url: Its address.
        read_token: To read, where it asks for one.
        ingest_token: To change something, where it asks for one.
    """

    def __init__(
        self, pool: urllib3.PoolManager, url: str, read_token: SecretStr | None, ingest_token: SecretStr | None
    ) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._read_token = read_token
        self._ingest_token = ingest_token

    def get(self, route: str) -> dict[str, Any]:
        """The JSON object of a route.

        Raises:
            DashboardFailed: Nobody answered, or not with 2xx.
        """
        return self._ask("GET", route, None, self._read_token, "FRAUDSTREAM_READ_TOKEN")

    def post(self, route: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Post an object, and return the one that is answered.

        Raises:
            DashboardFailed: Nobody answered, or not with 2xx.
        """
        return self._ask("POST", route, orjson.dumps(content), self._ingest_token, "FRAUDSTREAM_INGEST_TOKEN")

    def _ask(
        self, method: str, route: str, body: bytes | None, token: SecretStr | None, variable: str
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        where = self._url + route
        try:
            answer = self._pool.request(
                method, where, body=body, headers=headers, timeout=TIMEOUT_SECONDS, retries=False
            )
        except HTTPError as e:
            raise DashboardFailed(
                "the dashboard does not answer", where=self._url, remedy="start it, or name its address with --api"
            ) from e
        told = _object(answer.data)
        if not 200 <= answer.status < 300 or told is None:
            raise DashboardFailed(
                f"the dashboard answered {answer.status}: {(told or {}).get('error', 'no JSON object')}",
                where=where,
                remedy=f"set {variable}" if answer.status == 401 else "see what it says; --api names another one",
            )
        return told


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None
