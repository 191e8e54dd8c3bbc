"""The live query of a model with history, on a real Spark and a real Kafka: its alerts, its state, its counts."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from archives import archiving, await_archived
from columns import manifest
from commands import command_line
from fraudstream.archive.rows import ModelColumns
from fraudstream.detector.events import EventWriter
from fraudstream.detector.history import HistoryKeeper, LiveHistory, check_files
from fraudstream.detector.query import QuerySettings, Trigger, detect, start_query, with_history
from fraudstream.detector.state_build import PastPayment, build_state
from fraudstream.errors import DataError
from fraudstream.history.spec import HistoryEntity, HistorySpec, LiveFeature, Measure, operator_config
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks
from fraudstream.kafka.topics import ensure_topics, topic_id
from fraudstream.messages.ledger import Apart, Range
from fraudstream.messages.posted import check_alert
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.deployment.state import StateRecord, content_of, state_directory
from fraudstream.model.features.history import HistoryNote
from fraudstream.runtime.processes import wait_until
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.scoring.topic import count_outcomes
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, EventType, Outcome, Topic
from saved_models import linear_manifest, linear_model

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

COUNT = "payments by this card in 24 h"
SPEC = HistorySpec(
    (HistoryEntity("card", "card"), HistoryEntity("shop", "shop")),
    time="at",
    amount="amount",
    clock=1000,
    live=(LiveFeature(COUNT, Measure.COUNT, 24),),
)
TOPIC = Topic.TRANSACTIONS.value


class Events(EventWriter):
    """The messages in the order in which they were written."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def write(self, kind: EventType, message: str, **details: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def keeper(tmp_path: Path) -> HistoryKeeper:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return HistoryKeeper(tmp_path / "checkpoint", tmp_path / "profiles", tmp_path / "entity.key", Events(), lambda: now)


@pytest.fixture
def counting(scorer: Scorer) -> Scorer:
    """Scores by the number of earlier payments: an alert from the third on."""
    return replace(scorer, features=(replace(scorer.features[0], name=COUNT), *scorer.features[1:]), threshold=0.6)


class Stream:
    """The topic from here on, and what the query makes of it."""

    def __init__(self, spark: SparkSession, cluster: Cluster, scorer: Scorer, settings: QuerySettings) -> None:
        self.spark, self.cluster, self.scorer, self.settings = spark, cluster, scorer, settings
        self.producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
        self.starts = {p: end for p, (_, end) in Watermarks(cluster, TOPIC).read().items()}
        self.alerts_from = {p: end for p, (_, end) in Watermarks(cluster, Topic.ALERTS.value).read().items()}

    def send(self, *payments: dict[str, Any], partition: int = 0, key: str = "") -> None:
        for number, payment in enumerate(payments):
            headers: dict[str, str | bytes | None] | None = {"event_id": f"{key}{number}"} if key else None
            self.producer.produce(TOPIC, json.dumps(payment).encode(), partition=partition, headers=headers)
        assert self.producer.flush(10) == 0

    def run(self, history: LiveHistory | None, records: int) -> list[dict[str, Any]]:
        """Run the query over as many records, and return its reports on them."""
        starts = json.dumps({TOPIC: {str(p): end for p, end in self.starts.items()}})
        query = start_query(self.spark, self.scorer, replace(self.settings, start=starts, history=history))

        def is_done() -> bool:
            return sum(each.numInputRows for each in query.recentProgress) >= records

        try:
            assert wait_until(lambda: is_done() or not query.isActive, 90)
            assert is_done(), query.exception()
            return [json.loads(each.json) for each in query.recentProgress if each.numInputRows]
        finally:
            query.stop()

    def alerts(self) -> list[dict[str, Any]]:
        starts = json.dumps({Topic.ALERTS.value: {str(p): end for p, end in self.alerts_from.items()}})
        source = self.spark.read.format("kafka").options(**self.settings.kafka).option("startingOffsets", starts)
        rows = source.option("subscribe", Topic.ALERTS.value).load().select("value").collect()
        return sorted((json.loads(row.value) for row in rows), key=lambda alert: int(alert["offset"]))


@pytest.fixture(params=[Trigger.REALTIME, pytest.param(Trigger.MICRO_BATCH, marks=pytest.mark.nightly)])
def stream(
    request: pytest.FixtureRequest, spark: SparkSession, cluster: Cluster, counting: Scorer, tmp_path: Path
) -> Stream:
    partitions = ensure_topics(cluster, 1, DEFAULT_MAX_RECORD_BYTES)[Topic.TRANSACTIONS]
    settings = QuerySettings(
        kafka={"kafka.bootstrap.servers": cluster.bootstrap_servers},
        topics={topic: topic.value for topic in Topic},
        checkpoint=tmp_path / "checkpoint",
        trigger=request.param,
        interval="5 seconds",
        sample_every=1_000_000,
        message_format=MessageFormat(DEFAULT_MAX_RECORD_BYTES),
        partitions=partitions,
    )
    return Stream(spark, cluster, counting, settings)


def payments(seconds: Sequence[int], card: object = "c1") -> list[dict[str, Any]]:
    start = 1_767_225_600_000
    other = {"b b": 0.0, "c.d": 0.0, "amount": 10.0, "shop": "s1"}
    return [{"at": start + second * 1000, "card": card, **other} for second in seconds]


def test_alerts_have_the_history_and_a_restart_goes_on_with_it(stream: Stream, keeper: HistoryKeeper) -> None:
    partitions = stream.settings.partitions
    stream.send(*payments([0, 60, 120, 180]), *payments([200], card=None))
    for report in stream.run(keeper.begin(SPEC, {}, "id", partitions), 5):
        keeper.report(report)
    messages = keeper.events.messages  # type: ignore[attr-defined]
    assert any("1 of the last payments have no readable card" in message for message in messages), messages
    assert check_files(state_directory(keeper.checkpoint)) == 1
    stream.send(*payments([240]))
    stream.run(keeper.begin(SPEC, {}, "id", partitions), 1)
    alerts = stream.alerts()
    assert [alert["history"] for alert in alerts] == [{COUNT: float(count)} for count in (2, 3, 4)]
    assert alerts[0]["entity_ids"] == {"card": "c1", "shop": "s1"}
    assert (alerts[0]["profile_date"], alerts[0]["state_format"], alerts[0]["imputed"]) == (None, 1, [])
    assert COUNT not in alerts[0]["transaction"]
    for alert in alerts:
        assert check_alert(dict(alert)).history == alert["history"]


def test_unreported_batches_are_counted_as_they_were_scored(stream: Stream, keeper: HistoryKeeper) -> None:
    partitions, settings, first = stream.settings.partitions, stream.settings, stream.starts[0]
    stream.send(*payments([0, 60, 120]))
    stream.run(keeper.begin(SPEC, {}, "id", partitions), 3)
    stream.send(*payments([180]), *payments([181], card="c2"))
    stream.run(keeper.begin(SPEC, {}, "id", partitions), 2)
    replayed = keeper.replay(replace(manifest("small-1"), history=SPEC), Deployment("small-1", 0.6))
    assert replayed is not None
    ranges = [Range(0, first + 3, first + 5)]
    for _ in range(2):  # the state is only read
        counts = count_outcomes(
            stream.spark,
            stream.scorer,
            settings.kafka,
            TOPIC,
            ranges,
            settings.message_format,
            partial(with_history, history=replayed, replays=True),
        )
        assert counts == {0: {Outcome.ALERT: 1, Outcome.CLEAR: 1, Apart.ADDITIONAL: 0}}


def test_a_state_built_from_a_file_is_what_the_first_payment_continues(stream: Stream, keeper: HistoryKeeper) -> None:
    partitions = stream.settings.partitions
    record = StateRecord(content_of(SPEC), partitions)
    past = [PastPayment(0, json.dumps(each).encode()) for each in payments([0, 60, 120])]
    config = operator_config(content_of(SPEC), {}, None, bytes(32))
    unreadable = PastPayment(0, b'{"card":"c1","at":1767225600000}'), PastPayment(0, b'{"at":1767225600000}')
    reports = list[str]()

    def build(past: Sequence[PastPayment]) -> tuple[int, Path | None]:
        return build_state(stream.spark, past, record, config, keeper.checkpoint, keeper.now(), reports.append)

    for is_former in (False, True):
        count, former = build([*past, *unreadable])
        assert (count, former is not None) == (3, is_former)
    assert reports[0] == "1 of the payments have no readable card, and no history"
    assert reports[1].startswith("2 of the payments have no readable amount:")
    for number in (0, 2):
        with pytest.raises(DataError, match=f"of {number} payments none enters the history"):
            build(unreadable[:number])
    stream.send(*payments([180]))
    stream.run(keeper.begin(SPEC, {}, "id", partitions), 1)
    assert [alert["history"] for alert in stream.alerts()] == [{COUNT: 3.0}]


def test_a_state_built_from_an_archive_ahead_of_the_detector_is_continued(
    stream: Stream, keeper: HistoryKeeper, cluster: Cluster, tmp_path: Path
) -> None:
    begin = partial(keeper.begin, SPEC, {}, topic_id(cluster, TOPIC), stream.settings.partitions)
    model = replace(linear_manifest(), history=SPEC)
    stream.send(*payments([0, 60], "ahead"), key="a")
    stream.send(*payments([0], "other"), partition=1, key="o")
    stream.run(begin(), 3)
    stream.send(*payments([120, 180], "ahead"), key="b")
    ends = {p: end for p, (_, end) in Watermarks(cluster, TOPIC).read().items()}
    with archiving(cluster, tmp_path / "archive", columns=lambda: ModelColumns.of(model, {})) as archiver:
        await_archived(archiver, ends)
    for path in (tmp_path / "archive").glob(f"date=*/{TOPIC}-1-*"):
        path.unlink()
    command = command_line(
        "state", "build", "--from", tmp_path / "archive", "--checkpoint", keeper.checkpoint,
        "--model", linear_model(tmp_path / "models", linear=model).path,
        "--bootstrap-servers", cluster.bootstrap_servers, "--entity-key", tmp_path / "entity.key",
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "are not archived" in line]
    assert warning.startswith(f"warning: {TOPIC}[1] 0 to {ends[1] - 1} ")
    assert re.search(r"checkpoint-history: built from \d+ payments", done.stdout), done.stdout
    # As in a new process: this one has the former state in memory.
    stream.spark._jvm.org.apache.spark.sql.execution.streaming.state.StateStore.stop()  # type: ignore[union-attr] # noqa: SLF001
    (report,) = stream.run(begin(), 2)
    assert report["observedMetrics"]["history"][f"note_{HistoryNote.REPEATED}"] == 2
    stream.send(*payments([240], "ahead"), key="c")
    stream.run(begin(), 1)
    assert [alert["history"] for alert in stream.alerts()] == [{COUNT: float(count)} for count in (2, 3, 4)]


def test_without_a_history_the_plan_has_none(
    spark: SparkSession, scorer: Scorer, stream: Stream, keeper: HistoryKeeper
) -> None:
    source = spark.read.format("kafka").options(**stream.settings.kafka).option("subscribe", TOPIC)
    frame = source.option("includeHeaders", "true").load()

    def plan(history: LiveHistory | None) -> str:
        topics, message_format = stream.settings.topics, stream.settings.message_format
        records = detect(frame, scorer, topics, message_format, partitions=1, sample_every=9, history=history)
        return str(records._jdf.queryExecution().optimizedPlan()).lower()  # noqa: SLF001

    assert "history" in plan(keeper.begin(SPEC, {}, "id", 1))
    without = plan(None)
    assert not [word for word in ("history", "entity_ids", "profile_date") if word in without]
