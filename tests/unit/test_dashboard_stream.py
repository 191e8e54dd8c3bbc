"""The live stream: in order, resumed without gap or repeat, and no viewer in another's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards import alert
from fraudstream.dashboard.services import live_stream as stream
from fraudstream.dashboard.services.live_stream import Hub, Published, frames
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import Outcome


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    yield store
    store.close()


class Viewer:
    """Reads a stream by hand, a piece at a time, with a clock that only it moves."""

    def __init__(self, hub: Hub, store: AlertStore, after: int | None, outcome: Outcome | None = Outcome.ALERT) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self.pieces = frames(
            hub,
            store,
            after=after,
            outcome=outcome,
            stats=lambda: b'{"alerts":0}',
            on_written=self.note,
            monotonic=lambda: self.now,
        )

    def note(self, alerts: list[Published]) -> None:
        self.sizes += [published.seq for published in alerts]

    def read(self, pieces: int) -> str:
        return b"".join(next(self.pieces) for _ in range(pieces)).decode()


def post(store: AlertStore, hub: Hub, *numbers: int, **changes: Any) -> None:
    store.add_alerts([alert(number, **changes) for number in numbers], on_commit=hub.publish)


def seqs(text: str) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


def test_a_viewer_without_history_begins_with_what_comes_next(store: AlertStore) -> None:
    hub = Hub()
    post(store, hub, 1, 2)
    viewer = Viewer(hub, store, None)
    viewer.read(2)
    post(store, hub, 3)
    assert seqs(viewer.read(1)) == [3]


def test_counters_come_first_and_without_an_id(store: AlertStore) -> None:
    text = Viewer(Hub(), store, None).read(2)
    assert text == 'retry: 1000\n\nevent: stats\ndata: {"alerts":0}\n\n'


def test_a_viewer_resumes_after_the_last_alert_it_has(store: AlertStore) -> None:
    hub = Hub()
    post(store, hub, 1, 2, 3)
    assert seqs(Viewer(hub, store, 1).read(3)) == [2, 3]


def test_a_viewer_behind_the_ring_reads_the_store_and_then_goes_on_live(store: AlertStore) -> None:
    store.add_alerts([alert(number) for number in range(450)])
    hub = Hub(store.latest_seq())
    viewer = Viewer(hub, store, 10)
    text = viewer.read(5)
    post(store, hub, 1000)
    assert seqs(text + viewer.read(1)) == list(range(11, 452))


def test_the_ring_is_bounded_and_what_falls_out_is_found_in_the_store(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RING_FRAMES", 400)
    hub = Hub()
    post(store, hub, *range(700))
    assert hub.after(100, 0) is None
    live = hub.after(300, 0)
    assert live is not None
    assert seqs(b"".join(each.frame for each in live).decode()) == list(range(301, 701))


def test_a_viewer_sees_the_outcome_it_asked_for(store: AlertStore) -> None:
    hub = Hub()
    post(store, hub, 1)
    post(store, hub, 2, outcome="unscorable", score=None)
    post(store, hub, 3)
    assert seqs(Viewer(hub, store, 0, Outcome.UNSCORABLE).read(3)) == [2]
    assert seqs(Viewer(hub, store, 0, None).read(3)) == [1, 2, 3]


def test_a_viewer_of_an_older_store_begins_anew(store: AlertStore) -> None:
    assert "event: reset" in Viewer(Hub(), store, 99).read(2)


def test_only_what_was_committed_while_it_watched_is_measured_and_once(store: AlertStore) -> None:
    hub = Hub()
    post(store, hub, 1)
    one, other = Viewer(hub, store, 0), Viewer(hub, store, 0)
    for viewer in (one, other):
        viewer.read(3)
    post(store, hub, 2)
    for viewer in (one, other):
        viewer.read(1)
        viewer.now = 2.0
        viewer.read(1)
    assert one.sizes + other.sizes == [2]


def test_a_viewer_that_does_not_read_holds_up_nobody(store: AlertStore) -> None:
    hub = Hub()
    sleeper, reader = Viewer(hub, store, 0), Viewer(hub, store, 0)
    sleeper.read(1)
    reader.read(2)
    for number in range(20):
        post(store, hub, number)
        assert seqs(reader.read(1)) == [number + 1]


def test_an_idle_stream_still_gives_signs_of_life(store: AlertStore) -> None:
    viewer = Viewer(Hub(), store, None)
    viewer.read(2)
    viewer.now = 15.0
    assert viewer.read(2).endswith(": still here\n\n")


def test_closing_the_hub_ends_every_stream_at_once(store: AlertStore) -> None:
    hub = Hub()
    viewer = Viewer(hub, store, None)
    viewer.read(2)
    ended = threading.Event()

    def read_on() -> None:
        for _ in viewer.pieces:
            pass
        ended.set()

    threading.Thread(target=read_on, daemon=True).start()
    assert hub.viewers == 1
    hub.close()
    assert ended.wait(60)
    assert hub.viewers == 0


@pytest.mark.parametrize("outcome", [Outcome.ALERT, Outcome.UNSCORABLE, None])
def test_triage_changes_reach_every_viewer(store: AlertStore, outcome: Outcome | None) -> None:
    hub = Hub()
    post(store, hub, 1, outcome="unscorable", score=None)
    stream = frames(hub, store, after=1, outcome=outcome, stats=lambda: b"{}", on_written=lambda _: None)
    assert next(stream).startswith(b"retry")
    assert b"stats" in next(stream)
    hub.broadcast(b"event: work\ndata: {}\n\n")
    assert b"event: work" in next(stream)
    hub.close()


def test_triage_of_alerts_does_not_reach_viewers_of_unscorable_payments(store: AlertStore) -> None:
    hub = Hub()
    viewers = [Viewer(hub, store, None, outcome) for outcome in (Outcome.ALERT, None, Outcome.UNSCORABLE)]
    for viewer in viewers:
        viewer.read(2)
    hub.broadcast(b"event: reasons\ndata: []\n\n", outcome=Outcome.ALERT)
    hub.broadcast(b"event: work\ndata: {}\n\n")
    both = "event: reasons\ndata: []\n\nevent: work\ndata: {}\n\n"
    assert [viewer.read(1) for viewer in viewers] == [both, both, "event: work\ndata: {}\n\n"]


def test_a_viewer_too_far_behind_gets_an_event_and_then_its_alerts(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RING_FRAMES", 10)
    hub = Hub()
    viewer = Viewer(hub, store, None)
    viewer.read(2)
    post(store, hub, 1)
    for _ in range(10):
        hub.broadcast(b"event: work\ndata: {}\n\n")
    text = viewer.read(2)
    assert text.startswith("event: missed\ndata: {}\n\n")
    assert seqs(text) == [1]
    for _ in range(10):
        hub.broadcast(b"event: work\ndata: {}\n\n")
    assert viewer.read(1).count("event: work") == 10
