"""Readies what the baselines need of a model, in one Spark session before anything is measured.

python -m benchmarks.baselines.preparation --bootstrap-servers … --topic … --model PATH --folder DIR

Writes the model as arrays and as JSON (`exported.py`), as a pipeline of Spark ML, and which of the topic's rows our own
scorer gives an alert: what the alerts of every contender are held against.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.baselines.exported import export_model
from fraudstream.config import Settings
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks
from fraudstream.model.deployment.current import resolve
from fraudstream.model.manifest import by_component
from fraudstream.runtime.engines import batch_spark, jars_for
from fraudstream.transactions.wire import Outcome

EXPECTED: Final = "expected.json"
PIPELINE: Final = "pipeline"


@dataclass(frozen=True)
class Expected:
    """The outcomes of our own scorer for the topic's rows.

    Attributes:
        rows: Of the topic.
        first_offsets: Sum of the partitions' first offsets.
        places: Partition and offset of each alert.
        odd: How many rows are unscorable or dead letters.
    """

    rows: int
    first_offsets: int
    places: frozenset[tuple[int, int]]
    odd: int


def read_expected(folder: Path) -> Expected:
    """Read what this program wrote."""
    document = json.loads((folder / EXPECTED).read_text())
    places = frozenset((partition, offset) for partition, offset in document["places"])
    return Expected(document["rows"], document["first_offsets"], places, document["odd"])


def prepare(bootstrap: str, topic: str, model: Path, folder: Path) -> None:
    """Write everything into `folder`."""
    from pyspark.ml import PipelineModel
    from pyspark.ml.feature import VectorAssembler

    from fraudstream.messages.ledger import Range
    from fraudstream.scoring.message_format import MessageFormat
    from fraudstream.scoring.scorer import load_scorer
    from fraudstream.scoring.topic import remarkable

    settings = Settings.load(bootstrap_servers=bootstrap)
    artifact, deployment = resolve(model)
    export_model(artifact, deployment, folder)
    cluster = Cluster(bootstrap)
    marks = Watermarks(cluster, topic).read()
    ranges = [Range(partition, first, end) for partition, (first, end) in marks.items()]
    options = cluster.spark_options(is_local=True)
    with options as kafka, batch_spark(settings, "peers", jars_for(settings).connector) as spark:
        scorer = load_scorer(artifact, deployment)
        exceptions = list(remarkable(spark, scorer, kafka, topic, ranges, MessageFormat.of(settings)))
        names = [feature.name for feature in by_component(scorer.features)]
        # What it lacks is passed over: by default the assembler ends the query at the first null.
        assembler = VectorAssembler(inputCols=names, outputCol=scorer.scaler.getOrDefault("inputCol"))
        assembler.setHandleInvalid("skip")
        pipeline = PipelineModel([assembler, scorer.scaler, scorer.classifier])
        pipeline.write().overwrite().save(str((folder / PIPELINE).absolute()))
    threshold = scorer.calibration.raw_at(scorer.threshold)
    (folder / f"{PIPELINE}.json").write_text(json.dumps({"names": names, "threshold": threshold}))
    document = {
        "rows": sum(each.until_offset - each.from_offset for each in ranges),
        "first_offsets": sum(each.from_offset for each in ranges),
        "places": [(each.partition, each.offset) for each in exceptions if each.outcome is Outcome.ALERT],
        "odd": sum(each.outcome is not Outcome.ALERT for each in exceptions),
    }
    (folder / EXPECTED).write_text(json.dumps(document))


def main() -> None:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    prepare(arguments.bootstrap_servers, arguments.topic, arguments.model, arguments.folder)


if __name__ == "__main__":
    main()
