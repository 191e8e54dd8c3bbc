"""Training: from a CSV to an active artifact, evaluated only on rows that it was not trained on."""

from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from pyspark.ml.classification import GBTClassificationModel, LogisticRegressionModel, RandomForestClassificationModel
from pyspark.ml.feature import StandardScalerModel
from pyspark.ml.linalg import Vectors
from pyspark.ml.util import JavaMLReadable
from pyspark.sql import SparkSession
from rich.console import Console

from fraudstream.errors import DeploymentRefused, SettingsError
from fraudstream.model.artifact import load_artifact
from fraudstream.model.deployment.current import deploy, read_current, resolve
from fraudstream.model.deployment.registry import model_in_use
from fraudstream.model.evaluation.record import read_evaluation
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.report.page import REPORT_FILE, report_html
from fraudstream.model.training.comparing import compare_models
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.recipe import FittedModel, load_fitted
from fraudstream.model.training.summary import as_json, render
from fraudstream.model.training.training import TrainingResult, train
from fraudstream.scoring.scorer import load_scorer, score_csv
from fraudstream.transactions.data_source import DataSource, open_data
from saved_models import LINEAR_ID, linear_model

pytestmark = pytest.mark.spark

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SUBSET = Path(__file__).resolve().parents[3] / "shared" / "data" / "creditcard_subset.csv"


def write_csv(path: Path, rows: int = 600, fraud_share: float = 0.1, *, gaps: bool = False) -> Path:
    rng = np.random.default_rng(5)
    is_fraud = rng.random(rows) < fraud_share
    signal, noise = rng.normal(size=rows) + 3 * is_fraud, rng.normal(size=rows)
    lines = ['"Time","V1","V2","Class"']
    for row in range(rows):
        first = "" if gaps and row % 9 == 0 else f"{signal[row]:.6f}"
        second = '"oops"' if gaps and row == rows // 2 else f"{noise[row]:.6f}"
        lines.append(f'{row},{first},{second},"{int(is_fraud[row])}"')
    path.write_text("\n".join(lines).replace('"oops"', "NaN") + "\n")
    return path


def trained(
    spark: SparkSession, data: Path, models: Path, algorithm: str = "logistic-regression", *, refit: bool = True
) -> TrainingResult:
    return train(
        lambda: nullcontext(spark),
        open_data(data),
        TrainingSettings(algorithm=algorithm, seed=1, refit=refit),
        models_dir=models,
        report=lambda line: None,
        now=lambda: NOW,
    )


def rendered(result: TrainingResult) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(render(result))
    return text.getvalue()


@pytest.fixture(scope="module")
def linear(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A logistic regression on `a.csv`, beside the folder of its models, whose name is as odd as a folder's may be."""
    folder = tmp_path_factory.mktemp("linear")
    return trained(spark, write_csv(folder / "a.csv"), folder / "Modèles de test, 100 % à moi")


def test_a_trained_model_is_deployed_and_evaluated_on_later_rows(linear: TrainingResult) -> None:
    result, manifest = linear, linear.artifact.manifest
    assert not result.reused
    assert resolve(result.artifact.path.parent / "current") == (result.artifact, result.deployment)
    assert [feature.name for feature in manifest.features] == ["V1", "V2"]
    assert "Time" in manifest.excluded
    assert manifest.entities == ()
    assert (manifest.unseen_from_row, manifest.missing_limit) == (None, 1)
    assert manifest.split.test is not None
    assert manifest.split.test.start == "480"
    assert manifest.metrics.reliable
    assert manifest.metrics.average_precision is not None
    assert 0.7 < manifest.metrics.average_precision <= 1
    assert 0 < manifest.threshold < 1
    text = rendered(result)
    for figure in ("average precision", "95 % interval", "ROC AUC", "threshold", "false alarms", "time column 'Time'"):
        assert figure in text
    assert as_json(result)["model_id"] == manifest.model_id


def test_the_deployed_model_is_fitted_on_all_rows_after_its_evaluation(
    linear: TrainingResult, spark: SparkSession, tmp_path: Path
) -> None:
    evaluated = trained(spark, write_csv(tmp_path / "a.csv"), tmp_path / "models", refit=False)
    before, after = evaluated.artifact.manifest, linear.artifact.manifest
    assert before.model_id != after.model_id
    assert (before.refit, before.unseen_from_row) == (None, 480)
    assert after.refit is not None
    assert (after.refit.rows, after.refit.frauds) == (600, after.training_data.frauds)
    # What was measured is the fit before, with its calibration and threshold.
    assert after.metrics.average_precision == pytest.approx(before.metrics.average_precision)
    assert after.calibration == before.calibration
    assert after.threshold == pytest.approx(before.threshold)
    scales = [load_fitted(each.artifact).scaler.mean.toArray() for each in (evaluated, linear)]
    values = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1, usecols=(1, 2))
    assert scales[0] == pytest.approx(values[:480].mean(axis=0))
    assert scales[1] == pytest.approx(values.mean(axis=0))
    for text in (rendered(linear), str(as_json(linear)), (linear.artifact.path / REPORT_FILE).read_text()):
        assert after.refit.note[:40] in text
    assert "deployed fit" not in rendered(evaluated)


def test_the_same_data_and_seed_give_the_same_model_and_leave_a_changed_threshold(
    linear: TrainingResult, spark: SparkSession, tmp_path: Path
) -> None:
    data = write_csv(tmp_path / "a.csv")
    models = copytree(linear.artifact.path.parent, tmp_path / "models")
    first = linear
    changed = deploy(models, first.deployment.model_id, 0.9, who="ann", why="fewer alarms", now=NOW)
    again = trained(spark, data, models)
    assert again.reused
    assert again.artifact.manifest == first.artifact.manifest
    assert again.deployment == changed
    elsewhere = trained(spark, data, tmp_path / "elsewhere")
    assert elsewhere.artifact.manifest.model_id == first.artifact.manifest.model_id
    assert elsewhere.artifact.manifest.threshold == pytest.approx(first.artifact.manifest.threshold, rel=1e-6)


def test_a_known_model_needs_no_spark(linear: TrainingResult) -> None:
    def refuse() -> nullcontext[SparkSession]:
        raise AssertionError("Spark was started")

    lines: list[str] = []
    result = train(
        refuse,
        open_data(linear.artifact.path.parent.parent / "a.csv"),
        TrainingSettings(algorithm="logistic-regression", seed=1, name="spring"),
        models_dir=linear.artifact.path.parent,
        report=lines.append,
        now=lambda: NOW,
    )
    assert result.reused
    assert [line for line in lines if "warning" in line] == [
        "warning: its name stays '': the artifact is not written again"
    ]


def test_a_directory_of_models_may_have_any_name(linear: TrainingResult) -> None:
    models = linear.artifact.path.parent
    assert {path.name for path in models.parent.iterdir()} == {"a.csv", models.name}
    assert load_fitted(load_artifact(linear.artifact.path)).classifier.numFeatures == 2


def assert_same(ours: Any, spark_s: Any) -> None:
    """The same model with the same parameters."""
    assert (type(ours), ours.uid) == (type(spark_s), spark_s.uid)
    assert {param.name: value for param, value in ours.extractParamMap().items()} == {
        param.name: value for param, value in spark_s.extractParamMap().items()
    }


@pytest.mark.parametrize(
    ("algorithm", "model"),
    [
        pytest.param("logistic-regression", LogisticRegressionModel, marks=pytest.mark.nightly),
        ("random-forest", RandomForestClassificationModel),
        pytest.param("gbt", GBTClassificationModel, marks=pytest.mark.nightly),
    ],
)
def test_each_algorithm_is_saved_as_spark_reads_it(
    spark: SparkSession, tmp_path: Path, algorithm: str, model: type[JavaMLReadable[Any]]
) -> None:
    result = trained(spark, write_csv(tmp_path / "a.csv", rows=200, fraud_share=0.2), tmp_path / "models", algorithm)
    artifact = load_artifact(result.artifact.path)
    assert artifact.manifest.algorithm == algorithm
    scaler = StandardScalerModel.load(str(artifact.scaler_path))
    classifier = model.load(str(artifact.classifier_path))
    assert scaler.getOutputCol() == classifier.getFeaturesCol() == TrainingColumn.SCALED
    ours = load_fitted(artifact)
    assert_same(ours.scaler, scaler)
    assert_same(ours.classifier, classifier)
    vectors = spark.createDataFrame([(Vectors.dense([a, b]),) for a in (-3, 0, 2.5) for b in (-1, 0, 4)], ["features"])
    predictions = [
        each.classifier.transform(each.scaler.transform(vectors)).select("probability", "rawPrediction").collect()
        for each in (ours, FittedModel(scaler, classifier))
    ]
    assert predictions[0] == predictions[1]
    if isinstance(classifier, GBTClassificationModel | RandomForestClassificationModel):
        assert ours.classifier.toDebugString == classifier.toDebugString
        assert ours.classifier.treeWeights == classifier.treeWeights
        assert ours.classifier.featureImportances == classifier.featureImportances
        again = model.load(str(artifact.classifier_path))
        assert again.toDebugString == classifier.toDebugString  # Spark's own way of loading is as it was


@pytest.mark.nightly  # what fills them: test_projection.py
def test_missing_values_are_learned_from_as_the_stream_would_fill_them(spark: SparkSession, tmp_path: Path) -> None:
    result = trained(spark, write_csv(tmp_path / "a.csv", gaps=True), tmp_path / "models")
    assert result.artifact.manifest.metrics.average_precision is not None


@pytest.mark.nightly  # figures with weights: tests/unit/test_evaluation.py
def test_weights_stand_for_the_legitimate_rows_that_are_not_there(
    linear: TrainingResult, spark: SparkSession, tmp_path: Path
) -> None:
    data = write_csv(tmp_path / "a.csv")
    whole, models = linear, copytree(linear.artifact.path.parent, tmp_path / "models")
    tenth = train(
        lambda: nullcontext(spark),
        open_data(data),
        TrainingSettings(algorithm="logistic-regression", legitimate_share=0.1, seed=1),
        models_dir=models,
        report=lambda line: None,
        now=lambda: NOW,
    )
    assert tenth.artifact.path.name != whole.artifact.path.name
    assert whole.artifact.manifest.metrics.average_precision is not None
    assert tenth.artifact.manifest.metrics.average_precision is not None
    assert tenth.artifact.manifest.metrics.average_precision < whole.artifact.manifest.metrics.average_precision
    assert read_current(models / "current") == whole.deployment == tenth.deployment
    assert not tenth.is_deployed


@pytest.mark.parametrize("rows", [4, *(pytest.param(rows, marks=pytest.mark.nightly) for rows in (12, 60))])
def test_too_few_frauds_are_a_warning_and_no_failure(spark: SparkSession, tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.csv"
    fraud = rows - 1
    path.write_text("V1,V2,Class\n" + "".join(f"{r * 7 % 5},{r % 3},{int(r == fraud)}\n" for r in range(rows)))
    result = trained(spark, path, tmp_path / "models")
    metrics = result.artifact.manifest.metrics
    assert not metrics.reliable
    assert metrics.average_precision is None
    assert result.artifact.manifest.unseen_from_row is None
    assert "n/a" in rendered(result)
    assert "warning" in rendered(result)


@pytest.mark.parametrize(("algorithm", "share"), [("xgboost", 1.0), ("gbt", 0.0), ("gbt", 1.5), ("gbt", float("nan"))])
def test_settings_that_make_no_sense_are_refused(
    spark: SparkSession, tmp_path: Path, algorithm: str, share: float
) -> None:
    with pytest.raises(SettingsError) as error:
        train(
            lambda: nullcontext(spark),
            open_data(write_csv(tmp_path / "a.csv", rows=50)),
            TrainingSettings(algorithm=algorithm, legitimate_share=share, seed=1),
            models_dir=tmp_path / "models",
            report=lambda line: None,
            now=lambda: NOW,
        )
    assert error.value.remedy


@pytest.mark.skipif(not SUBSET.exists(), reason="needs ../shared/data/creditcard_subset.csv")
@pytest.mark.nightly
def test_the_real_subset_is_scored_as_well_as_published(spark: SparkSession, tmp_path: Path) -> None:
    result = train(
        lambda: nullcontext(spark),
        open_data(SUBSET),
        TrainingSettings(algorithm="logistic-regression", legitimate_share=0.18594, seed=1),
        models_dir=tmp_path,
        report=lambda line: None,
        now=lambda: NOW,
    )
    metrics = result.artifact.manifest.metrics
    assert metrics.frauds == 59
    assert metrics.average_precision is not None
    assert metrics.average_precision > 0.74


@pytest.fixture(scope="module")
def searched(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, list[str]]:
    """A search on rows with amounts, after another model was active."""
    folder = tmp_path_factory.mktemp("searched")
    rng = np.random.default_rng(6)
    rows = 1500
    is_fraud = rng.random(rows) < 0.08
    ring = rng.normal(size=(rows, 2))
    ring[is_fraud] *= 3.0
    lines = ["Time,V1,V2,Amount,Class"]
    for at in range(rows):
        lines.append(f"{at * 60},{ring[at, 0]:.6f},{ring[at, 1]:.6f},{rng.gamma(2, 40):.2f},{int(is_fraud[at])}")
    lines[-1] = f"{rows * 60}," + lines[500].split(",", 1)[1]
    data = folder / "a.csv"
    data.write_text("\n".join(lines) + "\n")
    trained(spark, data, folder / "models")
    messages: list[str] = []
    result = train(
        lambda: nullcontext(spark),
        open_data(data),
        TrainingSettings(seed=1, refit=False),
        models_dir=folder / "models",
        report=messages.append,
        now=lambda: NOW,
        deploys=True,
        is_forced=True,
    )
    return result, messages


def test_the_search_takes_the_best_on_the_validation_period_and_says_why(
    searched: tuple[TrainingResult, list[str]],
) -> None:
    result, messages = searched
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    # Frauds lie on a ring round the others: no line divides them.
    assert result.artifact.manifest.algorithm in ("random-forest", "gbt")
    assert result.artifact.manifest.requested == "auto"
    assert result.artifact.manifest.model_id.startswith(result.artifact.manifest.algorithm)
    chosen = [candidate for candidate in evaluation.candidates if candidate.chosen]
    assert len(chosen) == 1
    assert chosen[0].average_precision is not None
    best = max(c.average_precision.value for c in evaluation.candidates if c.average_precision is not None)
    assert chosen[0].average_precision.value >= best - 0.005
    assert evaluation.choice == chosen[0].why
    steps = [line for line in messages if line.startswith("candidate ")]
    count = len(evaluation.candidates)
    assert len(steps) == 2 * count
    assert steps[0].startswith(f"candidate 1 of {count}, period 1 of 2: ")
    assert {len(candidate.by_period) for candidate in evaluation.candidates} == {2}


def test_the_evaluation_is_of_later_rows_only_without_copies(searched: tuple[TrainingResult, list[str]]) -> None:
    result, _ = searched
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    assert [stage.role for stage in evaluation.timeline.stages] == ["fit", "comparison", "validation", "test"]
    assert evaluation.timeline.duplicates_removed == 1
    test = evaluation.test
    assert test is not None
    assert test.rows == evaluation.timeline.stages[-1].rows - 1
    ends = test.average_precision.interval
    assert ends is None or ends.low <= test.average_precision.value <= ends.high
    assert test.calibration.error_after < 0.1
    names = {feature.name for feature in result.artifact.manifest.features}
    assert {each.feature for each in evaluation.influences} == {each.feature for each in evaluation.drifts} == names
    strongest = evaluation.influences[0]
    assert (strongest.permutation > 0, strongest.shapley > 0) == (True, True)
    assert strongest.direction in ("higher values", "lower values")
    assert [each.by for each in evaluation.breakdowns] == ["part of the period", "Amount"]
    assert all(sum(group.frauds for group in each.groups) == test.frauds for each in evaluation.breakdowns)
    assert [each.recall for each in test.precision_recall][-1] == 1.0
    assert sum(test.histogram.frauds) == pytest.approx(1)
    assert result.artifact.manifest.metrics.average_precision == test.average_precision.value
    assert "evaluation.json" in result.artifact.manifest.files


def test_the_report_lies_in_the_artifact_and_is_drawn_from_what_lies_beside_it(
    searched: tuple[TrainingResult, list[str]],
) -> None:
    result, _ = searched
    artifact = load_artifact(result.artifact.path)
    evaluation = read_evaluation(artifact.path)
    assert evaluation is not None
    assert REPORT_FILE in artifact.manifest.files
    assert (artifact.path / REPORT_FILE).read_bytes() == report_html(evaluation, artifact.manifest)
    assert as_json(result)["report"] == str(artifact.path / REPORT_FILE)
    assert str(artifact.path / REPORT_FILE) in rendered(result).replace("\n", "")


def test_the_threshold_is_the_cheapest_on_the_validation_period(searched: tuple[TrainingResult, list[str]]) -> None:
    result, _ = searched
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    choice = evaluation.threshold
    assert (choice.amount_column, choice.review_cost) == ("Amount", 2.5)
    assert choice.row is not None
    costs = [row.expected.cost(2.5) for row in evaluation.thresholds]
    assert choice.row.expected.cost(2.5) == min(costs)
    assert result.deployment.threshold == choice.threshold == result.artifact.manifest.threshold
    assert choice.row.test is not None


def test_the_new_model_is_compared_with_the_active_one_on_the_same_rows(
    searched: tuple[TrainingResult, list[str]],
) -> None:
    result, _ = searched
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    previous = evaluation.previous
    assert previous is not None
    assert previous.model_id.startswith("logistic-regression")
    assert previous.note == "scored by the fit of its evaluation, which has not seen these rows"
    assert previous.difference is not None
    assert previous.average_precision is not None
    assert evaluation.test is not None
    assert previous.rows == evaluation.test.rows
    gap = evaluation.test.average_precision.value - previous.average_precision.value
    assert previous.difference.value == pytest.approx(gap)
    assert previous.difference.interval is None or previous.difference.interval.low > 0
    saved = next(each for each in previous.measures if each.name == "money saved")
    assert evaluation.threshold.row is not None
    assert evaluation.threshold.row.test is not None
    assert saved.new.value == pytest.approx(evaluation.threshold.row.test.saved(2.5))
    assert f"  {saved.name}" in rendered(result)
    former = load_artifact(result.artifact.path.parent / previous.model_id)
    assert former.evaluated is not None
    assert former.manifest.refit is not None
    own = read_evaluation(former.path)
    assert own is not None
    assert own.test is not None
    # The fit of its evaluation has the same figure on the same rows; the deployed one has seen them.
    assert previous.average_precision.value == pytest.approx(own.test.average_precision.value)


@pytest.fixture
def worse(linear: TrainingResult, tmp_path: Path) -> tuple[DataSource, Path]:
    """The rows of `linear`, of which a second model may use noise alone, in a copy of its folder."""
    return open_data(linear.artifact.path.parent.parent / "a.csv"), Path(
        copytree(linear.artifact.path.parent, tmp_path / "models")
    )


def train_worse(
    spark: SparkSession, worse: tuple[DataSource, Path], *, deploys: bool = False, is_forced: bool = False
) -> TrainingResult:
    settings = TrainingSettings(algorithm="logistic-regression", seed=1, exclude=("V1",), name="noise", tags=("trial",))
    source, models = worse
    return train(
        lambda: nullcontext(spark), source, settings,
        models_dir=models, report=lambda line: None, now=lambda: NOW, deploys=deploys, is_forced=is_forced,
    )  # fmt: skip


def test_a_worse_model_stays_a_candidate_unless_it_is_forced(
    linear: TrainingResult, worse: tuple[DataSource, Path], spark: SparkSession
) -> None:
    candidate = train_worse(spark, worse)
    assert not candidate.is_deployed
    assert candidate.deployment == read_current(worse[1] / "current") == linear.deployment
    assert "this model is a candidate" in rendered(candidate)
    assert (as_json(candidate)["deployed"], as_json(candidate)["name"]) == (False, "noise")
    # The artifact exists by now: it is compared again, as the active deployment may be another one.
    with pytest.raises(DeploymentRefused, match="it saves") as refused:
        train_worse(spark, worse, deploys=True)
    assert "--force" in refused.value.remedy
    assert read_current(worse[1] / "current") == linear.deployment
    forced = train_worse(spark, worse, deploys=True, is_forced=True)
    assert forced.is_deployed
    assert read_current(worse[1] / "current").revision == 2


def test_a_model_is_compared_with_the_one_that_became_active_during_its_training(
    worse: tuple[DataSource, Path], spark: SparkSession
) -> None:
    source, models = worse
    linear_model(models)

    def report(line: str) -> None:
        if line.startswith("writing the model"):
            deploy(models, LINEAR_ID, 0.5, who="ann", why="meanwhile", now=NOW)

    settings = TrainingSettings(algorithm="logistic-regression", seed=1, refit=False)
    with pytest.raises(DeploymentRefused, match=f"could not be compared with {LINEAR_ID}"):
        train(
            lambda: nullcontext(spark), source, settings,
            models_dir=models, report=report, now=lambda: NOW, deploys=True,
        )  # fmt: skip
    assert read_current(models / "current").model_id == LINEAR_ID


def test_a_search_is_known_again_whatever_it_chose(
    searched: tuple[TrainingResult, list[str]], spark: SparkSession
) -> None:
    result, _ = searched
    again = train(
        lambda: nullcontext(spark),
        open_data(result.artifact.path.parent.parent / "a.csv"),
        TrainingSettings(seed=1, refit=False),
        models_dir=result.artifact.path.parent,
        report=lambda line: None,
        now=lambda: NOW,
    )
    assert again.reused
    assert again.artifact == result.artifact


def test_the_scorer_gives_the_scores_of_the_evaluation(
    searched: tuple[TrainingResult, list[str]], spark: SparkSession, tmp_path: Path
) -> None:
    result, _ = searched
    source = open_data(result.artifact.path.parent.parent / "a.csv")
    scorer = load_scorer(result.artifact, result.deployment)
    score_csv(spark, source, scorer, tmp_path / "scores.csv", max_record_bytes=10_000, keep=["V2", "Time"])
    lines = (tmp_path / "scores.csv").read_text().splitlines()[1:]
    with source.files[0].path.open() as file:
        originals = [(row["Time"], row["V2"]) for row in csv.DictReader(file)]
    assert [tuple(line.split(",")[4:]) for line in lines] == originals
    with pytest.raises(SettingsError, match="no column 'score'"):
        score_csv(spark, source, scorer, tmp_path / "others.csv", max_record_bytes=10_000, keep=["score"])
    unseen = result.artifact.manifest.unseen_from_row
    assert unseen is not None
    # The last row is a copy and not part of the test.
    later = [line.split(",") for line in lines[unseen:-1]]
    metrics = result.artifact.manifest.metrics
    assert metrics.frauds_caught is not None
    assert metrics.false_alarms is not None
    assert sum(line[1] == "alert" for line in later) == metrics.frauds_caught + metrics.false_alarms


@pytest.mark.nightly  # the gaps between the parts: tests/unit/test_split.py
def test_labels_that_arrive_late_are_not_used_before_they_arrive(spark: SparkSession, tmp_path: Path) -> None:
    result = train(
        lambda: nullcontext(spark),
        open_data(write_csv(tmp_path / "a.csv")),
        TrainingSettings(algorithm="logistic-regression", label_delay_seconds=50, seed=1),
        models_dir=tmp_path / "models",
        report=lambda line: None,
        now=lambda: NOW,
    )
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    roles = [(stage.role, stage.rows) for stage in evaluation.timeline.stages]
    assert [role for role, _ in roles] == ["fit", "gap", "comparison", "gap", "validation", "gap", "test"]
    assert roles[1][1] == roles[3][1] == roles[5][1] == 49
    assert result.artifact.manifest.split.train.rows == 600 - 120 - 49
    refit = result.artifact.manifest.refit
    assert refit is not None
    assert refit.rows == 600 - 50
    assert "without 50 whose labels arrive after the end of the file" in refit.note


def test_a_feature_that_gives_the_label_away_is_warned_of(spark: SparkSession, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv")
    rng = np.random.default_rng(8)
    header, *lines = path.read_text().splitlines()
    values = [5.0 * line.endswith('"1"') + rng.random() for line in lines]
    rows = [f"{line},{value:.6f}" for line, value in zip(lines, values, strict=True)]
    path.write_text("\n".join([f'{header},"verdict"', *rows]) + "\n")
    result = trained(spark, path, tmp_path / "models")
    evaluation = read_evaluation(result.artifact.path)
    assert evaluation is not None
    assert [leak.feature for leak in evaluation.leaks] == ["verdict"]
    assert any("'verdict' alone" in warning for warning in result.artifact.manifest.warnings)
    assert "does it leak?" in rendered(result)


def test_two_saved_models_are_compared_on_the_test_period_of_the_newer_one(
    searched: tuple[TrainingResult, list[str]], spark: SparkSession
) -> None:
    result, _ = searched
    models, evaluation = result.artifact.path.parent, read_evaluation(result.artifact.path)
    assert evaluation is not None
    assert evaluation.previous is not None
    new, former = (model_in_use(models, each) for each in (result.artifact.path.name, evaluation.previous.model_id))
    comparison, both = compare_models(spark, new, former, open_data(models.parent / "a.csv"))
    # The training left out the copy of an earlier row.
    assert comparison.rows == evaluation.previous.rows + 1
    assert comparison.model_id == evaluation.previous.model_id
    assert comparison.difference is not None
    assert evaluation.previous.difference is not None
    assert comparison.difference.value == pytest.approx(evaluation.previous.difference.value, abs=0.02)
    assert both[0].rows.tolist() == both[1].rows.tolist() == list(range(1200, 1500))
