"""Sends the replays of the store's log, for the relay and for the command; Kafka's side is `kafka/replay.py`'s.

At least once: a sender that is killed between sending and concluding leaves its replays claimed; they are sent again
under the same event id, by which the store knows the second copy of an alert.
"""

import base64
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import KafkaException

from fraudstream.errors import DashboardFailed, KafkaFailure
from fraudstream.kafka.replay import Replay, ReplayRefused, ReplayTopic
from fraudstream.messages.base import instant
from fraudstream.transactions.wire import DeadLetterField, RecordId

log = structlog.get_logger(__name__)

CLAIM: Final = "/api/replays/claim"
RESULTS: Final = "/api/replays/results"
CLAIMED_AT_ONCE: Final = 100
LOOK_SECONDS: Final = 1.0
MOST_CHARS: Final = 500


class Dashboard(Protocol):
    """The dashboard's API, as a sender of replays uses it; `DashboardClient` is one."""

    def post(self, route: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Post an object, and return the one that is answered; raises `DashboardFailed`."""


class ReplaySender:
    """Claims replays, sends them, and concludes them.

    `connect` opens the input topic; called when there is something to send, and again after a failure.
    """

    def __init__(self, dashboard: Dashboard, connect: Callable[[], ReplayTopic]) -> None:
        self._dashboard = dashboard
        self._connect = connect
        self._topic: ReplayTopic | None = None

    def send_some(self, batch: str | None = None) -> int:
        """Send the next replays that wait, of one request or of all; returns how many were claimed, 0 where none waits.

        Raises DashboardFailed, KafkaException or KafkaFailure; what was claimed is claimed again later.
        """
        if not self._dashboard.post(CLAIM, {"batch": batch, "limit": 0})["waiting"]:
            return 0
        # Before the claim: what nobody can send now goes on waiting.
        self._topic = self._topic or self._connect()
        claimed = self._dashboard.post(CLAIM, {"batch": batch, "limit": CLAIMED_AT_ONCE})["replays"]
        results: dict[str, RecordId | ReplayRefused] = {}
        replays: list[Replay] = []
        for each in claimed:
            try:
                replays.append(_replay(each))
            except ValueError as e:
                results[each["replay_id"]] = ReplayRefused(f"it cannot be converted: {e}")
        # What Kafka has not acknowledged has no result, and is claimed again later.
        results |= self._topic.send(replays)
        # A reason may repeat what was posted, at any length: one that is refused would have all of them sent again.
        concluded = [
            {
                "replay_id": replay_id,
                "reason" if isinstance(result, ReplayRefused) else "place": str(result)[:MOST_CHARS],
            }
            for replay_id, result in results.items()
        ]
        self._dashboard.post(RESULTS, {"results": concluded})
        return len(claimed)

    def reconnect(self) -> None:
        """Let go of Kafka; the next replay opens the topic anew."""
        if self._topic is not None:
            self._topic.close()
            self._topic = None


def send_replays(sender: ReplaySender, stop: threading.Event) -> None:
    """Send what was requested, a second later at the latest, until `stop` is set; whatever fails is tried again."""
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


def _replay(claimed: Mapping[str, Any]) -> Replay:
    letter, payload = claimed["letter"], claimed["payload_base64"]
    produced_us = dead_letter = None
    # A letter holds what was posted: nobody else has looked at these.
    with contextlib.suppress(ValueError):
        produced_us = instant(letter.get(DeadLetterField.PRODUCED_AT))
    with contextlib.suppress(ValueError):
        dead_letter = RecordId.parse(str(letter.get(DeadLetterField.DEAD_LETTER)))
    return Replay(
        replay_id=claimed["replay_id"],
        origin=RecordId.parse(claimed["origin"]),
        payload=None if payload is None else base64.b64decode(payload),
        dead_letter=dead_letter,
        original_bytes=letter.get(DeadLetterField.ORIGINAL_BYTES),
        produced_ms=None if produced_us is None else produced_us // 1000,
    )
