"""Shared by the tests of the stream's columns: an active model with a small contract, and samples as relayed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import orjson

from fraudstream.messages.posted import Sample, check_event
from fraudstream.model.artifact import write_artifact
from fraudstream.model.deployment.current import deploy
from fraudstream.model.manifest import (
    Feature,
    FeatureType,
    LabelValues,
    Manifest,
    Metrics,
    Period,
    SplitRecord,
    TrainingData,
)
from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.store.positions import TopicPartition
from fraudstream.store.schemas import SampleWeights
from fraudstream.transactions.wire import Topic

TOPIC = "credit_card_transactions"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPREADS = {"V1": 1.0, "V2": 2.5, "V3": 6.0, "V4": 15.0, "Amount": 40.0}
MODEL_ID = "gbt-0123456789ab"


def checked(events: Iterable[object]) -> list[Sample]:
    """Samples as the store has checked them."""
    return [event for event in map(check_event, events) if isinstance(event, Sample)]


def feature(name: str, spread: float) -> Feature:
    rng = random.Random(name)
    values = [rng.gauss(0, spread) for _ in range(2_000)]
    cuts = quantiles(values, n=20, method="inclusive")
    return Feature(
        name, FeatureType.NUMBER, cuts[9], min(values), max(values), cuts[0], cuts[-1],
        quantiles=(min(values), *cuts, max(values)),
    )  # fmt: skip


def manifest(model_id: str = MODEL_ID) -> Manifest:
    return Manifest(
        model_id=model_id,
        algorithm="gbt",
        features=tuple(feature(name, spread) for name, spread in SPREADS.items()),
        missing_limit=2,
        label="Class",
        label_values=LabelValues("0", "1"),
        time_column="Time",
        unseen_from_row=1000,
        unseen_from_time=None,
        threshold=0.5,
        threshold_rule="",
        metrics=Metrics("nothing", reliable=False),
        split=SplitRecord("time column 'Time'", Period(1, 1, "0", "0"), None, None),
        training_data=TrainingData("a.csv", "f-1", 1, 1),
        legitimate_share=1.0,
        seed=1,
        parameters={},
        excluded={"Time": "orders the rows"},
        warnings=(),
        versions={},
        files={},
    )


def model_with_contract(models: Path) -> Path:
    """An active model that reads V1 to V4 and Amount; returns its `current` file."""
    write_artifact(models, manifest(), lambda scaler, classifier: None)
    deploy(models, MODEL_ID, 0.5, who="test", why="", now=NOW)
    return models / "current"


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A payment whose values are spread as in training; a change to None leaves its column out."""
    rng = random.Random(number)
    values: dict[str, Any] = {"Time": number, **{name: rng.gauss(0, spread) for name, spread in SPREADS.items()}}
    return {name: value for name, value in (values | {"Class": 0} | changes).items() if value is not None}


def sample(offset: int, transaction: Mapping[str, Any], *, second: float | None = None, **changes: Any) -> Any:
    """The sample of a row as the relay posts it, one row a second by default."""
    at = NOW.timestamp() + (offset if second is None else second)
    imputed = [name for name in SPREADS if not isinstance(transaction.get(name), int | float | str)]
    event = {
        "type": "sample",
        "topic": TOPIC,
        "partition": 0,
        "offset": offset,
        "produced_at": datetime.fromtimestamp(at, UTC).isoformat(),
        "score": 0.1,
        "outcome": "unscorable" if len(imputed) > 2 else "clear",
        "imputed": imputed,
        "transaction_text": orjson.dumps(transaction).decode(),
        "model_id": MODEL_ID,
        "revision": 1,
        "threshold": 0.5,
    } | changes
    return to_payload(
        PostedRecord(Topic.EVENTS, Topic.EVENTS.value, 0, offset, int(at * 1000), None, orjson.dumps(event), [])
    )


def samples(rows: Iterable[Mapping[str, Any]], start: int = 0, **changes: Any) -> list[Any]:
    return [sample(start + number, each, **changes) for number, each in enumerate(rows)]


def weighed(events: Iterable[Any], weights: SampleWeights | None = None) -> list[tuple[Sample, int]]:
    """The samples among events with their weights, as the store gives them."""
    weights = weights or SampleWeights()
    samples = [event for event in map(check_event, events) if isinstance(event, Sample)]
    return [
        (each, weights.weigh(TopicPartition(each.topic, each.partition), each.offset, each.produced_us))
        for each in samples
    ]
