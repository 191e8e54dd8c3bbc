"""What the relay makes of the responses of the dashboard's API."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3
from pydantic import SecretStr
from urllib3.exceptions import NewConnectionError

from fraudstream.relay.api_client import ApiRefused, ApiUnavailable, DashboardClient


class Pool(urllib3.PoolManager):
    """Connections that answer each request with one status; none answers at all."""

    def __init__(self, status: int | None) -> None:
        super().__init__()
        self.status = status
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        self.sent.append((url, options["body"], options["headers"]))
        if self.status is None:
            raise NewConnectionError(urllib3.connection.HTTPConnection("dashboard"), "refused")
        return urllib3.HTTPResponse(b'{"error": "no"}', status=self.status)


def test_records_are_posted_as_one_list_with_the_token() -> None:
    pool = Pool(200)
    DashboardClient(pool, "http://dashboard/", None, SecretStr("secret")).post_records(
        "/api/events", [b'{"a":1}', b'{"b":2}']
    )
    ((url, body, headers),) = pool.sent
    assert (url, body) == ("http://dashboard/api/events", b'[{"a":1},{"b":2}]')
    assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_invalid_request_is_refused_for_good(status: int) -> None:
    with pytest.raises(ApiRefused, match=str(status)):
        DashboardClient(Pool(status), "http://dashboard", None, None).post_records("/api/events", [b"{}"])


@pytest.mark.parametrize("status", [None, 401, 429, 500, 503])
def test_response_that_may_change_is_retried(status: int | None) -> None:
    with pytest.raises(ApiUnavailable, match="NewConnectionError" if status is None else str(status)):
        DashboardClient(Pool(status), "http://dashboard", None, None).post_records("/api/events", [b"{}"])
