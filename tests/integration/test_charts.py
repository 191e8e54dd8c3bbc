"""What each minute came to: counted, kept across a restart, and given by the API."""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from apps import create_app
from dashboards import Clock, alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.charts import MAX_LATENCIES, Charts, MinuteTally, minute_of
from fraudstream.dashboard.views.charts import FEWEST, live_charts, with_data
from fraudstream.errors import StoreError
from fraudstream.store.minutes import BINS, EDGES, MinuteLabel
from fraudstream.store.store import AlertStore


def charts(store: AlertStore, tally: MinuteTally, clock: Clock) -> Charts:
    return Charts(store, tally, label=lambda: MinuteLabel("Class", "1"), threshold=lambda: 0.5, clock=clock)


def paid(number: int, amount: float, label: object = None) -> dict[str, object]:
    own = {} if label is None else {"Class": label}
    return alert(number, transaction={"Amount": amount} | own)


def test_a_minute_holds_what_came_in_it_and_a_restart_keeps_it(store: AlertStore, clock: Clock) -> None:
    tally = MinuteTally()
    first = charts(store, tally, clock)
    tally.payments(clock() + timedelta(seconds=1), 30)
    tally.score(clock(), 0.0)
    tally.score(clock(), 1.0)
    tally.latencies(clock(), "store", [0.9])
    tally.latencies(clock(), "page", [0.002, 0.004])
    store.add_alerts([paid(1, 10.0, 1), paid(2, 2.5, "0"), paid(3, 1.5)])
    before = first.report(3)
    clock.forward(60)
    store.add_alerts([paid(4, 4.0, 1.0)])
    first.flush(minute_of(clock()))
    first.flush(minute_of(clock()))
    report = charts(store, MinuteTally(), clock).report(3)
    assert before["minutes"]["alerts"] == [0, 0, 3]
    assert report["minutes"]["alerts"] == [0, 3, 1]
    assert report["minutes"]["payments"] == [None, 30, None]
    assert report["minutes"]["at_risk"] == [0, 14.0, 4.0]
    assert report["minutes"]["p50_ms"] == [None, 2.0, None]
    assert report["minutes"]["latency_to"] == [None, "page", None]
    assert report["scores"]["samples"] == [1, *[0] * (BINS - 2), 1]
    assert report["precision"]["label"] == {"column": "Class", "alerts": 3, "frauds": 2, "share": 0.666667}


def test_measurements_during_a_write_that_fails_are_added_to_those_before(clock: Clock) -> None:
    tally = MinuteTally()

    def measure(payments: int, number: int, seconds: float) -> None:
        tally.payments(clock(), payments)
        tally.score(clock(), 0.0)
        tally.latencies(clock(), "page", [seconds] * number)

    def write_in_vain() -> None:
        with tally.taken(minute_of(clock()) + 1) as parts:
            assert [(each.payments, each.latencies) for each in parts] == [(30, MAX_LATENCIES)]
            measure(12, 3, 0.002)
            raise StoreError("the disk is full", where="here", remedy="make space")

    measure(30, MAX_LATENCIES, 0.004)
    with pytest.raises(StoreError):
        write_in_vain()
    (minute,) = tally.minutes()
    assert (minute.payments, minute.scores[0], minute.latencies) == (42, 2, MAX_LATENCIES + 3)
    assert (minute.p50_ms, minute.p99_ms) == (4.0, 4.0)


def test_minutes_older_than_seven_days_are_forgotten(store: AlertStore, clock: Clock) -> None:
    tally = MinuteTally()
    minutes = charts(store, tally, clock)
    tally.score(clock(), 0.5)
    clock.forward(60)
    minutes.flush(minute_of(clock()))
    assert sum(minutes.report(2)["scores"]["samples"]) == 1
    clock.forward(7 * 24 * 3600)
    tally.score(clock(), 0.5)
    clock.forward(60)
    minutes.flush(minute_of(clock()))
    assert sum(minutes.report(10_080)["scores"]["samples"]) == 1


@pytest.fixture
def client(store: AlertStore) -> FlaskClient:
    return create_app(Settings.load(), store, clock=lambda: datetime.now(UTC)).test_client()


def test_the_api_gives_the_minutes_asked_for(client: FlaskClient) -> None:
    assert len(json_of(client.get("/api/charts"))["minutes"]["at"]) == 60
    assert len(json_of(client.get("/api/charts?minutes=10080"))["minutes"]["alerts"]) == 10_080
    assert client.get("/api/charts?minutes=10081").status_code == 400
    assert client.get("/charts").status_code == 200
    for path in ("/charts", "/api/charts"):
        answer = client.get(f"{path}?until=0001-01-01T00:00:00Z&minutes=10080")
        assert answer.status_code == 400
        assert "a time from 1970 on" in answer.text


def test_the_fragment_is_the_charts_of_the_page_without_their_tables(client: FlaskClient) -> None:
    fragment = client.get("/charts/fragment?minutes=360").text
    assert fragment.count("<h2 id=") == 6
    assert "<tbody" not in fragment
    assert fragment.partition("data-as-at=")[0] in client.get("/charts?minutes=360").text
    assert client.get("/charts/fragment?minutes=0").status_code == 400


def test_a_table_has_every_minute_the_newest_first(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1)])
    table = client.get("/charts/fragment?minutes=1440&table=latency").text
    times = [datetime.fromisoformat(time) for time in re.findall(r'datetime="([^"]+)" title', table)][1:]
    assert len(times) == FEWEST
    assert times == sorted(times, reverse=True)
    assert re.findall(r"<th scope=.col.>([^<]+)", table) == ["Minute", "99 % within", "Median", "To"]
    assert client.get("/charts/fragment?table=nothing").status_code == 404


def test_a_drawing_is_made_once_for_all_viewers_and_anew_after_two_seconds(store: AlertStore, clock: Clock) -> None:
    charts_of_all = charts(store, MinuteTally(), clock)
    drawings: list[str] = []

    def render(report: dict[str, Any]) -> bytes:
        drawings.append(report["at"])
        return b"drawn"

    for seconds in (0.0, 1.0, 0.5, 1.0, 0.5):
        clock.forward(seconds)
        assert charts_of_all.rendered("charts", 60, render) == b"drawn"
    assert len(drawings) == 2
    charts_of_all.rendered("charts", 360, render)
    assert len(drawings) == 3


def report(minutes: int, **changes: list[float | None]) -> dict[str, Any]:
    """A report of as many minutes, in which nothing happened but what is passed."""
    at = [f"2026-11-29T{minute // 60:02}:{minute % 60:02}:00+00:00" for minute in range(minutes)]
    nothing: dict[str, list[Any]] = {"payments": [None], "alerts": [0], "at_risk": [0.0], "caught": [0.0]}
    unmeasured = {"p50_ms": [None], "p99_ms": [None], "latency_to": [None]}
    verdicts = dict.fromkeys(("confirmed_fraud", "false_alarm", "unsure", "undecided"), 0)
    return {
        "minutes": {name: each * minutes for name, each in (nothing | unmeasured).items()} | {"at": at} | changes,
        "scores": {"edges": list(EDGES), "samples": [0] * BINS, "alerts": [0] * BINS, "threshold": None},
        "marks": [],
        "amounts": {"at_risk": 0.0, "caught": 0.0},
        "precision": {
            "verdicts": verdicts
            | {"share": None, "share_by_minute": [None] * minutes, "given_by_minute": [0] * minutes}
        },
    }


def test_where_nothing_happened_there_is_no_headline() -> None:
    assert {chart.headline for chart in live_charts(report(60)).values()} == {""}


def test_each_minute_of_an_hour_is_a_place_to_read() -> None:
    alerts = live_charts(report(60, alerts=[*[0] * 58, 3, 4]))["alerts"]
    assert alerts.headline == "7"
    points = [f"{each.share:.4f}|{each.text}|{each.query}" for each in alerts.readings]
    assert len(points) == 60
    assert points[0] == "0.0083|00:00: alerts 0|since=2026-11-29T00:00Z until=2026-11-29T00:01Z"
    assert points[-1] == "0.9917|00:59: alerts 4|since=2026-11-29T00:59Z until=2026-11-29T01:00Z"


def test_minutes_of_a_day_are_drawn_as_means_and_slow_ones_by_the_slowest() -> None:
    p99: list[float | None] = [*[None] * 1420, *[10.0] * 19, 500.0]
    charts = live_charts(report(1440, alerts=[*[0] * 1422, *[9] * 18], p50_ms=p99, p99_ms=p99))
    points = charts["alerts"].readings
    assert len(points) == 80
    assert points[-1].text == "23:42 to 23:59, a minute: alerts 9"
    assert points[-1].query == "since=2026-11-29T23:42Z until=2026-11-30T00:00Z"
    assert points[-2].text.endswith("a minute: alerts 0")
    latency = charts["latency"].readings
    assert "99 % within 500 ms, median 37.2 ms" in latency[-1].text
    assert "99 % within –, median –" in latency[0].text


def test_alerts_at_the_threshold_are_counted_and_samples_only_fill_below() -> None:
    samples, alerts = [0] * BINS, [0] * BINS
    low, high = (bisect_right(EDGES, score) - 1 for score in (0.01, 0.9))
    samples[low], samples[high], alerts[high] = 98, 2, 103
    data = report(60, payments=[*[0] * 59, 1083])
    data["scores"] |= {"samples": samples, "alerts": alerts, "threshold": 0.5}
    chart = live_charts(data)["scores"]
    assert chart.headline == "103"
    assert chart.about.startswith("of ≈ 1,083 payments are alerts (counted)")
    assert [series.values[high] for series in chart.series] == [103, 0.0]
    assert [series.values[low] for series in chart.series] == [0, 980.0]
    assert "min_score=0.880797078 max_score=0.92414182" in [each.query for each in chart.readings]


def test_a_chart_spans_only_the_time_with_data() -> None:
    data = with_data(report(1440, alerts=[*[0] * 1400, *[1] * 40]))
    assert [len(data["minutes"][name]) for name in ("at", "alerts", "p50_ms")] == [40] * 3
    assert len(data["precision"]["verdicts"]["share_by_minute"]) == 40
    assert len(with_data(report(60))["minutes"]["at"]) == FEWEST


def test_a_slow_start_does_not_stay_the_headline_of_the_latency() -> None:
    p50: list[float | None] = [6400.0, *[None] * 10, 3.0, 4.0, 3.5]
    assert live_charts(report(14, p50_ms=p50, p99_ms=p50))["latency"].headline == "3.8 ms"


def test_changes_of_threshold_and_schema_are_marked(store: AlertStore, clock: Clock) -> None:
    store.add_events([{"type": "model", "message": "revision 1: m-1, threshold 0.5"}])
    clock.forward(540)
    deployed = {"type": "model", "at": "soon", "message": "revision 2: m-1, threshold 0.7"}
    store.add_events([deployed, {"type": "schema", "message": "new schema: column shop added"}])
    marks = charts(store, MinuteTally(), clock).report(3)["marks"]
    assert {(mark["kind"], mark["text"]) for mark in marks} == {
        ("schema", "new schema: column shop added"),
        ("model", "revision 2: m-1, threshold 0.7"),
    }


def test_a_line_breaks_where_a_value_is_missing_and_a_lone_value_is_a_stroke() -> None:
    p50: list[float | None] = [1.0, 2.0, None, None, 5.0]
    drawings = live_charts(report(5, p50_ms=p50, p99_ms=[None] * 5))["latency"].drawings()
    lines = [
        line.split()
        for line in re.findall(r'<polyline class="curve" points="([^"]+)"', drawings.split("<svg class=")[1])
    ]
    assert [len(line) for line in lines] == [2, 2]
    (left, _), (right, _) = (place.split(",") for place in lines[1])
    assert float(right) - float(left) == pytest.approx(3.0)
