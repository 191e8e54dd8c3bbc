"""The dashboard's API over HTTP, on connections that stay open; what is posted and when is `relay.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.alerts.records import Route
from fraudstream.alerts.relay import ApiRefused, ApiUnavailable

TIMEOUT: Final = urllib3.Timeout(connect=2.0, read=30.0)

# A request that is at fault itself; all other answers (401 while a token is changed, 429, 5xx) may change.
_REFUSALS: Final = frozenset({400, 404, 405, 413, 415, 422})


class HttpApi:
    """Posts lists to the dashboard.

    Args:
        pool: Connections that are kept.
        url: The dashboard's address.
        token: The ingest token, where the dashboard asks for one.
    """

    def __init__(self, pool: urllib3.PoolManager, url: str, token: SecretStr | None) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"

    def post(self, route: Route, items: Sequence[bytes]) -> None:
        """Post a list of JSON objects; returns once the dashboard has committed it.

        Raises:
            ApiUnavailable: Nobody answered, or the answer says: later.
            ApiRefused: The request as a whole will never be taken.
        """
        body = b"[%s]" % b",".join(items)
        try:
            answer = self._pool.request(
                "POST", self._url + route.value, body=body, headers=self._headers, timeout=TIMEOUT, retries=False
            )
        except HTTPError as e:
            raise ApiUnavailable(f"{self._url}: {type(e).__name__}") from e
        if 200 <= answer.status < 300:
            return
        reason = f"{answer.status} {answer.data[:200].decode(errors='replace')}"
        raise ApiRefused(reason) if answer.status in _REFUSALS else ApiUnavailable(reason)
