"""Sends the replays of the store's log, for the relay and for the command; Kafka's side is `kafka/replay_topic.py`'s.

Each request is sent at most once, also by a sender that is killed at any point: it is claimed (state `sending`) before
the record leaves, together with the ends of the topic, and who finds it so once the lease has run out looks for the
record from there on before it sends it.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import KafkaException

from fraudstream.alerts.replay_state import LEASE_SECONDS, SEND_SECONDS
from fraudstream.alerts.validation import Unfit, instant
from fraudstream.errors import DashboardFailed, KafkaFailure
from fraudstream.kafka.replay import (
    LetterFacts,
    Original,
    Place,
    ReplayRefused,
    ReplayUncertain,
    repeated,
)
from fraudstream.kafka.replay_topic import ReplayTopic
from fraudstream.transactions.wire import DeadLetterField

log = structlog.get_logger(__name__)

CLAIM: Final = "/api/replays/claim"
RESULTS: Final = "/api/replays/results"
CLAIMED_AT_ONCE: Final = 100
LOOK_SECONDS: Final = 1.0

_Result = Place | ReplayRefused | ReplayUncertain


class Dashboard(Protocol):
    """The dashboard's API, as a sender of replays uses it; `DashboardClient` is one."""

    def post(self, route: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Post an object, and return the one that is answered; raises `DashboardFailed`."""


class ReplaySender:
    """Claims replays, sends them, and tells what became of them.

    Args:
        dashboard: Keeps the log.
        connect: Opens the input topic; called when there is something to send, and again after a failure.
        sender: Its id; a new process has a new one.
    """

    def __init__(self, dashboard: Dashboard, connect: Callable[[], ReplayTopic], sender: str | None = None) -> None:
        self.sender = sender or uuid.uuid4().hex
        self._dashboard = dashboard
        self._connect = connect
        self._topic: ReplayTopic | None = None
        # Looking through hours of records takes longer than a lease: the next claim goes on from here.
        self._searched: dict[str, int] = {}

    def send_some(self, batch: str | None = None) -> int:
        """Deal with the next replays that wait, of one request or of all.

        Returns:
            How many were claimed; 0 where none waits.

        Raises:
            DashboardFailed: The dashboard does not answer; what was claimed is looked after once the lease is over.
            KafkaException: Kafka does not; likewise.
            KafkaFailure: Kafka does not, or has no such topic; likewise.
        """
        asked: dict[str, Any] = {"sender": self.sender, "batch": batch}
        if not self._dashboard.post(CLAIM, asked | {"limit": 0})["waiting"]:
            return 0
        if self._topic is None:
            self._topic = self._connect()
        claim = asked | {"limit": CLAIMED_AT_ONCE, "ends": self._topic.ends()}
        begun = time.monotonic()
        claimed = self._dashboard.post(CLAIM, claim)["replays"]
        results = self._deal_with(self._topic, claimed, begun + LEASE_SECONDS - 2 * SEND_SECONDS)
        concluded = [_told(replay_id, result) for replay_id, result in results.items()]
        self._dashboard.post(
            RESULTS, {"sender": self.sender, "results": [each for each in concluded if each is not None]}
        )
        return len(claimed)

    def reconnect(self) -> None:
        """Let go of Kafka; the next replay opens the topic anew."""
        if self._topic is not None:
            self._topic.close()
            self._topic = None

    def _deal_with(
        self, topic: ReplayTopic, claimed: Sequence[Mapping[str, Any]], deadline: float
    ) -> dict[str, _Result]:
        """Send what is claimed; nothing after the deadline, when another sender may soon look after it."""
        results = self._sent_before(topic, claimed)
        records: dict[str, tuple[Place, Original]] = {}
        topic.read_ahead(Place.parse(each["origin"]) for each in claimed if each["replay_id"] not in results)
        for each in claimed:
            replay_id = each["replay_id"]
            if replay_id in results:
                continue
            if time.monotonic() > deadline:
                break
            try:
                origin, payload = Place.parse(each["origin"]), each["payload_base64"]
                value = None if payload is None else base64.b64decode(payload)
                original = topic.original(origin, _facts(each["letter"]), corrected=value is not None)
                records[replay_id] = (origin, repeated(original, origin, replay_id, value))
            except ReplayRefused as e:
                results[replay_id] = e
            except (KafkaException, KafkaFailure):
                raise
            except Exception as e:  # whatever it is, it is this record's
                log.error("a record cannot be sent again", record=each["origin"], reason=f"{type(e).__name__}: {e}")
                results[replay_id] = ReplayRefused(f"it cannot be converted: {e}")
        return results if time.monotonic() > deadline else results | topic.send(records)

    def _sent_before(self, topic: ReplayTopic, claimed: Sequence[Mapping[str, Any]]) -> dict[str, _Result]:
        """Those that another sender has sent before it died."""
        by_partition: dict[int, dict[str, int]] = defaultdict(dict)
        for each in claimed:
            if each["ends"] is not None:
                replay_id, partition = each["replay_id"], Place.parse(each["origin"]).partition
                begin = self._searched.get(replay_id, each["ends"].get(str(partition), 0))
                by_partition[partition][replay_id] = begin
        results: dict[str, _Result] = {}
        for partition, begins in by_partition.items():
            try:
                found, end = topic.find(begins, partition, min(begins.values()))
            except ReplayRefused as e:
                results |= dict.fromkeys(begins, e)
            else:
                results |= found
                self._searched |= dict.fromkeys(begins.keys() - found.keys(), end)
        return results


def send_replays(sender: ReplaySender, stop: threading.Event) -> None:
    """Send what is asked for, a second after it was at the latest, until `stop` is set; whatever fails is tried again.

    Args:
        sender: With a thread of its own: no alert waits for it.
        stop: Ends it.
    """
    while not stop.wait(LOOK_SECONDS):
        try:
            while not stop.is_set() and (number := sender.send_some()):
                log.info("records were sent again", replays=number)
        except (DashboardFailed, KafkaException, KafkaFailure) as e:
            log.debug("no replays this second", reason=str(e))
            sender.reconnect()
        except Exception as e:  # a thread that ended would leave every later replay unsent, and say nothing
            log.error("replays could not be sent", reason=f"{type(e).__name__}: {e}")
            sender.reconnect()
    sender.reconnect()


def _facts(letter: Mapping[str, Any]) -> LetterFacts:
    produced_us = dead_letter = None
    # A letter holds what was posted: nobody else has looked at these.
    with contextlib.suppress(Unfit):
        produced_us = instant(letter, DeadLetterField.PRODUCED_AT)
    with contextlib.suppress(ValueError):
        dead_letter = Place.parse(str(letter.get(DeadLetterField.DEAD_LETTER)))
    return LetterFacts(
        dead_letter=dead_letter,
        original_bytes=letter.get(DeadLetterField.ORIGINAL_BYTES),
        produced_ms=None if produced_us is None else produced_us // 1000,
    )


def _told(replay_id: str, result: _Result) -> dict[str, Any] | None:
    """A result for the log; none where Kafka has not said whether it took the record: it is looked for later."""
    if isinstance(result, ReplayUncertain):
        log.warning("Kafka has not acknowledged a replay; it is looked for", replay=replay_id, reason=str(result))
        return None
    if isinstance(result, ReplayRefused):
        return {"replay_id": replay_id, "reason": str(result)}
    return {"replay_id": replay_id, "place": str(result)}
