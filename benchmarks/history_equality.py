"""Compares the history of every payment in the stream with that of the same operator in batch, over kills -9.

    python -m benchmarks.history_equality --data handbook_2018-04_to_08.csv.gz

Payments after the training period are sent in order, shuffled within a minute of their own time, and 5 % of them
twice. The detector's threshold is 0, so that each raises an alert, which carries the features; it is killed at random
moments. `fraudstream archive` archives the topic. The operator then runs in batch over the archive in the order of the
topic, and every copy of every alert is compared with it to the last bit. Beside it: how many payments have other
features than in the order of time, as training computes them, and the average precision of both.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import FRAUDSTREAM, run_command
from benchmarks.system.system import BenchSystem, stopped_at_the_end
from fraudstream.config import Settings
from fraudstream.demo.system import DETECTOR
from fraudstream.history.identity import entity_key
from fraudstream.history.spec import operator_config
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks, open_reader, read_topics
from fraudstream.model.deployment.current import resolve
from fraudstream.model.evaluation.bootstrap import ScoredRows, average_precision
from fraudstream.model.features.history import HistoryColumn, with_history
from fraudstream.runtime.engines import batch_spark
from fraudstream.runtime.processes import spawn, stop
from fraudstream.transactions.archive_files import archive_files, in_topic_order, partitions_of
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Header, Topic

ENTITIES: Final = ("card=CUSTOMER_ID", "terminal=TERMINAL_ID")
TIME: Final = "TX_DATETIME"
LABEL: Final = "TX_FRAUD"
PARTITIONS: Final = 4
SHUFFLE_SECONDS: Final = 60
REPEATED: Final = 0.05
RUNS_FOR: Final = (2.0, 20.0)
"""Seconds between a detector's readiness and its kill."""
PATIENCE_SECONDS: Final = 300.0

Place = tuple[int, int]


@dataclass(frozen=True)
class Scored:
    """What the alerts of the topic say of a payment: every distinct history and the first score."""

    histories: set[tuple[float | None, ...]]
    score: float


def split_file(data: Path, folder: Path, rows: int, skipped: int, trained: int) -> tuple[Path, Path]:
    """Write two CSVs: `trained` rows after the first `skipped`, and the `rows` after them."""
    paths = folder / "training.csv", folder / "stream.csv"
    with gzip.open(data, "rt") if data.suffix == ".gz" else data.open() as file:
        header = file.readline()
        lines = islice(file, skipped, None)
        for path, count in zip(paths, (trained, rows), strict=True):
            path.write_text(header + "".join(islice(lines, count)))
    return paths


def in_sending_order(path: Path, chance: random.Random) -> Iterator[tuple[int, bytes, str]]:
    """Yield row number, JSON and key as they are sent: out of order by up to a minute, 5 % of them twice."""
    source = open_data(path)
    place, card = source.columns.index(TIME), source.columns.index(ENTITIES[0].partition("=")[2])
    times = np.array([row[place] for row in source.rows()], dtype="datetime64[s]").astype(np.int64)
    cards = [row[card] for row in source.rows()]
    late = np.array([chance.uniform(0, SHUFFLE_SECONDS) for _ in times])
    texts = list(source.json_rows())
    repeated = list[int]()
    for number in np.argsort(times + late, kind="stable").tolist():
        if chance.random() < REPEATED:
            repeated.append(number)
        yield number, texts[number], cards[number]
        if repeated and chance.random() < REPEATED:
            again = repeated.pop(0)
            yield again, texts[again], cards[again]


class Sender:
    """Sends payments keyed by their card at a rate, a few milliseconds at a time."""

    def __init__(self, bootstrap: str, rows: Iterator[tuple[int, bytes, str]], rate: float) -> None:
        self.sent, self.is_done = 0, False
        self._rows, self._rate, self._began = rows, rate, time.monotonic()
        self._client = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def step(self) -> None:
        """Send what is due."""
        due = int((time.monotonic() - self._began) * self._rate) - self.sent
        for number, text, card in islice(self._rows, due):
            headers: list[tuple[str, str | bytes | None]] = [(Header.EVENT_ID.value, f"{number}")]
            self._client.produce(Topic.TRANSACTIONS.value, text, key=card, headers=headers)
            self.sent += 1
            due -= 1
        self._client.poll(0)
        if due > 0:
            assert self._client.flush(60) == 0
            self.is_done = True


def read_alerts(cluster: Cluster, names: Sequence[str]) -> dict[Place, Scored]:
    """Read every copy of every alert."""
    alerts: dict[Place, Scored] = {}
    with open_reader(cluster) as consumer:
        for record in read_topics(consumer, Topic.ALERTS.value, Topic.UNSCORABLE.value):
            alert = orjson.loads(record.value() or b"")
            values = tuple(alert["history"].get(name) for name in names)
            one = alerts.setdefault((alert["partition"], alert["offset"]), Scored(set(), alert["score"] or 0.0))
            one.histories.add(values)
    return alerts


def in_batch(
    spark: SparkSession, table: pa.Table, config: dict[str, Any], folder: Path, *, grouped: str
) -> dict[Place, tuple[float | None, ...]]:
    """Run the operator over records in the order of the column `rank`, those of a group in one task."""
    path = folder / f"{grouped}.parquet"
    pq.write_table(table, path)
    frame = spark.read.parquet(path.as_uri()).repartition(PARTITIONS, grouped).sortWithinPartitions(grouped, "rank")
    rows = with_history(frame, config).select("partition", "offset", HistoryColumn.VALUES).toArrow()
    columns = (rows.column(name).to_pylist() for name in ("partition", "offset", HistoryColumn.VALUES))
    return {(partition, offset): tuple(values) for partition, offset, values in zip(*columns, strict=True)}


def archived(root: Path) -> pa.Table:
    """Return the records of an archive as the operator reads them."""
    tables = [table for paths in partitions_of(archive_files(root)).values() for table in in_topic_order(paths)]
    whole = pa.concat_tables(tables)
    names = ["partition", "offset", "timestamp", "text", "alert_id", "rank"]
    columns = [whole[name] for name in ("partition", "offset", "timestamp", "text", "event_id", "offset")]
    return pa.table(columns, names)


def by_time(records: pa.Table) -> pa.Table:
    """Return each payment once, ranked by its own time, as training reads a file."""
    numbers = np.array([int(each) for each in records["alert_id"].to_pylist()])
    first = np.unique(numbers, return_index=True)[1]
    once = records.take(first)
    texts = once["text"].to_pylist()
    rank = np.argsort(np.argsort([orjson.loads(text)[TIME] for text in texts], kind="stable"), kind="stable")
    cards = [str(orjson.loads(text)["CUSTOMER_ID"]) for text in texts]
    return once.set_column(once.schema.get_field_index("rank"), "rank", pa.array(rank)).append_column(
        "card", pa.array(cards)
    )


def scores_of(path: Path) -> NDArray[np.float64]:
    """The score of each row of a file that `score --keep all` wrote."""
    with path.open() as lines:
        return np.array([float(line["score"]) for line in csv.DictReader(lines)])


def run(arguments: Any, folder: Path) -> dict[str, Any]:
    """Stream, kill, archive, and compare."""
    chance = random.Random(arguments.seed)
    training, stream = split_file(arguments.data, folder, arguments.rows, arguments.skip, arguments.training)
    models, profiles, key, root = (folder / name for name in ("models", "profiles", "entity.key", "archive"))
    environment = {**os.environ, "FRAUDSTREAM_ENTITY_KEY": str(key), "FRAUDSTREAM_PROFILES": str(profiles)}
    model = models / "current"
    study.say("training ...")
    train = (
        "train",
        "--data",
        training,
        "--models",
        models,
        "--no-refit",
        "--deploy",
        "--force",
        "--algorithm",
        "random-forest",
    )
    entities = [part for entity in ENTITIES for part in ("--entity", entity)]
    excluded = [part for name in ("TRANSACTION_ID", "TX_FRAUD_SCENARIO", "TX_TIME_SECONDS", "TX_TIME_DAYS")
                for part in ("--exclude", name)]  # fmt: skip
    run_command(folder / "train.log", environment, *train, "--label", LABEL, *entities, *excluded)
    run_command(folder / "threshold.log", environment, "threshold", "set", "0", "--model", model)
    both = ("--from", training, "--from", stream)
    run_command(folder / "profiles.log", environment, "profiles", "build", *both, "--model", model)
    artifact, deployment = resolve(model)
    spec = artifact.manifest.history
    assert spec is not None
    system = BenchSystem(folder, model, PARTITIONS, environment, extra=("--batch-interval", "15 seconds"))
    kills = 0
    with stopped_at_the_end(system):
        system.start_broker()
        cluster = Cluster(system.bootstrap)
        system.start_detector()
        system.await_ready(DETECTOR)
        sender = Sender(system.bootstrap, in_sending_order(stream, chance), arguments.rate)
        kill_at = time.monotonic() + chance.uniform(*RUNS_FOR)
        while not sender.is_done or kills < arguments.kills:
            sender.step()
            system.wait(0.02)
            child = system.children[DETECTOR]
            if kills < arguments.kills and time.monotonic() >= kill_at and child.is_ready and child.pid:
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
                study.say(f"kill {kills} after {sender.sent:,} payments")
                system.wait(PATIENCE_SECONDS, lambda: not system.children[DETECTOR].is_ready)
                kill_at = time.monotonic() + chance.uniform(*RUNS_FOR)
            elif not child.is_ready:
                kill_at = max(kill_at, time.monotonic() + RUNS_FOR[0])
        command = ("archive", "--bootstrap-servers", system.bootstrap, "--archive", root, "--model", model)
        log = folder / "archive.log"
        archive = spawn([*FRAUDSTREAM, *map(str, command), "--interval", "5s"], log=log, env=environment)
        try:
            ends = {p: end for p, (_, end) in Watermarks(cluster, Topic.TRANSACTIONS.value).read().items()}
            records = sum(ends.values())
            study.say(f"{records:,} records sent; awaiting their alerts and the archive ...")
            names = spec.names
            alerts: dict[Place, Scored] = {}
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(alerts) < records and time.monotonic() < deadline:
                system.wait(5.0)
                alerts = read_alerts(cluster, names)
            while archived_records(root) < records and time.monotonic() < deadline:
                system.wait(2.0)
        finally:
            stop(archive, 60)
    table = archived(root)
    study.say(f"{len(alerts):,} payments with alerts, {table.num_rows:,} archived; the batch ...")
    config = operator_config(spec, dict(deployment.aliases), str(profiles), entity_key(key))
    with batch_spark(Settings.load(), "history-equality", history=True) as spark:
        batch = in_batch(spark, table, config, folder, grouped="partition")
        sorted_records = by_time(table)
        timely = in_batch(spark, sorted_records, config, folder, grouped="card")
    run_command(
        folder / "score.log", environment, "score", "--data", stream, "--model", model, "--keep", "all",
        "--output", folder / "scores.csv",
    )  # fmt: skip
    differing = [place for place, values in batch.items() if place not in alerts or alerts[place].histories != {values}]
    late = sum(batch[place] != values for place, values in timely.items())
    number = {(p, o): int(i) for p, o, i in zip(*(table[n].to_pylist() for n in ("partition", "offset", "alert_id")),
                                                strict=True)}  # fmt: skip
    source = open_data(stream)
    label = source.columns.index(LABEL)
    truth = np.array([row[label] == "1" for row in source.rows()])
    streamed = np.zeros(len(truth))
    for place in timely:
        streamed[number[place]] = alerts[place].score
    ones = np.ones(len(truth))
    precision = [
        round(average_precision(ScoredRows(score, truth, ones)), 4)
        for score in (streamed, scores_of(folder / "scores.csv"))
    ]
    return {
        "records": records,
        "payments": len(truth),
        "kills": kills,
        "features": list(names),
        "without_alert": len(batch.keys() - alerts.keys()),
        "with_different_copies": sum(len(each.histories) > 1 for each in alerts.values()),
        "different_from_batch": len(differing),
        "examples": [[list(place), sorted(map(str, alerts[place].histories)), str(batch[place])]
                     for place in differing[:3] if place in alerts],
        "different_from_time_order": late,
        "share_different_from_time_order": round(late / len(truth), 5),
        "average_precision_in_the_stream": precision[0],
        "average_precision_in_time_order": precision[1],
    }  # fmt: skip


def archived_records(root: Path) -> int:
    """Count the records that an archive holds."""
    return sum(pq.read_metadata(path).num_rows for path in archive_files(root))


def main() -> None:
    """Run once, and write the JSON."""
    parser = study.parser(__doc__, "history_equality")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--skip", type=int, default=300_000, help="Rows of the file before those for training.")
    parser.add_argument("--training", type=int, default=200_000, help="Rows for training.")
    parser.add_argument("--rows", type=int, default=300_000, help="Rows to stream.")
    parser.add_argument("--rate", type=float, default=1_000.0, help="Rows a second.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    about = circumstances()
    with tempfile.TemporaryDirectory(prefix="fraudstream-equality-") as folder:
        result = run(arguments, Path(folder))
    write_result(arguments.output, {**about, "data": arguments.data.name, "seed": arguments.seed, **result})
    study.say(orjson.dumps({key: value for key, value in result.items() if key != "features"}).decode())
    raise SystemExit(bool(result["different_from_batch"] or result["without_alert"]))


if __name__ == "__main__":
    main()
