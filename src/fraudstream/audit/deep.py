"""Scores the retained topic again with the deployment of each ledger entry, and compares every offset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from fraudstream.audit.facts import Facts, script
from fraudstream.audit.report import Finding, Kind
from fraudstream.config import Settings
from fraudstream.errors import ModelError
from fraudstream.kafka.client import Cluster
from fraudstream.messages.ledger import Range, Source, merge_ranges
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment, artifact_beside
from fraudstream.runtime.engines import batch_spark, jars_for
from fraudstream.transactions.wire import REMARKABLE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TOLERANCE: Final = 1e-12
"""Scores that differ by no more are equal: a batch may sum in a different order."""

_QUERIES: Final = dict(re.findall(r"^-- (\w+): .*\n([^;]+);", script("deep.sql"), re.MULTILINE))


@dataclass(frozen=True)
class _Run:
    """Entries of one deployment, envelope and source of counts, and the ranges of them that Kafka still has."""

    number: int
    deployment: Deployment
    envelope: str
    source: Source
    ranges: list[Range]


def check_scores(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Score every ledger range that Kafka still has, and report each offset that differs from the ledger.

    Entries whose artifact is gone, or whose model reads a history, are not verified; rescored entries are marked, so
    that `comparison.py` skips them.
    """
    usable: list[tuple[_Run, ModelArtifact]] = []
    facts.db.execute(_QUERIES["number_runs"])
    for number, model_id, revision, threshold, aliases, envelope, source in facts.db.execute(_QUERIES["runs"]):
        entries = facts.db.execute(_QUERIES["entries"], (number,))
        ranges = merge_ranges(_retained(facts, Range(*span)) for _, *span, _, _, _, _ in entries)
        deployment = Deployment(model_id, threshold, orjson.loads(aliases), revision)
        run = _Run(number, deployment, envelope, Source(source), ranges)
        kind, what = Kind.HISTORY, "cannot be scored again: the scores depend on earlier payments"
        try:
            artifact = artifact_beside(settings.model, model_id)
            if artifact.manifest.history is None:
                usable.append((run, artifact))
                continue
        except ModelError as e:
            kind, what = Kind.UNVERIFIED, f"cannot be scored again: {e.what}: {e.where}"
        yield from (_finding(facts, kind, what, each) for each in run.ranges)
    if any(run.ranges for run, _ in usable):
        from fraudstream.runtime.cluster import is_local

        with (
            batch_spark(settings, "audit", jars_for(settings).connector) as spark,
            Cluster.of(settings).spark_options(is_local=is_local(spark)) as kafka,
        ):
            for run, artifact in usable:
                yield from _score_again(facts, settings, kafka, spark, run, artifact)


def _retained(facts: Facts, span: Range) -> Range:
    begin, end = facts.marks.get(span.partition, (0, 0))
    return Range(span.partition, max(span.from_offset, begin), min(span.until_offset, end))


def _score_again(
    facts: Facts, settings: Settings, kafka: Mapping[str, str], spark: SparkSession, run: _Run, artifact: ModelArtifact
) -> Iterator[Finding]:
    from fraudstream.scoring.message_format import MessageFormat
    from fraudstream.scoring.scorer import load_scorer
    from fraudstream.scoring.topic import count_records, remarkable

    scorer = load_scorer(artifact, run.deployment)
    where, message_format = (kafka, facts.topic), replace(MessageFormat.of(settings), envelope=run.envelope)
    entries: list[tuple[Range, str, int, list[int]]] = []
    for entry_id, partition, start, until, records, *counted in facts.db.execute(_QUERIES["entries"], (run.number,)):
        span = Range(partition, start, until)
        if _retained(facts, span) == span:
            entries.append((span, entry_id, records, counted))
    sparse = [span for span, _, records, _ in entries if facts.is_compacted or records < span.offsets]
    held = count_records(spark, *where, sparse)
    if facts.is_compacted:
        before = len(entries)
        entries = [entry for entry in entries if held[entry[0]] >= entry[2]]
        facts.compacted_entries += before - len(entries)
        run = replace(run, ranges=merge_ranges(each for each, *_ in entries))
    scores = remarkable(spark, scorer, *where, run.ranges, message_format)
    rows = ((run.number, each.partition, each.offset, each.outcome.value, each.score) for each in scores)
    facts.add("rescores", rows)
    yield from _compare_offsets(facts, run)
    for each, entry_id, records, counted in entries:
        yield from _compare_counts(facts, run, each, counted)
        total = held.get(each, records)
        if total != records:
            what = f"the ledger counts {records:,} records, the topic holds {total:,}"
            yield _finding(facts, Kind.UNACCOUNTED, what, each, abs(total - records))
        facts.db.execute("UPDATE entries SET verified = 1 WHERE entry_id = ?", (entry_id,))


def _compare_offsets(facts: Facts, run: _Run) -> Iterator[Finding]:
    model_id, revision = run.deployment.model_id, run.deployment.revision
    parameters = {"run": run.number, "model": model_id, "revision": revision}
    # Counted again after a crash: the query may have scored with the previous deployment.
    counted_again = {"counted_again": run.source is Source.SCORED_AGAIN}
    for partition, offset, outcome, score in facts.db.execute(_QUERIES["missing"], parameters | counted_again):
        scored = "" if score is None else f" with the score {score!r}"
        what = f"is {outcome}{scored} by {model_id}, revision {revision}, but on no topic"
        yield Finding.at(Kind.MISSING, what, facts.topic, partition, offset)
    for each in run.ranges:
        span = {"partition": each.partition, "start": each.from_offset, "until": each.until_offset}
        for offset, outcome, is_changed in facts.db.execute(_QUERIES["surplus"], parameters | span):
            surplus = Kind.SUPERSEDED if facts.former or is_changed else Kind.DOUBLED
            what = f"is {outcome} on a topic, but not by {model_id}, revision {revision}"
            yield Finding.at(surplus, what, facts.topic, each.partition, offset)
    for partition, offset, score, least, most in facts.db.execute(
        _QUERIES["scores"], parameters | {"tolerance": TOLERANCE}
    ):
        recorded = most if abs(most - score) > TOLERANCE else least
        what = f"the score on the topic is {recorded!r}, scored again it is {score!r}"
        yield Finding.at(Kind.DIFFERENT, what, facts.topic, partition, offset)


def _compare_counts(facts: Facts, run: _Run, each: Range, counted: list[int]) -> Iterator[Finding]:
    actual = Counter(dict(facts.db.execute(_QUERIES["counts"], (run.number, *each))))
    expected = dict(zip(REMARKABLE, counted, strict=True))
    mismatches = [outcome for outcome in REMARKABLE if expected[outcome] != actual[outcome]]
    if mismatches:
        pairs = [f"{expected[o]:,} {o.value}, scored again {actual[o]:,}" for o in mismatches]
        count = max(abs(expected[o] - actual[o]) for o in mismatches)
        yield _finding(facts, Kind.UNACCOUNTED, f"the entry counts {'; '.join(pairs)}", each, count)


def _finding(facts: Facts, kind: Kind, what: str, each: Range, count: int | None = None) -> Finding:
    return Finding(kind, what, facts.topic, *each, each.offsets if count is None else count)
