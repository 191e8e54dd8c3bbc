"""Validates the checkpoint before each start of the query and keeps the ledger of its batches."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
import structlog
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.config import Settings
from fraudstream.detector.checkpoint import Marker, inspect, put_aside, sweep, write_marker
from fraudstream.detector.events import EventWriter
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.detector.spark_log import Offsets
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.kafka.topics import topic_id
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.model.deployment.current import Deployment, artifact_beside
from fraudstream.scoring.scorer import load_scorer
from fraudstream.scoring.topic import Range, count_outcomes
from fraudstream.transactions.wire import EventField, EventType, Outcome, Topic

log = structlog.get_logger(__name__)


@dataclass
class BatchAccounts:
    """Checkpoint and ledger of one detector; `events` receives an event when a new checkpoint meets an old ledger."""

    topic_id: Callable[[], str]
    keeper: LedgerKeeper
    events: EventWriter
    start: Offsets | None = field(default=None, init=False)
    """Starting offsets of a query whose checkpoint was rebuilt; None for the earliest offset."""

    def begin(self, deployment: Deployment) -> None:
        """Validate the checkpoint and add to the ledger what happened while the detector was down.

        Raises CheckpointDamaged if the query cannot resume from it, KafkaException or KafkaFailure if Kafka is down.
        """
        topic_id, checkpoint, topic = self.topic_id(), self.keeper.checkpoint, self.keeper.topic
        if removed := sweep(checkpoint):
            log.warning("removed temporary files of a failed checkpoint write", files=[str(file) for file in removed])
        state = inspect(checkpoint, topic, topic_id)
        self.keeper.topic_id = topic_id
        marker = state.marker or Marker(topic, topic_id)
        if state.marker is None:
            if state.is_new:
                self._report_rescoring(topic_id)
            write_marker(checkpoint, marker)
        passed = self.keeper.begin(state, deployment)
        if passed is not None:
            marker = replace(marker, start=passed)
            put_aside(checkpoint, "passed", self.keeper.now())
            write_marker(checkpoint, marker)
        self.start = marker.start

    def poll(self, query: StreamingQuery, *, last: bool) -> bool:
        """Add committed batches to the ledger; return whether the query must restart past what Kafka deleted."""
        return self.keeper.poll(
            str(query.id), lambda: [orjson.loads(report.json) for report in query.recentProgress], patient=not last
        )

    def _report_rescoring(self, topic_id: str) -> None:
        checkpoint = self.keeper.checkpoint
        scored = sum(entry.records for entry in self.keeper.ledger.read() if entry.topic_id == topic_id)
        if scored:
            self.events.write(
                EventType.QUERY,
                f"the checkpoint {checkpoint} is new, but the ledger already accounts for {scored} records: "
                "everything in Kafka is scored again (the store ignores duplicate alerts). To resume after the ledger "
                f"instead: fraudstream checkpoint rebuild --checkpoint {checkpoint}",
            )


def build_accounts(
    spark: SparkSession, settings: Settings, watermarks: Watermarks, events: EventWriter
) -> BatchAccounts:
    """Build the accounts of the input topic; what the query did not report is counted in the same Spark session."""
    topic = Topic.TRANSACTIONS.value

    def begins() -> dict[int, int]:
        return {partition: begin for partition, (begin, _) in watermarks.read().items()}

    def count_again(deployment: Deployment, spans: Mapping[int, tuple[int, int]]) -> dict[int, Counter[Outcome]]:
        log.info("counting unreported batches again", spans={p: f"{a} to {b}" for p, (a, b) in spans.items()})
        scorer = load_scorer(artifact_beside(settings.model, deployment.model_id), deployment)
        ranges = [Range(partition, start, end) for partition, (start, end) in spans.items()]
        return count_outcomes(
            spark, scorer, settings.bootstrap_servers, topic, ranges, max_record_bytes=settings.max_record_bytes
        )

    def report_loss(loss: LedgerEntry) -> None:
        offsets = f"{loss.topic}[{loss.partition}] {loss.from_offset} to {loss.until_offset - 1}"
        events.write(
            EventType.LOSS,
            f"{loss.offsets} records are lost: {offsets}: {loss.reason}",
            **{
                EventField.TOPIC: loss.topic,
                EventField.PARTITION: loss.partition,
                EventField.OFFSET: loss.from_offset,
                "until_offset": loss.until_offset,
            },
        )

    keeper = LedgerKeeper(
        checkpoint=settings.checkpoint,
        topic=topic,
        topic_id="",
        ledger=KafkaLedger(settings.bootstrap_servers),
        begins=begins,
        next_records=watermarks.next_records,
        count_again=count_again,
        report_loss=report_loss,
        now=lambda: datetime.now(UTC),
    )
    return BatchAccounts(lambda: topic_id(settings.bootstrap_servers, topic), keeper, events)
