"""A Quix Streams application: one row at a time, orjson, the model in plain Python; started by the runner."""

from __future__ import annotations

import argparse
import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
from quixstreams import Application, message_context

from benchmarks.baselines.quix_streams.model import compiled
from benchmarks.baselines.reporting import Progress


def main() -> None:
    """Run the application until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--model", type=Path, required=True, help="What `exported.py` wrote as JSON.")
    parser.add_argument("--group", required=True)
    parser.add_argument("--prefix", required=True, help="Of the names of the topics that are written.")
    parser.add_argument("--start", choices=("earliest", "latest"), default="earliest")
    arguments = parser.parse_args()
    model = json.loads(arguments.model.read_text())
    score, values_of, threshold = compiled(model), itemgetter(*model["names"]), model["threshold"]
    progress = Progress()

    application = Application(
        broker_address=arguments.bootstrap_servers,
        consumer_group=arguments.group,
        auto_offset_reset=arguments.start,
        auto_create_topics=False,
        commit_interval=5.0,
        consumer_extra_config={"fetch.wait.max.ms": 10, "queued.min.messages": 200_000},
        producer_extra_config={"linger.ms": 0},
        loglevel="WARNING",
    )
    source = application.topic(arguments.topic, value_deserializer="bytes")
    alerts = application.topic(f"{arguments.prefix}fraud_alerts", value_serializer="bytes")

    def scorer(value: bytes, key: Any, timestamp: int, headers: Any) -> bytes | None:
        progress.scored(1)
        try:
            probability = score(values_of(orjson.loads(value)))
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        if probability < threshold:
            return None
        row = message_context()
        alert = {"partition": row.partition, "offset": row.offset, "score": probability}
        return orjson.dumps(alert | {"transaction": orjson.Fragment(value)})

    frame = application.dataframe(source)
    frame = frame.apply(scorer, metadata=True).filter(lambda alert: alert is not None)
    frame.to_topic(alerts)
    application.run()


if __name__ == "__main__":
    main()
