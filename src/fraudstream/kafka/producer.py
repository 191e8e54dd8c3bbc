"""Produces each row of a CSV as one Kafka record, at a given rate."""

import functools
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException, Producer

from fraudstream.errors import SettingsError
from fraudstream.history.identity import entity_value
from fraudstream.kafka.client import PROPERTIES, Cluster, failure
from fraudstream.kafka.production import DeliveryTracker, SessionProgress
from fraudstream.kafka.progress import RunProgress, Spool, own_progress, read_progress, spool_path, write_progress
from fraudstream.kafka.reading import OF_KEY
from fraudstream.kafka.topics import require_uncompacted, topic_layout
from fraudstream.runtime.processes import write_ready
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.wire import Header, Topic, event_id

_Headers = list[tuple[str, str | bytes | None]]

REPORT_SECONDS: Final = 0.25
FLUSH_SECONDS: Final = 15.0
LEAST_APART_SECONDS: Final = 0.001
"""Rows at least this far apart are sent without lingering."""

_EVENT_ID: Final = Header.EVENT_ID.value
_SOURCE_ROW: Final = Header.SOURCE_ROW.value

_TICK_SECONDS: Final = 0.001


@dataclass(frozen=True)
class ProducePlan:
    """The options of a run.

    Attributes:
        progress: The progress file (see `progress_path`).
        interval: Seconds between two rows (see `interval_between_rows`); None sends as fast as possible.
        limit: End after this many rows of the run, including those of earlier sessions.
        resume: Resume the run in the progress file, if there is one.
        ready_file: Written just before the first row is sent.
        encode: Turns a row's JSON into the record's value.
        key: The column whose value is the record's key; empty for none; None for that of the run that is resumed.
    """

    cluster: Cluster
    progress: Path
    interval: float | None = None
    limit: int | None = None
    loop: bool = False
    resume: bool = False
    ready_file: Path | None = None
    encode: Callable[[bytes], bytes] = lambda row: row
    key: str | None = None

    @property
    def topic(self) -> str:
        """The name of the input topic."""
        return self.cluster.topic(Topic.TRANSACTIONS)


def interval_between_rows(rate: float | None, delay: float | None) -> float | None:
    """Return the seconds between two rows for `--rate` (rows per second) or `--delay` (seconds), None for neither.

    Raises SettingsError if both are set.
    """
    if rate is not None and delay is not None:
        raise SettingsError("--rate and --delay are mutually exclusive", remedy="use only one of them")
    return 1 / rate if rate else delay or None


def produce(
    source: DataSource,
    plan: ProducePlan,
    *,
    stopped: threading.Event,
    show: Callable[[SessionProgress], None] = lambda progress: None,
) -> SessionProgress:
    """Send the rows of a source until its end, the limit, or `stopped`; then wait for outstanding delivery reports.

    A row with a key goes to the partition that Java's producer takes for it, so that the transactions of an entity keep
    their order. Any other goes to the partition `row number % partitions`: round robin, so that the detector's tasks
    share the load at any rate (librdkafka would stick to one partition for a while). Sent again, both go to the same
    one. `show` is called every quarter of a second and at the end.

    Raises:
        BrokerUnreachable: Kafka does not respond at the start. Later the producer waits for it to come back.
        TopicMissing: The topic does not exist.
        KafkaFailure: Kafka accepts no more rows, another producer uses the same progress file, or rows with a key would
            go to a compacted topic.
        ProgressFailed: The progress file or the spool cannot be written.
        BrokenRow: The source has an invalid row; the rows before it have been sent.
        SettingsError: The run that is resumed has another key: rows sent again would go to another partition.
    """
    partitions, limit_bytes = topic_layout(plan.cluster, plan.topic)
    with own_progress(plan.progress), closing(Spool(spool_path(plan.progress))) as spool:
        run = read_progress(plan.progress, source.fingerprint) if plan.resume else None
        run = run or RunProgress(uuid.uuid4().hex, source.fingerprint, key=plan.key or "")
        if plan.key not in (None, run.key):
            what = f"the run that is resumed has {f'the key {run.key}' if run.key else 'no key'}"
            remedy = "leave out --key to continue it, or start again without --resume"
            raise SettingsError(what, where=str(plan.progress), remedy=remedy)
        if run.key:
            require_uncompacted(plan.cluster, plan.topic)
        # Before the first row is sent: a run that is killed at once is resumed with the same id.
        write_progress(plan.progress, run)
        tracker = DeliveryTracker(run, spool)
        limits = {"message.max.bytes": limit_bytes, "linger.ms": _linger(plan.interval)}
        properties = PROPERTIES["writer"] | PROPERTIES["producer"] | limits | {"error_cb": tracker.client_error}
        client = Producer(plan.cluster.producer() | properties)
        session = _Session(plan, partitions, client, tracker, spool, show)
        write_ready(plan.ready_file)
        try:
            session.send(source, run, stopped)
        finally:
            session.finish()
        if tracker.fatal is not None:
            cause, remedy = KafkaException(tracker.fatal), "fix the cause, then continue with --resume"
            raise failure("Kafka accepts no more rows", cause, plan.cluster, "WRITE", f"topic {plan.topic}", remedy)
        return session.progress()


@dataclass
class _Session:
    """One session of a run, from its current row to the end, the limit or a signal."""

    plan: ProducePlan
    partitions: int
    client: Producer
    tracker: DeliveryTracker
    spool: Spool
    show: Callable[[SessionProgress], None]

    def __post_init__(self) -> None:
        self._started = self._next_report = time.monotonic()

    def send(self, source: DataSource, run: RunProgress, stopped: threading.Event) -> None:
        """Enqueue every row at its time; returns early if the run is stopped or fails."""
        plan, tracker = self.plan, self.tracker
        interval, last = plan.interval, plan.limit
        run_id, fingerprint, column = run.run_id, run.fingerprint, run.key
        number, start = run.settled, run.next_row
        for pass_number in itertools.count(run.pass_number):
            first = number
            for row, payload in enumerate(source.json_rows(start), start):
                if last is not None and number >= last:
                    return
                if interval is not None:
                    self._wait_until(self._started + tracker.session.sent * interval, stopped)
                if self._must_end(stopped, 0):
                    return
                identity = event_id(run_id, fingerprint, pass_number, row)
                headers: _Headers = [(_EVENT_ID, identity), (_SOURCE_ROW, str(row))]
                key = entity_value(payload, column) if column else None
                if not self._enqueue(number, row, key, plan.encode(payload), headers, stopped):
                    return
                number += 1
            if not plan.loop or (start == 0 and number == first):
                return
            start = 0
            tracker.start_pass(number)

    def finish(self) -> None:
        """Wait for outstanding delivery reports as long as any arrive, and write the progress."""
        remaining, deadline = len(self.client), time.monotonic() + FLUSH_SECONDS
        while remaining and self.tracker.fatal is None and time.monotonic() < deadline:
            still = self.client.flush(REPORT_SECONDS)
            if still < remaining:
                deadline = time.monotonic() + FLUSH_SECONDS
            remaining = still
            self._report()
        self._report()

    def progress(self) -> SessionProgress:
        """Return the progress of the session."""
        return self.tracker.progress(time.monotonic() - self._started)

    def _wait_until(self, due: float, stopped: threading.Event) -> None:
        # `due` is relative to the start, so a late row does not delay the others. Above 1,000 rows/s the rows of one
        # millisecond are sent together: waking up for each would cost more than sending it.
        while (remaining := due - time.monotonic()) > _TICK_SECONDS and not stopped.is_set():
            self._poll(min(remaining, 0.1))

    def _poll(self, seconds: float) -> None:
        """Serve delivery reports for up to this many seconds, and write the progress if it is due."""
        self.client.poll(seconds)
        if time.monotonic() >= self._next_report:
            self._report()

    def _must_end(self, stopped: threading.Event, seconds: float) -> bool:
        self._poll(seconds)
        self.tracker.session.interrupted = stopped.is_set()
        return stopped.is_set() or self.tracker.fatal is not None

    def _enqueue(
        self, number: int, row: int, key: str | None, payload: bytes, headers: _Headers, stopped: threading.Event
    ) -> bool:
        """Enqueue a row, waiting while the queue is full; False if the run is stopped or fails."""
        tracker, partition = self.tracker, row % self.partitions if key is None else OF_KEY
        while True:
            try:
                self.client.produce(
                    self.plan.topic,
                    payload,
                    None if key is None else key.encode(errors="replace"),
                    partition=partition,
                    headers=headers,
                    on_delivery=functools.partial(tracker.delivered, number),
                )
            except BufferError:
                if self._must_end(stopped, 0.05):
                    return False
            except KafkaException as e:
                # Refused by the client: it is larger than the limit of the topic.
                tracker.session.sent += 1
                tracker.add_refusal(number, e.args[0], payload)
                return True
            else:
                tracker.session.sent += 1
                return True

    def _report(self) -> None:
        """Write the progress file, after the refused rows that it counts are on disk, and show the progress."""
        self._next_report = time.monotonic() + REPORT_SECONDS
        progress = self.progress()
        self.spool.sync()
        write_progress(self.plan.progress, progress.run)
        self.show(progress)


def _linger(interval: float | None) -> float:
    """Return `linger.ms`: none up to 1,000 rows/s (for latency), then up to 5 ms (for throughput).

    At 1,000 rows/s the broker uses 0.34 s of a core for 1,000 rows without lingering and 0.30 with 1 ms, and a row is
    acknowledged after 0.3 ms instead of 1.4. At 2,000 rows/s it uses 55 % of a core with 1 ms, 33 % with 4 ms.
    """
    if interval is None:
        return 20
    return 0 if interval >= LEAST_APART_SECONDS else min(5.0, 0.002 / interval)
