"""What release 112b93f left, opened by this one: alerts and what people did with them, secrets, model, checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask.testing import FlaskClient

from apps import create_app
from dashboards import json_of
from fraudstream.audit.gather import check_trail, list_rejected
from fraudstream.config import Settings
from fraudstream.detector.checkpoint import inspect
from fraudstream.model.deployment.current import resolve
from fraudstream.model.explanation.explainer import Explainer, short_form
from fraudstream.store.database import read_store
from fraudstream.store.store import AlertStore
from fraudstream.store.tables import metadata
from fraudstream.transactions.wire import Topic
from releases import SECRETS, unpack_release

SAME = (
    "seq", "alert_id", "topic", "partition", "offset", "source_row", "produced_at", "detected_at", "received_at",
    "outcome", "score", "threshold", "model_id", "revision", "schema_id", "imputed", "work",
)  # fmt: skip
"""Of an alert, what its transaction has no part in."""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_release("release_112b93f", tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def expected(workdir: Path) -> dict[str, Any]:
    """What the release itself answered, before it was stopped."""
    answers: dict[str, Any] = json.loads((workdir / "expected.json").read_text())
    return answers


@pytest.fixture(scope="module")
def client(workdir: Path) -> Iterator[FlaskClient]:
    """The dashboard of this release on that store."""
    database = f"sqlite:///{workdir / 'alerts.db'}"
    store = AlertStore.open(database)
    settings = Settings(database=database, model=workdir / "models" / "current")
    yield create_app(settings, store).test_client()
    store.close()


def ids(client: FlaskClient, query: str) -> list[str]:
    return [each["alert_id"] for each in json_of(client.get(f"/api/alerts?limit=1000&{query}"))["alerts"]]


def test_every_alert_is_there_as_it_was(client: FlaskClient, expected: dict[str, Any]) -> None:
    assert len(expected["alerts"]) > 30
    for before in expected["alerts"]:
        now = json_of(client.get(f"/api/alerts/{before['alert_id']}"))
        assert {name: now[name] for name in SAME} == {name: before[name] for name in SAME}
        transaction = {name: value for name, value in before["transaction"].items() if name != "cvv"}
        assert now["transaction"] == transaction | {"ssn": "***-**-****"}


def test_claims_verdicts_notes_and_undone_ones_are_there(client: FlaskClient, expected: dict[str, Any]) -> None:
    actions = set()
    for alert_id, before in expected["work"].items():
        now = json_of(client.get(f"/api/work/{alert_id}"))
        assert now["work"] == before["work"]
        assert [change | was for change, was in zip(now["history"], before["history"], strict=True)] == now["history"]
        actions |= {change["action"] for change in now["history"]}
    assert actions == {"claim", "verdict", "note", "release", "undo"}


def test_the_queue_lists_and_finds_them(client: FlaskClient, expected: dict[str, Any]) -> None:
    all_ids = {each["alert_id"] for each in expected["alerts"]}
    assert set(ids(client, "")) == all_ids
    for status in ("new", "claimed", "confirmed_fraud", "false_alarm"):
        stands = {each for each, work in expected["work"].items() if work["work"]["status"] == status}
        assert set(ids(client, f"status={status}")) == stands != set()
    assert ids(client, "q=411111*") == expected["found_by_text"] != []


def test_dead_letters_and_the_ledger_are_there(client: FlaskClient, expected: dict[str, Any]) -> None:
    now = json_of(client.get("/api/dead-letters?kind=all&limit=100"))["dead_letters"]
    assert [each["reason"] for each in now] == [each["reason"] for each in expected["dead_letters"]]
    ledger = json_of(client.get("/api/ledger"))
    assert ledger["totals"] == expected["ledger"]["totals"] | {"without_transaction": 0, "additional": 0}
    assert ledger["entries"] == expected["ledger"]["entries"]


def test_no_secret_is_left_in_the_store(client: FlaskClient, workdir: Path) -> None:
    held = b"".join(path.read_bytes() for path in workdir.glob("alerts.db*"))
    assert [secret for secret in SECRETS if secret.encode() in held] == []


def test_its_store_has_the_tables_of_a_new_one(client: FlaskClient, workdir: Path, tmp_path: Path) -> None:
    def of_ours(name: str | None, kind: str, _parents: object) -> bool:
        # SQLite keeps a full-text table in several, which are its own; the orders have indexes of the backend.
        return not str(name).startswith("alert_words") if kind == "table" else name not in orders

    orders = {f"alerts_by_{name}" for name in ("commit", "score", "amount", "loss")}

    def beside_tables(store: AlertStore) -> list[Any]:
        with store.database.read() as connection:
            objects = map(tuple, connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master"))
            return sorted(each for each in objects if each[0] == "trigger" or each[1] in orders | {"alert_words"})

    upgraded = AlertStore.open(f"sqlite:///{workdir / 'alerts.db'}")
    new = AlertStore.open(f"sqlite:///{tmp_path / 'new.db'}")
    try:
        for store in (upgraded, new):
            with store.database.read() as connection:
                context = MigrationContext.configure(connection, opts={"include_name": of_ours})
                assert compare_metadata(context, metadata) == []
        assert beside_tables(upgraded) == beside_tables(new)
        assert len(beside_tables(new)) == 9
    finally:
        upgraded.close()
        new.close()


def test_the_audit_trail_is_whole(client: FlaskClient, workdir: Path) -> None:
    with read_store(f"sqlite:///{workdir / 'alerts.db'}") as snapshot:
        assert list(check_trail(snapshot, [])) == []
        assert list(list_rejected(snapshot)) == []
    assert json_of(client.get("/api/audit/head"))["entries"] > 5


def test_the_model_explains_every_alert_as_it_did(workdir: Path, expected: dict[str, Any]) -> None:
    artifact, deployment = resolve(workdir / "models" / "current")
    explainer = Explainer(artifact)
    for alert in expected["alerts"]:
        now = short_form(explainer.explain(alert["transaction"], deployment.aliases))
        assert now["explanation"]["score"] == pytest.approx(alert["score"], abs=1e-12)
        before = {reason["feature"]: reason["contribution"] for reason in alert["reasons"]}
        assert {each["feature"]: each["contribution"] for each in now["reasons"]} == pytest.approx(before, abs=1e-12)


def test_the_checkpoint_is_gone_on_from_where_the_release_stopped(workdir: Path, expected: dict[str, Any]) -> None:
    places = expected["ledger"]["partitions"]
    state = inspect(workdir / "checkpoint", Topic.TRANSACTIONS.value, places[0]["topic_id"])
    assert state.committed == {place["partition"]: place["covered_until"] for place in places}
