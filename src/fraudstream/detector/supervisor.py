"""Keeps one query running: starts it, restarts it after a failure, and redeploys when the active model changes."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException
from pyspark.errors import PySparkException
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.events import EventWriter
from fraudstream.detector.ledger import LedgerKeeper
from fraudstream.detector.partitions import PartitionWatch, QueryProbe
from fraudstream.errors import DetectorError, FraudstreamError, KafkaFailure, ModelNotFound, SchemaRegistryFailed
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment
from fraudstream.transactions.wire import DetectorState, EventField, EventType

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
READING_POLL_SECONDS: Final = 0.1
FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 30.0
"""A failure after this long a run starts a new count of failures in a row."""
MOST_FAILURES_IN_A_ROW: Final = 5
READING_SECONDS: Final = 15.0
"""How long to wait until a started query is reading; after that it counts as running anyway."""


class QueryEnded(Exception):
    """Raised when the query is no longer active but reports no cause."""


@dataclass
class Supervisor:
    """Supervises one query.

    Args:
        start: Loads the model and starts the query from its checkpoint.
        resolve: Reads the deployment and verifies its artifact.
        revision: Reads only the deployment, cheaply; None for a model named directly, which never changes.
        events: Receives the state of the query, and what happens to it.
        on_ready: Called after each start, once the query is reading.
        on_stop: Called on shutdown, before the query is stopped.
        logs: Where the full text of an error is.
        fetch_schemas: Fetches the Avro schemas needed, and returns what cannot be read; raises SchemaRegistryFailed.
        new_schema: Returns the schema id, if any, for which a query failed because it is new.
    """

    start: Callable[[ModelArtifact, Deployment], StreamingQuery]
    resolve: Callable[[], tuple[ModelArtifact, Deployment]]
    revision: Callable[[], Deployment] | None
    probe: QueryProbe
    keeper: LedgerKeeper
    partitions: PartitionWatch
    events: EventWriter
    on_ready: Callable[[], None]
    on_stop: Callable[[], None] = lambda: None
    logs: str = "the detector's log"
    fetch_schemas: Callable[[], Sequence[str]] = lambda: ()
    new_schema: Callable[[Exception], int | None] = lambda error: None
    _failures: int = field(default=0, init=False)
    _refused: Deployment | None = field(default=None, init=False)
    _reported: str = field(default="", init=False)

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set, or until another Spark session is needed (`partitions.needs_session`).

        Raises:
            DetectorError: The query failed five times in a row, soon after each start, though Kafka answers.
            CheckpointDamaged: The query cannot resume from the checkpoint.
            ModelError: There is no usable model at the first start.
        """
        while not self.partitions.needs_session and self._await_services(stop):
            started = time.monotonic()
            try:
                artifact, deployment = self.resolve()
                self.keeper.begin(deployment)
                query = self.start(artifact, deployment)
            except (PySparkException, KafkaException, KafkaFailure, SchemaRegistryFailed) as e:
                self._failed(e, started, stop)
                continue
            try:
                # A payment sent before the query reads would wait for seconds.
                self._await_reading(query, stop)
                self._report_started(query, deployment)
                self._watch(query, deployment, stop)
                self._failures = 0
            except (PySparkException, QueryEnded) as e:
                self._failed(e, started, stop)
            finally:
                if stop.is_set() or self.partitions.needs_session:
                    self.on_stop()
                _stop(query)
                self._account(query, last=True)

    def _await_services(self, stop: threading.Event) -> bool:
        """Wait while Kafka or the schema registry is down: a query started without fails through no fault of its own.

        Returns False if `stop` was set before they answered.
        """
        reported = ""
        while not stop.is_set():
            reason = "Kafka does not answer"
            try:
                if self.probe.kafka_answers():
                    for problem in self.fetch_schemas():
                        self.events.write(EventType.QUERY, problem)
                    return True
            except SchemaRegistryFailed as e:
                reason = e.line
            if reason != reported:
                reported = reason
                log.warning("waiting before the query is started", reason=reason)
                self.events.set_state(DetectorState.FAILING, reason, None)
            stop.wait(POLL_SECONDS)
        return False

    def _account(self, query: StreamingQuery, *, last: bool) -> bool:
        try:
            return self.keeper.poll(query, last=last)
        except (PySparkException, KafkaException, FraudstreamError, OSError) as e:
            # The next call, or the next start, catches up.
            log.warning("the ledger was not written; retrying later", reason=str(e).strip().splitlines()[0])
            return False

    def _await_reading(self, query: StreamingQuery, stop: threading.Event) -> None:
        deadline = time.monotonic() + READING_SECONDS
        while query.isActive and not self.probe.is_reading(query) and time.monotonic() < deadline:
            if stop.wait(READING_POLL_SECONDS):
                return

    def _watch(self, query: StreamingQuery, deployment: Deployment, stop: threading.Event) -> None:
        """Return when the query should be restarted or stopped; raise if it failed."""
        last: dict[int, int] = {}
        while not stop.wait(POLL_SECONDS):
            if not query.isActive:
                raise query.exception() or QueryEnded("the query ended by itself")
            if self._account(query, last=False):
                log.warning("Kafka has deleted records that the query waits for; restarting it after them")
                return
            if self._has_changed(deployment) or self.partitions.poll(query):
                return
            positions = self.probe.positions(query)
            if positions and positions != last:
                last = positions
                by_partition = {str(partition): {"position": at} for partition, at in positions.items()}
                reached = {EventField.POSITIONS: {self.partitions.topic: by_partition}}
                self.events.write(EventType.PROGRESS, "", **reached, **_deployed(deployment))

    def _has_changed(self, deployment: Deployment) -> bool:
        """Check whether a new, usable revision is deployed; one that is unusable is reported once and ignored."""
        if self.revision is None:
            return False
        try:
            now = self.revision()
            if now in (deployment, self._refused):
                return False
            self._refused = now
            self.resolve()
        except FraudstreamError as e:
            if e.message != self._reported:
                self._reported = e.message
                what = f"the deployed model cannot be used, keeping the previous one: {e.what}"
                self.events.write(EventType.MODEL, what)
            return False
        self._refused = None
        self.events.write(
            EventType.MODEL,
            f"revision {now.revision}: {now.model_id}, threshold {now.threshold}{_aliases(now)}",
            **{EventField.MODEL_ID: now.model_id, EventField.REVISION: now.revision},
        )
        return True

    def _report_started(self, query: StreamingQuery, deployment: Deployment) -> None:
        run = {EventField.RUN_ID: str(query.runId)}
        self.events.write(EventType.QUERY, "the query is running", **_deployed(deployment), **run)
        self.events.set_state(DetectorState.RUNNING, "", deployment)
        self.on_ready()

    def _failed(self, error: Exception, started: float, stop: threading.Event) -> None:
        if (schema_id := self.new_schema(error)) is not None:
            message = f"schema id {schema_id} is new: the query restarts with it"
            self.events.write(EventType.QUERY, message)
            self.events.set_state(DetectorState.STARTING, message, None)
            return
        steady = time.monotonic() - started >= STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1
        reason = str(error).strip().splitlines()[0]
        self.events.write(EventType.QUERY, f"the query failed and is restarted from its checkpoint: {reason}")
        self.events.set_state(DetectorState.FAILING, reason, None)
        if isinstance(error, SchemaRegistryFailed) or not self.probe.kafka_answers():
            self._failures = 0
        if self._failures >= MOST_FAILURES_IN_A_ROW:
            raise DetectorError(
                f"the query failed {self._failures} times in a row: {reason}",
                where=f"for the full error see {self.logs}",
                remedy="run `fraudstream doctor`; check Kafka and the checkpoint, then restart the detector",
            ) from error
        stop.wait(min(FIRST_BACKOFF_SECONDS * 2 ** max(self._failures - 1, 0), LONGEST_BACKOFF_SECONDS))


def wait_for_model(resolve: Callable[[], object], events: EventWriter, stop: threading.Event) -> None:
    """Return once a model is deployed, or `stop` is set; raises ModelError if it is unusable."""
    events.set_state(DetectorState.STARTING, "waiting for a model", None)
    while not stop.is_set():
        try:
            resolve()
            break
        except ModelNotFound:
            stop.wait(READING_POLL_SECONDS)
    events.set_state(DetectorState.STARTING, "starting the query", None)


def _deployed(deployment: Deployment) -> dict[str, Any]:
    return {
        EventField.MODEL_ID: deployment.model_id,
        EventField.REVISION: deployment.revision,
        EventField.THRESHOLD: deployment.threshold,
    }


def _aliases(deployment: Deployment) -> str:
    pairs = [f"{new} is read as {old}" for new, old in deployment.aliases.items()]
    return f", {', '.join(pairs)}" if pairs else ""


def _stop(query: StreamingQuery) -> None:
    try:
        query.stop()
    except PySparkException as e:
        log.warning("the query did not stop cleanly", reason=str(e).splitlines()[0])
