"""Builds the ledger keeper of the input topic, which counts in the detector's own Spark session."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from pyspark.sql import SparkSession

from fraudstream.config import Settings
from fraudstream.detector.events import EventWriter
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.kafka.topics import topic_id
from fraudstream.messages.ledger import Range
from fraudstream.model.deployment.current import Deployment, artifact_beside
from fraudstream.scoring.scorer import load_scorer
from fraudstream.scoring.topic import count_outcomes
from fraudstream.transactions.wire import Outcome, Topic

log = structlog.get_logger(__name__)


def build_keeper(spark: SparkSession, settings: Settings, watermarks: Watermarks, events: EventWriter) -> LedgerKeeper:
    """Build the keeper; what the query did not report is counted by scoring it again."""
    topic = Topic.TRANSACTIONS.value

    def count_again(deployment: Deployment, spans: Mapping[int, tuple[int, int]]) -> dict[int, Counter[Outcome]]:
        log.info("counting unreported batches again", spans={p: f"{a} to {b}" for p, (a, b) in spans.items()})
        scorer = load_scorer(artifact_beside(settings.model, deployment.model_id), deployment)
        ranges = [Range(partition, start, end) for partition, (start, end) in spans.items()]
        return count_outcomes(
            spark, scorer, settings.bootstrap_servers, topic, ranges, max_record_bytes=settings.max_record_bytes
        )

    return LedgerKeeper(
        checkpoint=settings.checkpoint,
        topic=topic,
        read_topic_id=lambda: topic_id(settings.bootstrap_servers, topic),
        ledger=KafkaLedger(settings.bootstrap_servers),
        watermarks=watermarks,
        count_again=count_again,
        events=events,
        now=lambda: datetime.now(UTC),
    )
