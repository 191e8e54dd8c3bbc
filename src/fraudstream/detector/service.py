"""Runs the detector as a service: builds the Spark session, the Kafka clients and the supervisor."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

import structlog
from confluent_kafka import Producer
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.config import Settings
from fraudstream.detector.checkpoint import lock_checkpoint, offsets_text
from fraudstream.detector.cluster import ClusterWatch, require_connector, require_operator
from fraudstream.detector.events import EventWriter
from fraudstream.detector.history import HistoryKeeper
from fraudstream.detector.launch import detector_plan
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.detector.partitions import ConsumerLag, PartitionWatch, QueryProbe
from fraudstream.detector.query import Counts, QuerySettings, Span, Trigger, check_interval, start_query, with_history
from fraudstream.detector.supervisor import Supervisor, wait_for_model
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.kafka.topics import ensure_topics, topic_id
from fraudstream.messages.ledger import MOST_PAST_PROBLEMS, Problem, Range
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import (
    Deployment,
    artifact_beside,
    current_file,
    read_current,
    resolve,
    tighten_models,
)
from fraudstream.model.deployment.state import require_state, state_directory
from fraudstream.runtime.cluster import await_cores, is_local, task_slots
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import Jvm, empty_if_large, log_file
from fraudstream.runtime.processes import write_ready
from fraudstream.runtime.spark import OWN_CORES, is_submitted, reopen, spark_session
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import load_scorer
from fraudstream.scoring.topic import count_outcomes
from fraudstream.transactions.wire import DetectorState, EventType, Topic

log = structlog.get_logger(__name__)


def run_detector(
    settings: Settings,
    trigger: str,
    java: Java,
    jars: Jars,
    stop: threading.Event,
    jvm: Jvm | None = None,
    *,
    await_model: bool = False,
) -> None:
    """Detect until `stop` is set.

    `trigger` is `realtime` or `micro-batch`; `jars` is empty if `spark-submit` provides Spark's Kafka connector;
    `jvm` is one that was already started for it, None starts one if needed; with `await_model`, Spark is started
    before there is a model.

    Raises:
        SettingsError: The batch interval is invalid.
        SetupError: Spark has no Kafka connector, or one for another Spark version.
        BrokerUnreachable: The bootstrap servers do not answer.
        ModelError: There is no usable model.
        DetectorError: Another detector is using the checkpoint, or the query failed repeatedly.
    """
    mode = Trigger(trigger)
    check_interval(_interval(settings, mode), mode)
    with lock_checkpoint(settings.checkpoint):
        tighten_models(settings.model)
        if not await_model:
            _resolve(settings)  # before Spark is started, so that a missing model is reported at once
        cluster = Cluster.of(settings)
        topics = ensure_topics(cluster, settings.partitions, settings.max_record_bytes, "detect")
        partitions = topics[Topic.TRANSACTIONS]
        producer = Producer(cluster.producer() | {"acks": "all", "linger.ms": 5, "message.timeout.ms": 0})
        events = EventWriter(producer, cluster.topic(Topic.EVENTS), lambda: datetime.now(UTC))
        plan = detector_plan(settings, java, jars, partitions)
        log.info("starting Spark", bootstrap_servers=settings.bootstrap_servers, partitions=partitions)
        with (
            _publishing_state(events),
            spark_session(plan, jvm) as spark,
            # Only the session knows its master: `spark-submit` may have set it.
            cluster.spark_options(is_local=is_local(spark)) as kafka,
        ):
            require_connector(_gateway(spark), reads_avro=settings.schema_registry is not None)
            log.info("Spark is there", master=spark.sparkContext.master)
            if settings.spark_master not in (None, plan.master):
                events.write(
                    EventType.PARTITIONS,
                    f"{settings.spark_master} has too few task slots for {partitions} partitions of "
                    f"{cluster.topic(Topic.TRANSACTIONS)}: using {plan.master}",
                )
            if await_model:
                wait_for_model(lambda: _resolve(settings), events, stop)
            detector = _Detector(settings, cluster, MessageFormat.of(settings), kafka, mode, events)
            while True:
                _await_cores(spark, partitions if mode is Trigger.REALTIME else 1, events, stop)
                supervisor = detector.supervisor(spark, partitions)
                supervisor.run(stop)
                if stop.is_set():
                    return
                partitions = supervisor.partitions.partitions
                plan = detector_plan(settings, java, jars, partitions)
                log.info("starting another Spark session", partitions=partitions, master=plan.master)
                events.set_state(DetectorState.STARTING, "Spark is starting with more task slots", None)
                spark = reopen(spark, plan)


def _await_cores(spark: SparkSession, slots: int, events: EventWriter, stop: threading.Event) -> None:
    def report(message: str) -> None:
        events.write(EventType.CLUSTER, message)
        events.set_state(DetectorState.STARTING, message, None)

    await_cores(spark, slots, report, stop)


@contextmanager
def _publishing_state(events: EventWriter) -> Iterator[None]:
    """Publish the detector's state for the length of a `with` block, and flush the events at its end."""
    ended = threading.Event()
    publisher = threading.Thread(target=events.repeat_state, args=(ended,), name="status")
    publisher.start()
    try:
        yield
    finally:
        ended.set()
        publisher.join()
        events.flush()


@dataclass(frozen=True)
class _Detector:
    """What the queries of a detector have in common, also in several sessions."""

    settings: Settings
    cluster: Cluster
    message_format: MessageFormat
    kafka: Mapping[str, str]
    trigger: Trigger
    events: EventWriter
    past: deque[Problem] = field(default_factory=lambda: deque(maxlen=MOST_PAST_PROBLEMS))

    def supervisor(self, spark: SparkSession, partitions: int) -> Supervisor:
        settings, topic, events = self.settings, self.cluster.topic(Topic.TRANSACTIONS), self.events
        realtime, in_this_jvm = self.trigger is Trigger.REALTIME, is_local(spark)
        spark_log = log_file(settings.cache, "detector")
        history = HistoryKeeper(
            checkpoint=settings.checkpoint,
            profiles=settings.profiles,
            key_file=settings.entity_key,
            events=events,
            now=lambda: datetime.now(UTC),
        )
        watermarks = Watermarks(self.cluster, topic)
        consumers = ConsumerLag(_gateway(spark), topic)
        watch = PartitionWatch(
            topic=topic,
            partitions=partitions,
            marks=watermarks.read,
            slots=(lambda: task_slots(spark)) if realtime else (lambda: None),
            reading=consumers.partitions if realtime and in_this_jvm else (lambda: None),
            can_restart=in_this_jvm or spark.sparkContext.getConf().contains(OWN_CORES),
            events=events,
            past=self.past,
            cluster=None if in_this_jvm else ClusterWatch(spark, events),
            more=lambda: history.problems,
        )
        keeper = self._keeper(spark, watermarks, history)

        def start(artifact: ModelArtifact, deployment: Deployment) -> StreamingQuery:
            empty_if_large(spark_log)  # a query that fails again and again fills it
            offsets = keeper.start
            scorer = load_scorer(artifact, deployment)
            log.info("the model is loaded", model_id=deployment.model_id)
            spec = artifact.manifest.history
            live = history.begin(spec, deployment.aliases, keeper.topic_id, watch.partitions)
            if live is not None:
                require_operator(_gateway(spark))
            query_settings = QuerySettings(
                kafka=self.kafka,
                topics={each: self.cluster.topic(each) for each in Topic},
                checkpoint=settings.checkpoint,
                trigger=self.trigger,
                interval=_interval(settings, self.trigger),
                sample_every=settings.sample_every,
                message_format=self.message_format,
                start="earliest" if offsets is None else offsets_text(topic, offsets, watch.partitions),
                partitions=watch.partitions,
                history=live,
            )
            return start_query(spark, scorer, query_settings)

        current = current_file(settings.model)
        return Supervisor(
            start=start,
            resolve=lambda: _resolve(settings),
            revision=None if current is None else (lambda: read_current(current)),
            probe=QueryProbe(watch, consumers if realtime else None, awaits_consumers=in_this_jvm),
            keeper=keeper,
            partitions=watch,
            events=events,
            on_ready=partial(write_ready, settings.ready_file),
            on_stop=lambda: _silence_logging(spark),
            logs="the terminal" if is_submitted() else f"the detector's log, and Spark's: {spark_log}",
            fetch_schemas=lambda: self.message_format.fetch_schemas(spark),
            new_schema=self.message_format.new_schema,
        )

    def _keeper(self, spark: SparkSession, watermarks: Watermarks, history: HistoryKeeper) -> LedgerKeeper:
        """Build the keeper of the input topic, which scores again what the query did not report, in this session."""
        settings, topic = self.settings, self.cluster.topic(Topic.TRANSACTIONS)

        def count_again(deployment: Deployment, envelope: str, spans: Mapping[int, Span]) -> Counts:
            log.info("counting unreported batches again", spans={p: f"{a} to {b}" for p, (a, b) in spans.items()})
            artifact = artifact_beside(settings.model, deployment.model_id)
            scorer, replayed = load_scorer(artifact, deployment), history.replay(artifact.manifest, deployment)
            add = None if replayed is None else partial(with_history, history=replayed, replays=True)
            ranges = [Range(partition, start, end) for partition, (start, end) in spans.items()]
            message_format = replace(self.message_format, envelope=envelope)
            return count_outcomes(spark, scorer, self.kafka, topic, ranges, message_format, add)

        return LedgerKeeper(
            checkpoint=settings.checkpoint,
            topic=topic,
            read_topic_id=lambda: topic_id(self.cluster, topic),
            ledger=KafkaLedger(self.cluster),
            watermarks=watermarks,
            count_again=count_again,
            envelope=settings.envelope,
            events=self.events,
            now=lambda: datetime.now(UTC),
            on_report=history.report,
        )


def _resolve(settings: Settings) -> tuple[ModelArtifact, Deployment]:
    """Load the active model; raises DeploymentRefused if the state lacks the history that it needs."""
    artifact, deployment = resolve(settings.model)
    require_state(state_directory(settings.checkpoint), artifact.manifest)
    return artifact, deployment


def _interval(settings: Settings, trigger: Trigger) -> str:
    return settings.batch_interval if trigger is Trigger.REALTIME else settings.micro_batch_interval


def _silence_logging(spark: SparkSession) -> None:
    """Turn Spark's logging off: a query stopped within a batch fails its tasks, each with a stack trace."""
    with suppress(Py4JError, OSError):
        spark.sparkContext.setLogLevel("OFF")


def _gateway(spark: SparkSession) -> JavaGateway:
    return cast(JavaGateway, spark.sparkContext._gateway)  # noqa: SLF001  the only way to the JVM that pyspark offers
