"""The history of payments in files: by time, without labels that were not known, and equal in every command."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from card_payments import COMPROMISED, ENTITIES, Payment, payments, write_payments
from columns import NOW
from fraudstream.errors import DeploymentRefused
from fraudstream.history.spec import HistorySpec
from fraudstream.model.deployment.current import deploy, read_current
from fraudstream.model.deployment.registry import model_in_use
from fraudstream.model.deployment.state import StateRecord, content_of, write_state
from fraudstream.model.explanation.cells import row_of
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.model.features.file_history import add_history, with_history_of
from fraudstream.model.manifest import Manifest
from fraudstream.model.training.comparing import compare_models, labelled_rows
from fraudstream.model.training.declaration import declared_history
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.summary import as_json, render
from fraudstream.model.training.training import TrainingResult, train
from fraudstream.scores import read_scores
from fraudstream.scoring.scorer import load_scorer, score_csv
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile

pytestmark = pytest.mark.spark

LABEL = ("TX_FRAUD", "1")
SHARE = "share of frauds at this terminal in 7 days; known 7 days later"


def history(spark: SparkSession, path: Path, rows: list[Payment]) -> tuple[HistorySpec, list[dict[str, Any]]]:
    source = open_data(write_payments(path, rows))
    spec = declared_history(profile(source, LABEL[0]), ENTITIES, None, None, None)
    return spec, list(map(json.loads, add_history(spark, source, spec, LABEL).json_rows()))


def trained(
    spark: SparkSession, path: Path, models: Path, state: Path | None = None, **settings: Any
) -> TrainingResult:
    chosen: dict[str, Any] = {"algorithm": "random-forest", "entities": ENTITIES} | settings
    return train(
        lambda: nullcontext(spark),
        open_data(path),
        TrainingSettings(**chosen),
        models_dir=models,
        report=lambda line: None,
        now=lambda: datetime(2026, 6, 1, tzinfo=UTC),
        deploys=state is not None,
        is_forced=True,
        history_state=state,
    )


def spec_of(manifest: Manifest) -> HistorySpec:
    assert manifest.history is not None
    return manifest.history


def precision_of(manifest: Manifest) -> float:
    assert manifest.metrics.average_precision is not None
    return manifest.metrics.average_precision


@pytest.fixture(scope="module")
def rows() -> list[Payment]:
    return payments()


@pytest.fixture(scope="module")
def data(rows: list[Payment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_payments(tmp_path_factory.mktemp("data") / "payments.csv", rows)


@pytest.fixture(scope="module")
def model(spark: SparkSession, data: Path) -> TrainingResult:
    """A forest with history, deployed."""
    return trained(spark, data, data.parent / "models")


@pytest.fixture(scope="module")
def alone(spark: SparkSession, data: Path, model: TrainingResult) -> TrainingResult:
    """A candidate without history, beside the deployed model."""
    return trained(spark, data, data.parent / "models", entities=())


def test_rows_are_read_in_the_order_of_time_whatever_that_of_the_file(spark: SparkSession, tmp_path: Path) -> None:
    rows = payments(days=20, a_day=20)
    spec, sorted_rows = history(spark, tmp_path / "sorted.csv", rows)
    order = np.random.default_rng(1).permutation(len(rows))
    _, shuffled = history(spark, tmp_path / "shuffled.csv", [rows[index] for index in order])
    assert shuffled == [sorted_rows[index] for index in order]
    for index in range(0, len(rows), 37):
        own = rows[index]
        earlier = [each for each in rows[:index] if each.card == own.card]
        day = [each for each in earlier if each.at >= own.at - timedelta(days=1)]
        assert sorted_rows[index]["payments by this card in 24 h"] == len(day)
        last = (own.at - earlier[-1].at).total_seconds() / 3600 if earlier else 720.0
        assert sorted_rows[index]["hours since this card's last payment"] == pytest.approx(last)
    assert all(name in sorted_rows[0] for name in spec.names)


def test_no_share_of_frauds_knows_a_label_before_the_delay(spark: SparkSession, tmp_path: Path) -> None:
    rows = payments(days=40, a_day=25)
    day = rows[0].at.replace(hour=0, minute=0, second=0) + timedelta(days=25)
    changed = [
        each._replace(is_fraud=True)
        if each.terminal == "t3" and 0 <= (each.at - day).days < 1 and each.at >= day
        else each
        for each in rows
    ]
    _, before = history(spark, tmp_path / "before.csv", rows)
    _, after = history(spark, tmp_path / "after.csv", changed)
    known = day + timedelta(days=8, hours=6)
    differing = [row for row, (one, other) in enumerate(zip(before, after, strict=True)) if one[SHARE] != other[SHARE]]
    assert differing
    assert {rows[row].terminal for row in differing} == {"t3"}
    assert min(rows[row].at for row in differing) >= known


def test_a_wrong_date_leaves_the_history_of_other_rows_unchanged(spark: SparkSession, tmp_path: Path) -> None:
    first, *others = payments(days=3, a_day=20)
    rows = [first._replace(is_fraud=True), *others]
    spec, right = history(spark, tmp_path / "right.csv", rows)
    wrong = [row._replace(at=row.at.replace(year=year)) for row in rows for year in (1969, 2150)]
    source = open_data(write_payments(tmp_path / "wrong.csv", [*rows, *wrong]))
    added = add_history(spark, source, spec, LABEL)
    mixed = list(map(json.loads, added.json_rows()))
    assert mixed[: len(rows)] == right
    assert {row[name] for row in mixed[len(rows) :] for name in spec.names} == {None}
    early = sum(row.at < first.at.replace(hour=6, minute=0, second=0) + timedelta(days=1) for row in rows)
    assert added.warnings[-1].endswith(
        f"{len(wrong)} with no readable TX_TIME, {early} with no daily profiles of the day before"
    )


def test_a_row_without_key_or_time_has_no_history_and_is_scored(
    spark: SparkSession, data: Path, model: TrainingResult, tmp_path: Path
) -> None:
    lines = data.read_text().splitlines()
    last = lines[-1]
    cells = last.split(",")
    incomplete = [[cells[0], "", *cells[2:]], [*cells[:3], "", *cells[4:]], ["", *cells[1:]]]
    (tmp_path / "a.csv").write_text("\n".join([*lines, *(",".join(row) for row in incomplete)]) + "\n")
    artifact, deployment = model_in_use(data.parent / "models", model.artifact.manifest.model_id)
    source = with_history_of(spark, open_data(tmp_path / "a.csv"), artifact.manifest)
    assert any("1 with no readable CUSTOMER_ID" in warning for warning in source.warnings), source.warnings
    no_key, no_amount, no_time = list(map(json.loads, source.json_rows()))[-3:]
    live = [each.name for each in spec_of(artifact.manifest).live]
    assert all(no_key[name] is None and no_time[name] is None for name in live)
    assert no_amount["payments by this card in 24 h"] is not None
    score_csv(spark, source, load_scorer(artifact, deployment), tmp_path / "scores.csv", max_record_bytes=1 << 20)
    scores = read_scores(tmp_path / "scores.csv", deployment.threshold)
    assert scores.outcome[-3] != "unscorable"


def test_a_model_records_its_history_and_learns_from_it(
    spark: SparkSession, data: Path, model: TrainingResult, alone: TrainingResult
) -> None:
    manifest = model.artifact.manifest
    spec = spec_of(manifest)
    assert [entity.column for entity in spec.entities] == ["CUSTOMER_ID", "TERMINAL_ID"]
    assert set(spec.names) <= {feature.name for feature in manifest.features}
    assert manifest.columns == open_data(data).columns
    assert manifest.missing_limit >= len(spec.names)
    assert alone.artifact.manifest.history is None
    assert precision_of(manifest) > precision_of(alone.artifact.manifest) + 0.2
    again = trained(spark, data, data.parent / "models")
    assert again.reused
    assert again.artifact.path == model.artifact.path


def test_the_output_suggests_a_history_where_identifiers_recur(
    data: Path, model: TrainingResult, alone: TrainingResult
) -> None:
    text = io.StringIO()
    Console(file=text, width=300).print(render(alone))
    command = f"fraudstream train --data {data} --entity customer=CUSTOMER_ID --entity terminal=TERMINAL_ID"
    assert command in text.getvalue()
    assert [each["column"] for each in as_json(alone)["suggested_entities"]] == ["CUSTOMER_ID", "TERMINAL_ID"]
    assert as_json(model)["suggested_entities"] == []
    assert as_json(model)["history"]["entities"][0] == {"kind": "card", "column": "CUSTOMER_ID"}


def test_later_rows_with_their_earlier_ones_are_scored_as_in_the_whole_file(
    spark: SparkSession, rows: list[Payment], data: Path, model: TrainingResult, tmp_path: Path
) -> None:
    artifact, deployment = model_in_use(data.parent / "models", model.artifact.manifest.model_id)
    first = len(rows) * 3 // 5
    early = write_payments(tmp_path / "early.csv", rows[:first])
    late = write_payments(tmp_path / "late.csv", rows[first:])
    whole = with_history_of(spark, open_data(data), artifact.manifest)
    split = with_history_of(spark, open_data(late), artifact.manifest, earlier=open_data(early))
    assert list(split.json_rows()) == list(whole.json_rows(first))
    score_csv(spark, split, load_scorer(artifact, deployment), tmp_path / "s.csv", max_record_bytes=1 << 20)
    scores = read_scores(tmp_path / "s.csv", deployment.threshold)
    explanation = Explainer(artifact).explain(row_of(split, 5), {})
    assert explanation.score == pytest.approx(scores.score[5], abs=1e-12)
    assert {step.cell.feature.name for step in explanation.steps} >= set(spec_of(artifact.manifest).names)
    with labelled_rows(spark, split, artifact.manifest, 1.0, artifact.manifest.history) as labelled:
        evaluated = labelled.scored(artifact, {})
    assert evaluated.raw.score == pytest.approx(scores.score[evaluated.rows], abs=1e-12)


def test_no_model_is_deployed_that_needs_another_state(
    spark: SparkSession, data: Path, model: TrainingResult, alone: TrainingResult, tmp_path: Path
) -> None:
    models, state = shutil.copytree(data.parent / "models", tmp_path / "models"), tmp_path / "checkpoint-history"
    deploy(models, alone.artifact.path.name, 0.5, who="test", why="", now=NOW)
    held = content_of(replace(spec_of(model.artifact.manifest), time="another"))
    write_state(state, StateRecord(held, 2))
    with pytest.raises(DeploymentRefused, match="time TX_TIME instead of another"):
        trained(spark, data, models, state)
    assert read_current(models / "current").model_id == alone.artifact.path.name
    shutil.rmtree(state)
    assert trained(spark, data, models, state).is_deployed


@pytest.mark.nightly
def test_models_with_and_without_history_are_compared(
    spark: SparkSession, data: Path, model: TrainingResult, alone: TrainingResult
) -> None:
    pair = [model_in_use(data.parent / "models", each.artifact.manifest.model_id) for each in (model, alone)]
    for new, former in (pair, pair[::-1]):
        comparison, both = compare_models(spark, new, former, open_data(data))
        assert comparison.average_precision is not None
        assert len(both) == 2


def test_the_reasons_name_the_share_of_frauds_at_the_terminal(
    spark: SparkSession, rows: list[Payment], data: Path, model: TrainingResult
) -> None:
    source = with_history_of(spark, open_data(data), model.artifact.manifest)
    row = next(index for index in range(len(rows) * 2 // 3, len(rows)) if rows[index].terminal == COMPROMISED)
    texts = [reason.text for reason in Explainer(model.artifact).explain(row_of(source, row), {}).top()]
    assert any(text.startswith("share of frauds at this terminal") and "for fraud" in text for text in texts), texts
