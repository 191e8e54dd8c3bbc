"""Sees before each start that the checkpoint can be gone on from, and has the ledger kept; `supervisor.py` asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.checkpoint import CheckpointState, Marker, inspect, write_marker
from fraudstream.detector.events import EventWriter
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.detector.spark_log import Offsets
from fraudstream.model.current import InForce
from fraudstream.transactions.wire import EventType


@dataclass
class BatchAccounts:
    """Checkpoint and ledger of one detector.

    Args:
        checkpoint: The checkpoint's directory.
        topic: The input topic.
        topic_id: Tells Kafka's id of it.
        keeper: The ledger's.
        events: Where a new checkpoint beside an old ledger is told.
    """

    checkpoint: Path
    topic: str
    topic_id: Callable[[], str]
    keeper: LedgerKeeper
    events: EventWriter
    _start: Offsets | None = field(default=None, init=False)

    @property
    def start(self) -> Offsets | None:
        """Where a query begins whose checkpoint was rebuilt; None for the earliest offset."""
        return self._start

    def begin(self, in_force: InForce) -> None:
        """See to the checkpoint, and enter into the ledger what happened without us.

        Raises:
            CheckpointDamaged: It cannot be gone on from.
            KafkaException: Kafka does not answer.
            KafkaFailure: The same.
        """
        topic_id = self.topic_id()
        state = inspect(self.checkpoint, self.topic, topic_id)
        self.keeper.topic_id = topic_id
        if state.marker is None:
            if state.is_new:
                self._tell_of_former(topic_id)
            write_marker(self.checkpoint, Marker(self.topic, topic_id))
        self.keeper.begin(state, in_force)
        self._start = self._clipped(state)

    def look(self, query: StreamingQuery, *, last: bool) -> None:
        """Enter what was committed."""
        self.keeper.look(
            str(query.id), lambda: [orjson.loads(told.json) for told in query.recentProgress], patient=not last
        )

    def _clipped(self, state: CheckpointState) -> Offsets | None:
        start = state.marker.start if state.marker else None
        if start is None or not state.is_new:
            return start
        begins = self.keeper.begins()
        return {partition: max(offset, begins.get(partition, 0)) for partition, offset in start.items()}

    def _tell_of_former(self, topic_id: str) -> None:
        judged = sum(entry.records for entry in self.keeper.ledger.read() if entry.topic_id == topic_id)
        if judged:
            self.events.write(
                EventType.QUERY,
                f"the checkpoint {self.checkpoint} is new, though the ledger accounts for {judged} records: all that "
                "Kafka holds is judged again, and the store keeps each alert once; to go on after the ledger instead: "
                f"fraudstream checkpoint rebuild --checkpoint {self.checkpoint}",
            )
