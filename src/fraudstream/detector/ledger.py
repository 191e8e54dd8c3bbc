"""Validates the checkpoint and writes the ledger: an entry for each partition of each committed batch.

Spark reports a batch after it has committed it: what a crash loses in between is counted again by scoring the range.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.checkpoint import Marker, ends_after, first_offsets, inspect, put_aside, sweep, write_marker
from fraudstream.detector.events import EventWriter
from fraudstream.detector.query import (
    OUTCOMES_OBSERVED,
    RECORDS_OBSERVED,
    Counts,
    Span,
    observed_counts,
    offsets_without_record,
)
from fraudstream.detector.spark_log import Offsets
from fraudstream.errors import KafkaFailure
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.messages.ledger import Apart, EntryKind, LedgerEntry, Source, batch_entry_id, loss_entry_id
from fraudstream.model.deployment.current import Deployment
from fraudstream.runtime.files import replace_json
from fraudstream.times import iso
from fraudstream.transactions.wire import EventField, EventType, Outcome

log = structlog.get_logger(__name__)

NOTE: Final = "ledger.json"
"""The progress of the ledger, a file in the checkpoint."""

MAX_PROGRESS_POLLS: Final = 3
"""How often we wait for Spark's report on a new batch before we count its records another way."""


@dataclass(frozen=True)
class Note:
    """The progress of the ledger.

    `batch` is the last one whose entries Kafka acknowledged; the deployment and envelope are of the last query.
    """

    checkpoint_id: str
    batch: int
    until: Offsets
    deployment: Deployment
    envelope: str = ""


_NOTE: Final = TypeAdapter(Note)


@dataclass
class LedgerKeeper:
    """The checkpoint of one detector, and the only writer of its ledger.

    Args:
        read_topic_id: Returns Kafka's id of the topic.
        watermarks: Those of the topic; may raise.
        count_again: Counts what the query did not report, by scoring the ranges with deployment and envelope of then.
        envelope: The setting of the query.
        events: Receives an event for each loss, and if a new checkpoint meets an old ledger.
        on_report: Receives the query's report on each batch, once its entries are written.
    """

    checkpoint: Path
    topic: str
    read_topic_id: Callable[[], str]
    ledger: KafkaLedger
    watermarks: Watermarks
    count_again: Callable[[Deployment, str, Mapping[int, Span]], Counts]
    events: EventWriter
    now: Callable[[], datetime]
    envelope: str = ""
    on_report: Callable[[Mapping[str, Any]], None] = lambda progress: None
    start: Offsets | None = field(default=None, init=False)
    """Starting offsets of a query whose checkpoint was rebuilt; None for the earliest offset."""
    topic_id: str = field(default="", init=False)
    """Kafka's id of the topic at the last start."""
    _note: Note | None = field(default=None, init=False)
    _deployment: Deployment = field(init=False)
    _waited: int = field(default=0, init=False)

    def begin(self, deployment: Deployment) -> None:
        """Validate the checkpoint and add to the ledger what happened while the detector was down; before each start.

        Raises CheckpointDamaged if the query cannot resume from it, KafkaFailure if Kafka does not accept the losses
        (no query may silently skip them), or KafkaException.
        """
        self.topic_id = self.read_topic_id()
        if removed := sweep(self.checkpoint):
            log.warning("removed temporary files of a failed checkpoint write", files=[str(file) for file in removed])
        state = inspect(self.checkpoint, self.topic, self.topic_id)
        marker = state.marker or Marker(self.topic, self.topic_id)
        if state.marker is None:
            if state.is_new:
                self._report_rescoring()
            write_marker(self.checkpoint, marker)
        self._deployment = deployment
        self._note = None if state.query_id is None else self._read_note(state.query_id, state.first or {})
        if self._note is not None:
            self._enter(self._note, state.ends, {}, patient=False)
        passed = self._enter_losses(state.committed)
        if passed is not None:
            # The checkpoint points to deleted offsets.
            self._note = None
            marker = replace(marker, start=passed)
            put_aside(self.checkpoint, "passed", self.now())
            write_marker(self.checkpoint, marker)
        elif self._note is not None:
            self._save(replace(self._note, deployment=deployment, envelope=self.envelope))
        self.start = marker.start

    def poll(self, query: StreamingQuery, *, last: bool) -> bool:
        """Add the batches that were committed since the last call; `last` if the query has ended.

        A batch without a report is left to the next call, unless this is the last one.

        Returns whether a batch ended before the first offset that Kafka still has: Real-time Mode then waits for ever.
        """
        if self._note is None:
            first = first_offsets(self.checkpoint, self.topic)
            self._note = Note(str(query.id), -1, first, self._deployment, self.envelope)
        ends = ends_after(self.checkpoint, self.topic, self._note.batch)
        if not ends:
            return False
        counted = {OUTCOMES_OBSERVED, RECORDS_OBSERVED}
        reports = [orjson.loads(report.json) for report in query.recentProgress]
        by_batch = {int(each["batchId"]): each for each in reports if counted <= each.get("observedMetrics", {}).keys()}
        self._enter(self._note, ends, by_batch, patient=not last)
        begins = self.watermarks.begins()
        return any(begins.get(partition, 0) > end for partition, end in ends[max(ends)].items())

    def _report_rescoring(self) -> None:
        scored = sum(entry.records for entry in self.ledger.read() if entry.topic_id == self.topic_id)
        if scored:
            self.events.write(
                EventType.QUERY,
                f"the checkpoint {self.checkpoint} is new, but the ledger already accounts for {scored} records: "
                "everything in Kafka is scored again (the store ignores duplicate alerts). To resume after the ledger "
                f"instead: fraudstream checkpoint rebuild --checkpoint {self.checkpoint}",
            )

    def _report_loss(self, loss: LedgerEntry) -> None:
        offsets = f"{loss.topic}[{loss.partition}] {loss.from_offset} to {loss.until_offset - 1}"
        self.events.write(
            EventType.LOSS,
            f"{loss.offsets} records are lost: {offsets}: {loss.reason}",
            **{
                EventField.TOPIC: loss.topic,
                EventField.PARTITION: loss.partition,
                EventField.OFFSET: loss.from_offset,
                "until_offset": loss.until_offset,
            },
        )

    def _read_note(self, query_id: str, first: Offsets) -> Note:
        # If the file is missing or broken, the ledger itself gives the same answer, only more slowly.
        with contextlib.suppress(OSError, ValidationError):
            note = _NOTE.validate_json((self.checkpoint / NOTE).read_bytes())
            if note.checkpoint_id == query_id:
                return note
        own = [e for e in self.ledger.read() if e.checkpoint_id == query_id and e.topic_id == self.topic_id]
        until = dict(first)
        for entry in own:
            until[entry.partition] = max(until.get(entry.partition, 0), entry.until_offset)
        return Note(query_id, max((e.batch_id for e in own), default=-1), until, self._deployment, self.envelope)

    def _enter(
        self, note: Note, ends: Mapping[int, Offsets], progress: Mapping[int, Mapping[str, Any]], *, patient: bool
    ) -> None:
        for batch in sorted(each for each in ends if each > note.batch):
            if batch not in progress and patient and batch == max(ends) and self._waited < MAX_PROGRESS_POLLS:
                self._waited += 1
                return
            self._waited = 0
            reached = {p: max(note.until.get(p, 0), end) for p, end in ends[batch].items()}
            if batch == max(ends):
                # A batch ends at its last record: a transaction marker after it would stay open for ever.
                reached |= self.watermarks.next_records(reached)
            spans = self._spans(note.until, reached)
            entries = self._entries(note, batch, spans, progress.get(batch)) if spans else []
            if entries and not self.ledger.send(entries):
                log.warning("the ledger cannot be written; retrying later", topic=self.topic, batch=batch)
                return
            for entry in entries:
                if entry.kind is EntryKind.LOSS:
                    self._report_loss(entry)
            note = replace(note, batch=batch, until={**note.until, **reached})
            self._save(note)
            if batch in progress:
                self.on_report(progress[batch])

    def _spans(self, before: Offsets, after: Offsets) -> dict[int, Span]:
        begins = self.watermarks.begins() if after.keys() - before.keys() else {}
        spans = {p: (before.get(p, begins.get(p, 0)), end) for p, end in after.items()}
        return {p: (start, end) for p, (start, end) in spans.items() if end > start}

    def _entries(
        self, note: Note, batch: int, spans: Mapping[int, Span], progress: Mapping[str, Any] | None
    ) -> list[LedgerEntry]:
        observed = observed_counts(progress, spans) if progress is not None else None
        counts = observed if observed is not None else self._counted_again(note, spans)
        source = Source.OBSERVED if observed is not None else Source.SCORED_AGAIN
        entries = []
        for partition, span in sorted(spans.items()):
            count: Mapping[Outcome | Apart, int] = counts.get(partition, {})
            each = {name.value: count.get(name, 0) for name in (*Outcome, *Apart)}
            outcomes = sum(each[outcome] for outcome in Outcome)
            entries.append(
                self._entry(
                    batch_entry_id(note.checkpoint_id, batch, partition),
                    EntryKind.BATCH,
                    partition,
                    span,
                    records=outcomes + each[Apart.WITHOUT_TRANSACTION] - each[Apart.ADDITIONAL],
                    **each,
                    checkpoint_id=note.checkpoint_id,
                    batch_id=batch,
                    model_id=note.deployment.model_id,
                    revision=note.deployment.revision,
                    threshold=note.deployment.threshold,
                    aliases=dict(note.deployment.aliases),
                    envelope=note.envelope,
                    source=source,
                )
            )
        if progress is not None:
            entries += self._losses_within(spans, offsets_without_record(progress, spans))
        return entries

    def _counted_again(self, note: Note, spans: Mapping[int, Span]) -> Counts:
        begins = self.watermarks.begins()
        spans = {p: (max(start, begins.get(p, 0)), end) for p, (start, end) in spans.items() if end > begins.get(p, 0)}
        return self.count_again(note.deployment, note.envelope, spans) if spans else {}

    def _losses_within(self, spans: Mapping[int, Span], missing: Mapping[int, int]) -> list[LedgerEntry]:
        """List offsets that the query skipped and that Kafka has deleted; its transaction markers are retained."""
        if max(missing.values()) <= 0:
            return []
        begins = self.watermarks.begins()
        losses = []
        for partition, (start, end) in sorted(spans.items()):
            deleted = min(begins.get(partition, 0), end)
            lost = min(missing[partition], deleted - start)
            if lost > 0:
                losses.append(self._loss(partition, deleted - lost, deleted, "before the query read them"))
        return losses

    def _enter_losses(self, committed: Offsets) -> Offsets | None:
        begins = self.watermarks.begins()
        passed = {p: begins[p] for p, offset in committed.items() if begins.get(p, 0) > offset}
        # What the ledger covers after the checkpoint's end held no record.
        known = {**committed, **(self._note.until if self._note is not None else {})}
        losses = [
            self._loss(partition, known[partition], begin, "before a batch that contains them was committed")
            for partition, begin in sorted(passed.items())
            if begin > known[partition]
        ]
        if losses and not self.ledger.send(losses):
            raise KafkaFailure("Kafka does not accept the ledger entry of a loss", where=f"topic {self.topic}")
        for loss in losses:
            self._report_loss(loss)
        return {**committed, **passed} if passed else None

    def _loss(self, partition: int, start: int, end: int, when: str) -> LedgerEntry:
        entry_id = loss_entry_id(self.topic_id, partition, start, end)
        reason = f"Kafka's retention deleted them {when}"
        return self._entry(entry_id, EntryKind.LOSS, partition, (start, end), reason=reason)

    def _entry(self, entry_id: str, kind: EntryKind, partition: int, span: Span, **more: Any) -> LedgerEntry:
        return LedgerEntry(
            entry_id=entry_id,
            kind=kind,
            topic=self.topic,
            topic_id=self.topic_id,
            partition=partition,
            from_offset=span[0],
            until_offset=span[1],
            committed_at=iso(self.now()),
            **more,
        )

    def _save(self, note: Note) -> None:
        self._note = note
        replace_json(self.checkpoint / NOTE, _NOTE.dump_python(note, mode="json"))
