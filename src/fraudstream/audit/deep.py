"""Scores the retained topic again with the deployment of each ledger entry, and compares every offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import orjson

from fraudstream.audit.facts import Facts, script
from fraudstream.audit.report import Finding, Kind
from fraudstream.config import Settings
from fraudstream.errors import ModelError
from fraudstream.kafka.client import Cluster
from fraudstream.messages.ledger import Range, merge_ranges
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment, artifact_beside
from fraudstream.runtime.engines import batch_spark, jars_for

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class _Run(NamedTuple):
    """Entries of one deployment and envelope, and the ranges of them that Kafka still has."""

    number: int
    deployment: Deployment
    envelope: str
    artifact: ModelArtifact
    ranges: list[Range]


def check_scores(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Score every ledger range that Kafka still has, and report each offset that differs from the ledger.

    Entries whose artifact is gone, or whose model reads a history, are not verified; rescored entries are marked, so
    that they are not compared by counts.
    """
    usable: list[_Run] = []
    facts.db.executescript(script("deep.sql"))
    runs = facts.db.execute("SELECT run, model_id, revision, threshold, aliases, envelope FROM runs").fetchall()
    for number, model_id, revision, threshold, aliases, envelope in runs:
        spans = facts.db.execute("SELECT partition, from_offset, until_offset FROM retained WHERE run = ?", (number,))
        ranges = merge_ranges(map(Range._make, spans))
        kind, what = Kind.HISTORY, "cannot be scored again: the scores depend on earlier payments"
        try:
            artifact = artifact_beside(settings.model, model_id)
            if artifact.manifest.history is None:
                deployment = Deployment(model_id, threshold, orjson.loads(aliases), revision)
                usable.append(_Run(number, deployment, envelope, artifact, ranges))
                continue
        except ModelError as e:
            kind, what = Kind.UNVERIFIED, f"cannot be scored again: {e.what}: {e.where}"
        yield from (Finding(kind, what, facts.topic, *each, each.offsets) for each in ranges)
    if any(run.ranges for run in usable):
        from fraudstream.runtime.cluster import is_local

        with (
            batch_spark(settings, "audit", jars_for(settings).connector) as spark,
            Cluster.of(settings).spark_options(is_local=is_local(spark)) as kafka,
        ):
            for run in usable:
                _score_again(facts, settings, kafka, spark, run)
        yield from facts.findings("deep_findings")


def _score_again(facts: Facts, settings: Settings, kafka: Mapping[str, str], spark: SparkSession, run: _Run) -> None:
    from fraudstream.scoring.message_format import MessageFormat
    from fraudstream.scoring.scorer import load_scorer
    from fraudstream.scoring.topic import count_records, remarkable

    scorer, ranges = load_scorer(run.artifact, run.deployment), run.ranges
    where, message_format = (kafka, facts.topic), replace(MessageFormat.of(settings), envelope=run.envelope)
    query = "SELECT entry_id, records, partition, from_offset, until_offset FROM retained WHERE run = ? AND is_whole"
    entries = [(Range(*span), entry_id, records) for entry_id, records, *span in facts.db.execute(query, (run.number,))]
    sparse = [each for each, _, records in entries if facts.is_compacted or records < each.offsets]
    held = count_records(spark, *where, sparse)
    if facts.is_compacted:
        before = len(entries)
        entries = [entry for entry in entries if held[entry[0]] >= entry[2]]
        facts.compacted_entries += before - len(entries)
        ranges = merge_ranges(each for each, *_ in entries)
    scores = remarkable(spark, scorer, *where, ranges, message_format)
    facts.add("spans", ((run.number, *each) for each in ranges))
    facts.add(
        "rescores", ((run.number, each.partition, each.offset, each.outcome.value, each.score) for each in scores)
    )
    verified = [(held.get(each), entry_id) for each, entry_id, _ in entries]
    facts.db.executemany("UPDATE entries SET verified = 1, held = ? WHERE entry_id = ?", verified)
