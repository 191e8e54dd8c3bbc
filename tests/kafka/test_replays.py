"""Records sent again, with a real broker, a real relay and a real dashboard: whole, under their ids, and recorded."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from flask.testing import FlaskClient

from apps import create_app
from commands import Command
from dashboards import Clock, RunningDashboard, alert, json_of
from dead_letters import dead_letter
from fraudstream.config import Settings
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.replay import ReplayTopic
from fraudstream.kafka.topics import open_admin
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.relay.api_client import DashboardClient
from fraudstream.relay.service import CLAIMED_AT_ONCE, ReplaySender, run_relay
from fraudstream.runtime.processes import free_port, spawn, wait_until
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import DEAD_LETTER_HEADERS, RELAYED_TOPICS, Header, Topic
from offsets import end_offsets

pytestmark = pytest.mark.kafka

INPUT = Topic.TRANSACTIONS.value
GROUP = "replays"
Headers = list[tuple[str, bytes | None]]


class Records:
    """Produces to the broker and reads from it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def produce(
        self, value: bytes | None, headers: Headers | None = None, key: bytes | None = None, topic: str = INPUT
    ) -> str:
        places: list[str] = []
        self._producer.produce(
            topic,
            value,
            key,
            partition=0,
            headers=list(headers or []),
            on_delivery=lambda _, message: places.append(f"{topic}/0/{message.offset()}"),
        )
        self._producer.flush()
        return places[0]

    def dead_letter(self, origin: str, value: bytes | None, headers: Headers, size: int, key: bytes | None) -> str:
        """A dead letter as the detector writes it (tests/spark/test_route.py)."""
        topic, partition, offset = origin.split("/")
        at = self.at(origin).timestamp()[1]
        values = (topic, partition, offset, "VALUE_CONVERTER", "bad", str(size), f"{at_iso(at)}")
        added = [(name.value, text.encode()) for name, text in zip(DEAD_LETTER_HEADERS, values, strict=True)]
        return self.produce(value, [*headers, *added], key, Topic.DEAD_LETTERS.value)

    def at(self, place: str) -> Message:
        topic, partition, offset = place.rsplit("/", 2)
        return self.since(topic, {int(partition): int(offset)}, 1)[0]

    def since(self, topic: str, begins: Mapping[int, int], count: int | None = None) -> list[Message]:
        ends = end_offsets(self._servers, topic)
        expected = count if count is not None else sum(ends[p] - begin for p, begin in begins.items())
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "r", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, partition, begin) for partition, begin in begins.items()])
        messages: list[Message] = []
        while len(messages) < expected:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            messages.append(message)
        consumer.close()
        return messages

    def delete_before(self, place: str) -> None:
        """What retention does: the record at a place is gone, and all before it."""
        topic, partition, offset = place.split("/")
        at = TopicPartition(topic, int(partition), int(offset) + 1)
        admin = open_admin(Cluster(self._servers))
        admin.delete_records([at])[at].result(timeout=30)


def at_iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def records(broker: RunningBroker) -> Records:
    return Records(broker.bootstrap_servers)


@pytest.fixture(scope="module", autouse=True)
def _begins_after_other_tests(broker: RunningBroker) -> None:
    """The group reads none of the dead letters that other tests left, which may be of the same records."""
    ends = {topic: end_offsets(broker.bootstrap_servers, topic) for topic in RELAYED_TOPICS}
    positions = [TopicPartition(topic, partition, end) for topic in ends for partition, end in ends[topic].items()]
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": GROUP})
    consumer.commit(offsets=positions, asynchronous=False)
    consumer.close()


@pytest.fixture
def settings(broker: RunningBroker, dashboard: RunningDashboard) -> Settings:
    # A group of its own: Kafka counts the relays of other tests as members for ten seconds after they ended.
    kafka = KafkaSettings(group_relay=GROUP)
    return Settings(bootstrap_servers=broker.bootstrap_servers, api=dashboard.url, kafka=kafka)


@contextmanager
def relay(settings: Settings) -> Iterator[None]:
    stopped = threading.Event()
    thread = threading.Thread(target=run_relay, args=(settings, stopped))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(30)


def ask(dashboard: RunningDashboard, **body: Any) -> dict[str, Any]:
    return dashboard.post("/api/replays", {"who": "Ada", "why": "mended"} | body)


def ended(dashboard: RunningDashboard, batch: str) -> dict[str, dict[str, Any]]:
    """The replays of a request by origin, once none is under way."""

    def none_is_open() -> bool:
        counts = dashboard.get(f"/api/replays?batch={batch}")["counts"]
        return not counts["requested"] + counts["sending"]

    assert wait_until(none_is_open, 60)
    return {each["origin"]: each for each in dashboard.get(f"/api/replays?batch={batch}&limit=1000")["replays"]}


def headers_of(message: Message) -> list[tuple[str, Any]]:
    return [(str(name), value) for name, value in list(message.headers() or [])]


def known(dashboard: RunningDashboard, place: str) -> bool:
    return bool(dashboard.get(f"/api/dead-letters?kind=all&offset={place.rsplit('/', 1)[1]}")["dead_letters"])


def test_a_replay_is_the_original_whole_under_its_id_and_names_it(
    records: Records, dashboard: RunningDashboard, settings: Settings
) -> None:
    original: Headers = [("event_id", b"the-id"), ("source_row", b"7"), ("own", b"\xff\x00"), ("none", None)]
    value = b'{"whole": "\xff' + b"x" * 100_000
    origin = records.produce(value, original, b"\xffkey")
    dead = records.dead_letter(origin, value[:1000], original, len(value), b"\xffkey")
    with relay(settings):
        assert wait_until(lambda: known(dashboard, origin), 60)
        result = ask(dashboard, places=[origin])
        replay = ended(dashboard, result["batch"])[origin]
    assert (replay["state"], replay["who"], replay["why"], replay["corrected"]) == ("sent", "Ada", "mended", False)
    sent = records.at(replay["place"])
    assert (sent.value(), sent.key(), sent.partition()) == (value, b"\xffkey", 0)
    assert headers_of(sent)[:4] == original
    assert dict(headers_of(sent)[4:]) == {"replay_of": origin.encode(), "replay_id": replay["replay_id"].encode()}
    document = dashboard.get(f"/api/dead-letters?offset={origin.rsplit('/', 1)[1]}")["dead_letters"][0]
    assert document["dead_letter"] == dead
    assert [each["state"] for each in document["replays"]] == ["sent"]


def test_some_or_all_are_replayed_and_one_without_an_id_is_known_by_its_place(
    records: Records, dashboard: RunningDashboard, settings: Settings
) -> None:
    origins = [records.produce(f"[{n}]".encode(), [("event_id", b"")] if n % 2 else []) for n in range(6)]
    for origin in origins:
        records.dead_letter(origin, records.at(origin).value(), [], 3, None)
    with relay(settings):
        assert wait_until(lambda: all(known(dashboard, origin) for origin in origins), 60)
        some = ended(dashboard, ask(dashboard, places=origins[1:3])["batch"])
        rest = ended(dashboard, ask(dashboard, filter="?reason=BAD&replayed=no")["batch"])
    assert list(some) == [origins[2], origins[1]]
    assert sorted(some | rest) == sorted(origins)
    assert not set(some) & set(rest)
    for origin, replay in (some | rest).items():
        sent = records.at(replay["place"])
        assert sent.value() == records.at(origin).value()
        assert dict(headers_of(sent))["event_id"] == origin.encode()
    # In the order in which they came.
    assert [rest[origin]["place"] for origin in origins if origin in rest] == sorted(
        (each["place"] for each in rest.values()), key=lambda place: int(place.rsplit("/", 1)[1])
    )


def test_where_retention_has_removed_the_original_its_dead_letter_is_sent_unless_cut(
    records: Records, dashboard: RunningDashboard, settings: Settings
) -> None:
    original: Headers = [("event_id", b"an-id"), ("produced_at", b"its own")]
    whole, cut, row = (records.produce(value, original, b"k") for value in (b"[1, 2]", b"[1, 2, 3]", b'{"V1": 1}'))
    at = at_iso(records.at(row).timestamp()[1])
    records.dead_letter(whole, b"[1, 2]", original, 6, b"k")
    records.dead_letter(cut, b"[1, ", original, 9, b"k")
    records.delete_before(row)
    dashboard.post(
        "/api/alerts",
        [alert(int(row.rsplit("/", 1)[1]), outcome="unscorable", score=None, produced_at=at, reason="missing")],
    )
    with relay(settings):
        assert wait_until(lambda: all(known(dashboard, origin) for origin in (whole, cut, row)), 60)
        replays = ended(dashboard, ask(dashboard, places=[whole, cut, row])["batch"])
        corrected = ended(dashboard, ask(dashboard, places=[cut], payload_base64="e30=")["batch"])[cut]
    sent = records.at(replays[whole]["place"])
    assert (sent.value(), sent.key(), headers_of(sent)[:2]) == (b"[1, 2]", b"k", original)
    assert [name for name, _ in headers_of(sent)] == ["event_id", "produced_at", "replay_of", "replay_id"]
    assert replays[cut]["reason"] == "retention has removed it, and its dead letter is truncated"
    assert replays[row]["reason"] == "retention has removed it, and only dead letters have a copy"
    assert (corrected["state"], corrected["corrected"]) == ("sent", True)
    assert records.at(corrected["place"]).value() == b"{}"


class InProcess(DashboardClient):
    """The dashboard's own app, asked without a server, so that its clock can be moved."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def post(self, route: str, content: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.client.post(route, json=dict(content))
        assert answer.status_code == 200, answer.data
        return json_of(answer)


@pytest.fixture
def app(tmp_path: Path, clock: Clock) -> Iterator[InProcess]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'own.db'}", clock=clock)
    yield InProcess(create_app(Settings(), store, clock=clock).test_client())
    store.close()


def opened(broker: RunningBroker) -> Callable[[], ReplayTopic]:
    return lambda: ReplayTopic(Cluster(broker.bootstrap_servers))


@pytest.mark.parametrize("copies", [2, 1], ids=["after sending", "before sending"])
def test_what_a_killed_sender_left_behind_is_sent_again_as_the_same_event(
    copies: int, broker: RunningBroker, records: Records, app: InProcess, clock: Clock
) -> None:
    class Killed(Exception):
        pass

    class Dying(DashboardClient):
        """The dashboard of a sender that is killed before it has reported the outcome of a replay."""

        def __init__(self) -> None:
            """Without a connection."""

        def post(self, route: str, content: Mapping[str, Any]) -> dict[str, Any]:
            if route.endswith("/results"):
                raise Killed
            answer = app.post(route, content)
            if copies == 1 and content["limit"]:
                raise Killed
            return answer

    origin = records.produce(b"[7]", [("event_id", b"x")])
    number, at = int(origin.rsplit("/", 1)[1]), at_iso(records.at(origin).timestamp()[1])
    app.client.post("/api/dead-letters", json=[dead_letter(number, produced_at=at)])
    app.post("/api/replays", {"places": [origin], "who": "Ada", "why": "mended"})
    with pytest.raises(Killed):
        ReplaySender(Dying(), opened(broker)).send_some()
    following = ReplaySender(app, opened(broker))
    assert following.send_some() == 0
    clock.forward(31)
    assert following.send_some() == 1
    (replay,) = json_of(app.client.get("/api/replays"))["replays"]
    assert replay["state"] == "sent"
    after = records.since(INPUT, {0: number + 1})
    assert len(after) == copies
    assert replay["place"] == f"{INPUT}/0/{after[-1].offset()}"
    # By the id the store knows the second copy, by `replay_id` a person does.
    same = {"event_id": b"x", Header.REPLAY_OF: origin.encode(), Header.REPLAY_ID: replay["replay_id"].encode()}
    assert [dict(headers_of(each)) for each in after] == [same] * copies


def test_another_record_at_the_offset_of_the_original_is_not_sent(
    broker: RunningBroker, records: Records, app: InProcess
) -> None:
    number = int(records.produce(b"of another time").rsplit("/", 1)[1])
    places = [f"{INPUT}/0/{number}", f"{INPUT}/9/1", "another_topic/0/1"]
    dead_letters = [
        dead_letter(number),
        dead_letter(1, partition=9),
        dead_letter(1, topic="another_topic", dead_letter="?"),
    ]
    # No partition has such a number, no topic such a name: what cannot be asked of Kafka fails alone.
    hostile = [dead_letter(1, partition=10**12), dead_letter(1, topic="t" * 2000)]
    app.client.post("/api/dead-letters", json=[*dead_letters, *hostile])
    app.post("/api/replays", {"filter": "", "who": "Ada", "why": "mended"})
    assert ReplaySender(app, opened(broker)).send_some() == 5
    reasons = {each["origin"]: each["reason"] for each in json_of(app.client.get("/api/replays"))["replays"]}
    assert reasons[places[0]].startswith("another record is there now")
    assert "no partition 9" in reasons[places[1]]
    assert "not the input" in reasons[places[2]]
    assert "cannot be converted" in reasons[f"{INPUT}/{10**12}/1"]
    assert "is from the topic ttt" in reasons[f"{'t' * 2000}/0/1"]


@pytest.mark.nightly
def test_a_command_that_is_killed_while_it_sends_leaves_the_rest_to_the_relay(
    broker: RunningBroker, records: Records, dashboard: RunningDashboard, settings: Settings, tmp_path: Path
) -> None:
    begins = end_offsets(broker.bootstrap_servers, INPUT)
    first = begins[0]
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for n in range(2000):
        producer.produce(INPUT, b"[1]", partition=0, headers=[("event_id", b"k%d" % n)])
    producer.flush()
    dead_letters = [dead_letter(first + n, produced_at=None, dead_letter=None) for n in range(2000)]
    dashboard.post("/api/dead-letters", dead_letters)
    command = [
        *(sys.executable, "-m", "fraudstream", "dead-letters", "replay", "--all", "--why", "mended", "--who", "Ada"),
        *("--api", dashboard.url, "--bootstrap-servers", broker.bootstrap_servers),
    ]
    killed = spawn(command, log=tmp_path / "replay.log", env=dict(os.environ))
    some = random.Random(os.getpid()).randrange(1, 900)
    try:
        assert wait_until(lambda: dashboard.get("/api/replays")["counts"]["sent"] >= some, 60, every=0.001)
    finally:
        killed.kill()
        killed.wait()
    assert dashboard.get("/api/replays")["counts"]["sent"] < 2000
    with relay(settings):
        assert wait_until(lambda: dashboard.get("/api/replays")["counts"]["sent"] == 2000, 90)
    arrived = records.since(INPUT, {0: first + 2000})
    counts = Counter(dict(headers_of(each))["event_id"] for each in arrived)
    assert counts.keys() == {b"k%d" % n for n in range(2000)}
    # At most what the command had claimed, and had not concluded, is there twice.
    assert sum(counts.values()) <= 2000 + CLAIMED_AT_ONCE
    assert max(counts.values()) <= 2


def test_the_command_lists_replays_and_downloads_and_says_what_it_did_not_send(
    broker: RunningBroker, records: Records, dashboard: RunningDashboard, run_here: Command, tmp_path: Path
) -> None:
    origins = [records.produce(b"[1]", [("event_id", b"c%d" % n)]) for n in range(3)]
    numbers = [int(origin.rsplit("/", 1)[1]) for origin in origins]
    dashboard.post("/api/dead-letters", [dead_letter(n, produced_at=None) for n in numbers])
    api = ("--api", dashboard.url)
    replay = ("dead-letters", "replay", *api, "--bootstrap-servers", broker.bootstrap_servers, "--why", "mended")
    listed = run_here("dead-letters", "list", *api, "--json")
    assert listed.returncode == 0, listed.stderr
    assert all(f'"offset": {n}' in listed.stdout for n in numbers)
    assert "3 would be sent" in run_here(*replay, "--all", "--dry-run").stdout
    corrected = tmp_path / "row.json"
    corrected.write_bytes(b'{"V1": 1}')
    one = run_here(*replay, "--id", origins[0], "--payload", corrected)
    assert (one.returncode, one.stdout) == (0, "1 of 1 sent again\n"), one.stderr
    place = dashboard.get("/api/replays")["replays"][0]["place"]
    assert records.at(place).value() == b'{"V1": 1}'
    twice = run_here(*replay, "--all")
    assert twice.returncode == 1
    assert "1 of 3 were replayed before" in twice.stderr
    assert run_here(*replay, "--all", "--not-replayed").stdout == "2 of 2 sent again\n"
    assert run_here(*replay, "--all", "--again").stdout == "3 of 3 sent again\n"
    file = tmp_path / "letters.jsonl"
    assert run_here("dead-letters", "download", *api, "--format", "jsonl", "--output", file).returncode == 0
    assert len(file.read_text().splitlines()) == 3

    records.delete_before(origins[2])
    result = run_here(*replay, "--id", origins[2], "--again")
    assert result.returncode == 1
    assert "retention has removed it" in result.stderr
    before = end_offsets(broker.bootstrap_servers, INPUT)
    nobody = run_here(*replay, "--all", "--again", "--api", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr
    assert "Traceback" not in nobody.stderr
    assert end_offsets(broker.bootstrap_servers, INPUT) == before
