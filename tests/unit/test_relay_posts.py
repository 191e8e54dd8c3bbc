"""What the relay makes of the responses of the dashboard's API."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import urllib3
from confluent_kafka import KafkaException
from pydantic import SecretStr
from urllib3.exceptions import NewConnectionError

from fraudstream.kafka.client import Cluster
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.relay import service
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


class Verdicts(DashboardClient):
    """Answers with one verdict until it is published, and then stops the relay."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(urllib3.PoolManager(), "http://dashboard", None, None)
        self.stop = stop

    def post(self, route: str, content: Any) -> dict[str, Any]:
        if content["until"]:
            self.stop.set()
            return {"verdicts": [], "until": 1}
        verdict: dict[str, Any] = {
            "event_id": "verdict/c/id-1",
            "alert_id": "id-1",
            "verdict": "unsure",
            "reason_code": None,
        }
        verdict |= {"former_verdict": None, "by": "Ann", "verified": False, "at": "2026-01-02T03:04:05Z"}
        verdict |= {"action": "verdict", "change_id": "c", "version": 1, "model_id": None, "score": None}
        return {"verdicts": [verdict | {"outcome": "alert"}], "until": 1}


class Writer:
    """A producer that acknowledges each message, or raises an error for all."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def produce(self, *args: Any, on_delivery: Any, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        on_delivery(None, None)

    def poll(self, seconds: float) -> int:
        return 0


@pytest.mark.parametrize("error", [KafkaException("fatal"), RuntimeError("unforeseen")])
def test_verdicts_are_published_by_a_new_producer_after_an_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = iter([Writer(error), Writer(None)])
    monkeypatch.setattr(service, "open_writer", lambda cluster, seconds: next(writers))
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.0)
    stop = threading.Event()
    service.publish_verdicts(Verdicts(stop), Cluster("127.0.0.1:1", KafkaSettings()), stop)
    assert next(writers, None) is None
