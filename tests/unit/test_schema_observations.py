"""Schemas in the store: new ones are reported once, rows estimated, everything bounded."""

from __future__ import annotations

from typing import Any

import pytest

from columns import TOPIC, row, sample, samples
from dashboards import Clock, alert
from fraudstream.store import schemas as observations
from fraudstream.store.positions import TopicPartition
from fraudstream.store.reading import Total
from fraudstream.store.schemas import MOST_EVENTS, SampleWeights
from fraudstream.store.store import AlertStore
from fraudstream.transactions.drift import schema_id


def schema_events(store: AlertStore) -> list[dict[str, Any]]:
    return [event.document for event in store.events(kind="schema", limit=1000)]


def test_a_new_schema_is_one_event_with_its_position(store: AlertStore) -> None:
    store.add_events(
        samples(row(n) for n in range(3)), describe=lambda observation: {"message": f"seen at {observation.where}"}
    )
    store.add_events([sample(3, row(3, note="x")), sample(4, dict(reversed(row(4).items())))])
    newest, first = schema_events(store)
    assert first["message"] == f"seen at {TOPIC}[0] 0"
    assert first["schema_id"] == schema_id(row(0))
    assert (newest["partition"], newest["offset"], newest["sampled"]) == (0, 3, True)
    assert store.schema_count() == 2


def test_rows_are_estimated_from_the_gaps_between_samples_and_a_replay_adds_none(store: AlertStore) -> None:
    posted = [sample(100, row(1)), sample(356, row(2)), sample(400, row(3, note="x"))]
    store.add_events(posted)
    store.add_events(posted)
    plain, with_note = store.schema(schema_id(row(1))), store.schema(schema_id(row(3, note="x")))
    assert plain is not None
    assert with_note is not None
    assert (plain.sampled, plain.estimated) == (2, 257)
    assert (with_note.sampled, with_note.estimated) == (1, 44)


def test_a_topic_that_was_made_anew_counts_again() -> None:
    weights = SampleWeights()
    place = TopicPartition(TOPIC, 0)
    assert [weights.weigh(place, offset, at) for offset, at in ((10, 1), (20, 2), (15, 3), (0, 9_000_000))] == [
        1, 10, 0, 1,
    ]  # fmt: skip


def test_alerts_and_unscorable_rows_are_observations_too_and_count_once(store: AlertStore) -> None:
    posted = [alert(1), alert(2, outcome="unscorable", score=None)]
    store.add_alerts(posted)
    store.add_alerts(posted)
    schema = store.schema("s-1")
    assert schema is not None
    assert (schema.alerts, schema.unscorable, schema.sampled) == (1, 1, 0)
    assert schema.columns == {"Amount": "number", "Time": "number", "V1": "number", "V2": "number"}
    assert len(schema_events(store)) == 1


def test_a_thousand_alternating_schemas_do_not_flood_the_store(store: AlertStore, clock: Clock) -> None:
    for turn in range(3):
        for first in range(0, 1_000, 100):
            numbers = range(first, first + 100)
            store.add_events([sample(turn * 1_000 + n, row(n, **{f"x{n}": 1})) for n in numbers])
            clock.forward(1)
    assert store.schema_count() == 1_000
    assert {schema.sampled for schema in store.schemas(limit=2_000)} == {3}
    events = schema_events(store)
    assert len(events) == MOST_EVENTS + 1
    assert f"more than {MOST_EVENTS} new schemas" in events[0]["message"]
    clock.forward(3_601)
    store.add_events([sample(9_000, row(1, later=1))])
    assert len(schema_events(store)) == MOST_EVENTS + 2


def test_the_longest_unseen_are_dropped_beyond_the_bound(
    store: AlertStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "MOST_SCHEMAS", 200)
    store.add_events([sample(0, row(0))])
    for first in range(1, 300, 70):
        clock.forward(1)
        store.add_events([sample(n, {f"x{n}": 1}) for n in range(first, first + 70)] + [sample(first + 70, row(0))])
    assert store.schema_count() == 200
    assert store.totals()[Total.SCHEMAS_FORGOTTEN] == 1 + 5 * 70 - 200
    assert store.schema(schema_id(row(0))) is not None


def test_a_sample_that_lies_about_its_columns_is_rejected_alone(store: AlertStore) -> None:
    good = sample(1, row(1))
    added = store.add_events([good | {"columns": ["V1"]}, good | {"schema_id": "x" * 33}, good])
    assert [rejection.index for rejection in added.rejected] == [0, 1]
    assert store.schema_count() == 1


def test_a_refusal_is_remembered_once(store: AlertStore) -> None:
    for why in ("no", "again"):
        store.refuse_alias("new", "V3", who="ann", why=why)
    assert [(refusal.new, refusal.old, refusal.who, refusal.why) for refusal in store.refusals()] == [
        ("new", "V3", "ann", "no")
    ]
