"""The alert storm: when it begins and ends, what it says of the payments, and how the API and the page tell it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from dashboards import Clock, alert, json_of
from fraudstream.dashboard.services.schema_messages import CALM_ALERTS, STORM_ALERTS, WINDOW_SECONDS, StormWatch
from fraudstream.times import parse_time

TOPIC = "credit_card_transactions"


def position(clock: Clock, end: int) -> list[dict[str, Any]]:
    return [{"type": "position", "at": clock().isoformat(), "positions": {TOPIC: {"0": {"begin": 0, "end": end}}}}]


def test_a_storm_begins_with_more_than_ten_alerts_a_second_for_a_minute(clock: Clock) -> None:
    watch = StormWatch()
    watch.committed(STORM_ALERTS, clock())
    assert watch.current(0, clock()) is None
    clock.forward(WINDOW_SECONDS - 1)
    watch.committed(1, clock())
    storm = watch.current(0, clock())
    assert storm is not None
    assert (storm.alerts_per_minute, parse_time(storm.since)) == (STORM_ALERTS + 1, clock())


def test_alerts_older_than_a_minute_raise_no_storm(clock: Clock) -> None:
    watch = StormWatch()
    for _ in range(10):
        watch.committed(STORM_ALERTS, clock())
        clock.forward(WINDOW_SECONDS)
    assert watch.current(0, clock()) is None


def test_it_stays_until_the_alerts_are_below_half_of_what_began_it(clock: Clock) -> None:
    watch = StormWatch()
    watch.committed(STORM_ALERTS + 1, clock())
    began = clock()
    clock.forward(WINDOW_SECONDS - 1)
    watch.committed(CALM_ALERTS, clock())
    clock.forward(1)
    storm = watch.current(0, clock())
    assert storm is not None
    assert (storm.alerts_per_minute, parse_time(storm.since)) == (CALM_ALERTS, began)
    clock.forward(WINDOW_SECONDS)
    watch.committed(CALM_ALERTS - 1, clock())
    assert watch.current(0, clock()) is None


def test_a_storm_that_nobody_looked_at_does_not_lend_its_beginning_to_the_next(clock: Clock) -> None:
    watch = StormWatch()
    watch.committed(STORM_ALERTS + 1, clock())
    clock.forward(3600)
    watch.committed(STORM_ALERTS + 1, clock())
    storm = watch.current(0, clock())
    assert storm is not None
    assert parse_time(storm.since) == clock()


def test_a_reader_with_an_older_time_ends_no_storm(clock: Clock) -> None:
    watch, before = StormWatch(), clock()
    clock.forward(2)
    watch.committed(STORM_ALERTS + 1, clock())
    assert watch.current(0, before) is not None
    assert watch.current(0, clock()) is not None


def test_a_clock_that_is_set_back_leaves_no_storm_behind(clock: Clock) -> None:
    watch = StormWatch()
    watch.committed(STORM_ALERTS + 1, clock())
    clock.forward(-3600)
    assert watch.current(0, clock()) is None


def test_the_share_is_that_of_the_payments_scored_in_the_same_minute(clock: Clock) -> None:
    watch = StormWatch()
    watch.scored(1_000_000, clock())
    for second in range(1, 121):
        clock.forward(1)
        watch.committed(100, clock())
        watch.scored(1_000_000 + 400 * second, clock())
    storm = watch.current(1_000_000 + 400 * 120, clock())
    assert storm is not None
    assert storm.alerts_per_minute == 6000
    assert storm.share_of_payments == pytest.approx(0.25)


def test_the_share_is_at_most_one_and_unknown_without_scored_payments(clock: Clock) -> None:
    watch = StormWatch()
    watch.scored(500, clock())
    clock.forward(1)
    watch.committed(1000, clock())
    unknown = watch.current(500, clock())
    assert unknown is not None
    assert unknown.share_of_payments is None
    behind = watch.current(600, clock())
    assert behind is not None
    assert behind.share_of_payments == 1.0
    remade = watch.current(10, clock())
    assert remade is not None
    assert remade.share_of_payments is None


def test_stats_tell_a_storm_and_its_end(client: FlaskClient, clock: Clock) -> None:
    client.post("/api/events", json=position(clock, 0))
    clock.forward(1)
    client.post("/api/events", json=position(clock, 1400))
    client.post("/api/alerts", json=[alert(number) for number in range(0, 1400, 2)])
    storm = json_of(client.get("/api/stats"))["storm"]
    assert storm.pop("sentence") == {
        "before": "More alerts than analysts can review since ",
        "at": "2026-01-02T03:04:06.000Z",
        "after": ": 700 in the last minute, 50 % of the payments scored",
    }
    assert storm == {
        "alerts_per_minute": 700,
        "share_of_payments": pytest.approx(0.5, abs=0.001),
        "since": "2026-01-02T03:04:06.000Z",
    }
    clock.forward(WINDOW_SECONDS)
    assert json_of(client.get("/api/stats"))["storm"] is None


def test_neither_unscorable_payments_nor_resent_alerts_make_a_storm(client: FlaskClient) -> None:
    resent = [alert(number) for number in range(400)]
    client.post("/api/alerts", json=resent)
    client.post("/api/alerts", json=resent)
    client.post("/api/alerts", json=[alert(number, outcome="unscorable", score=None) for number in range(400, 900)])
    assert json_of(client.get("/api/stats"))["storm"] is None


def test_the_page_has_the_banner_in_words_and_hides_it_in_calm(client: FlaskClient) -> None:
    assert 'id="storm" aria-labelledby="storm-heading" hidden' in client.get("/").text
    client.post("/api/alerts", json=[alert(number) for number in range(700)])
    page = client.get("/").text
    assert 'id="storm" aria-labelledby="storm-heading">' in page
    assert "700 in the last minute." in page
    assert "Fri 2 Jan 2026, 03:04:05 UTC" in page
