"""Scores the retained topic again with the deployment of each ledger entry, and compares every offset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from fraudstream.audit.facts import Facts
from fraudstream.audit.report import Finding, Kind
from fraudstream.errors import ModelError
from fraudstream.messages.ledger import Source
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment, artifact_beside
from fraudstream.transactions.wire import REMARKABLE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from fraudstream.scoring.topic import Range

TOLERANCE: Final = 1e-12
"""Scores that differ by no more are equal: a batch may sum in a different order."""

_RUNS: Final = """
SELECT DISTINCT model_id, revision, threshold, aliases, source FROM entries WHERE kind = 'batch' ORDER BY 2, 1, 3, 4, 5
"""
_ENTRIES: Final = """
SELECT entry_id, partition, from_offset, until_offset, records, alert, unscorable, dead_letter FROM entries
WHERE run = ? ORDER BY partition, from_offset
"""
_MISSING: Final = """
SELECT a.partition, a."offset", a.outcome, a.score FROM rescores a WHERE a.run = :run AND NOT EXISTS (
  SELECT 1 FROM positions p WHERE p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
  AND (:counted_again OR p.model_id IS NULL OR (p.model_id = :model AND p.revision = :revision)))
ORDER BY 1, 2
"""
_SURPLUS: Final = """
SELECT p."offset", p.outcome FROM positions p
WHERE p.partition = :partition AND p."offset" >= :start AND p."offset" < :until
  AND (p.model_id IS NULL OR (p.model_id = :model AND p.revision = :revision)) AND NOT EXISTS (
    SELECT 1 FROM rescores a
    WHERE a.run = :run AND a.partition = p.partition AND a."offset" = p."offset" AND a.outcome = p.outcome)
ORDER BY 1
"""
_SCORES: Final = """
SELECT a.partition, a."offset", a.score, p.least, p.most FROM rescores a JOIN positions p
ON p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
  AND p.model_id = :model AND p.revision = :revision
WHERE a.run = :run AND max(abs(p.least - a.score), abs(p.most - a.score)) > :tolerance ORDER BY 1, 2
"""
_COUNTS: Final = """
SELECT outcome, count(*) FROM rescores WHERE run = ? AND partition = ? AND "offset" >= ? AND "offset" < ? GROUP BY 1
"""


@dataclass(frozen=True)
class Rescoring:
    """The settings for rescoring: `model` is a `current` file or an artifact; other artifacts are found beside it."""

    bootstrap_servers: str
    model: Path
    max_record_bytes: int
    open_spark: Callable[[], AbstractContextManager[SparkSession]]


@dataclass(frozen=True)
class _Run:
    """Entries of one scorer: model, revision, threshold, aliases, and the source of the counts."""

    number: int
    key: tuple[str, int, float, str, str]
    ranges: list[Range]

    @property
    def deployment(self) -> Deployment:
        model_id, revision, threshold, aliases, _ = self.key
        return Deployment(model_id, threshold, orjson.loads(aliases), revision)


def check_scores(facts: Facts, rescoring: Rescoring) -> Iterator[Finding]:
    """Score every ledger range that Kafka still has, and report each offset that differs from the ledger.

    Entries whose artifact is gone are unverified; rescored entries are marked, so that `comparison.py` skips them.
    """
    usable: list[tuple[_Run, ModelArtifact]] = []
    for number, key in enumerate(facts.db.execute(_RUNS).fetchall()):
        run = _run(facts, number, key)
        try:
            usable.append((run, artifact_beside(rescoring.model, run.deployment.model_id)))
        except ModelError as e:
            what = f"cannot be scored again: {e.what}: {e.where}"
            yield from (_finding(facts, Kind.UNVERIFIED, what, each) for each in run.ranges)
    if any(run.ranges for run, _ in usable):
        with rescoring.open_spark() as spark:
            for run, artifact in usable:
                yield from _score_again(facts, rescoring, spark, run, artifact)


def _run(facts: Facts, number: int, key: tuple[str, int, float, str, str]) -> _Run:
    from fraudstream.scoring.topic import Range, merge_ranges

    facts.db.execute(
        "UPDATE entries SET run = ? WHERE kind = 'batch'"
        " AND model_id = ? AND revision = ? AND threshold = ? AND aliases = ? AND source = ?",
        (number, *key),
    )
    retained = []
    for _, partition, start, until, *_ in facts.db.execute(_ENTRIES, (number,)):
        begin, end = facts.marks.get(partition, (0, 0))
        retained.append(Range(partition, max(start, begin), min(until, end)))
    return _Run(number, key, merge_ranges(retained))


def _score_again(
    facts: Facts, rescoring: Rescoring, spark: SparkSession, run: _Run, artifact: ModelArtifact
) -> Iterator[Finding]:
    from fraudstream.scoring.scorer import load_scorer
    from fraudstream.scoring.topic import Range, count_records, merge_ranges, remarkable

    scorer = load_scorer(artifact, run.deployment)
    where, limit = (rescoring.bootstrap_servers, facts.topic), rescoring.max_record_bytes
    entries: list[tuple[Range, str, int, list[int]]] = []
    for entry_id, partition, start, until, records, *counted in facts.db.execute(_ENTRIES, (run.number,)).fetchall():
        begin, end = facts.marks.get(partition, (0, 0))
        if begin <= start and until <= end:
            entries.append((Range(partition, start, until), entry_id, records, counted))
    held = count_records(
        spark,
        *where,
        [
            each
            for each, _, records, _ in entries
            if facts.is_compacted or records < each.until_offset - each.from_offset
        ],
    )
    if facts.is_compacted:
        before = len(entries)
        entries = [entry for entry in entries if held[entry[0]] >= entry[2]]
        facts.compacted_entries += before - len(entries)
        run = replace(run, ranges=merge_ranges(each for each, *_ in entries))
    scores = remarkable(spark, scorer, *where, run.ranges, limit)
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
    model_id, revision, _, _, source = run.key
    parameters = {"run": run.number, "model": model_id, "revision": revision}
    # Counted again after a crash: the query may have scored with the previous deployment.
    counted_again = {"counted_again": source == Source.SCORED_AGAIN}
    for partition, offset, outcome, score in facts.db.execute(_MISSING, parameters | counted_again):
        scored = "" if score is None else f" with the score {score!r}"
        what = f"is {outcome}{scored} by {model_id}, revision {revision}, but on no topic"
        yield Finding.at(Kind.MISSING, what, facts.topic, partition, offset)
    surplus = Kind.SUPERSEDED if facts.former else Kind.DOUBLED
    for each in run.ranges:
        span = {"partition": each.partition, "start": each.from_offset, "until": each.until_offset}
        for offset, outcome in facts.db.execute(_SURPLUS, parameters | span):
            what = f"is {outcome} on a topic, but not by {model_id}, revision {revision}"
            yield Finding.at(surplus, what, facts.topic, each.partition, offset)
    for partition, offset, score, least, most in facts.db.execute(_SCORES, parameters | {"tolerance": TOLERANCE}):
        recorded = most if abs(most - score) > TOLERANCE else least
        what = f"the score on the topic is {recorded!r}, scored again it is {score!r}"
        yield Finding.at(Kind.DIFFERENT, what, facts.topic, partition, offset)


def _compare_counts(facts: Facts, run: _Run, each: Range, counted: list[int]) -> Iterator[Finding]:
    actual = dict(facts.db.execute(_COUNTS, (run.number, each.partition, each.from_offset, each.until_offset)))
    expected = dict(zip(REMARKABLE, counted, strict=True))
    mismatches = [outcome for outcome in REMARKABLE if expected[outcome] != actual.get(outcome.value, 0)]
    if mismatches:
        pairs = [f"{expected[o]:,} {o.value}, scored again {actual.get(o.value, 0):,}" for o in mismatches]
        count = max(abs(expected[o] - actual.get(o.value, 0)) for o in mismatches)
        yield _finding(facts, Kind.UNACCOUNTED, f"the entry counts {'; '.join(pairs)}", each, count)


def _finding(facts: Facts, kind: Kind, what: str, each: Range, count: int | None = None) -> Finding:
    offsets = each.until_offset - each.from_offset if count is None else count
    return Finding(kind, what, facts.topic, each.partition, each.from_offset, each.until_offset, offsets)
