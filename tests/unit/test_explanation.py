"""What one payment's explanation says; that it is Spark's score is tests/spark/test_explained_scores.py's to hold."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from columns import NOW, SPREADS, feature
from fraudstream.errors import ModelCorrupt, ModelNotFound
from fraudstream.model.artifact import load_artifact
from fraudstream.model.deployment.current import Deployment, write_deployment
from fraudstream.model.explanation.cells import parse_transaction, plain, read_cells
from fraudstream.model.explanation.explainer import Explainer, ExplainerLibrary
from fraudstream.model.explanation.reasons import number_text, quantile_of
from fraudstream.model.manifest import Feature, FeatureType
from saved_models import COEFFICIENTS, INTERCEPT, LINEAR_ID, deployed_linear_model, linear_manifest, linear_model

ROW = {"Time": 1, "V1": 3.5, "V2": -1.0, "V3": 0.25, "V4": 2.0, "Amount": 60.0}
MEDIAN = feature("V1", SPREADS["V1"]).median or 0.0


@pytest.fixture
def explainer(tmp_path: Path) -> Explainer:
    return Explainer(linear_model(tmp_path))


def test_a_linear_contribution_is_the_coefficient_times_the_distance_from_the_median(explainer: Explainer) -> None:
    explanation = explainer.explain(ROW, {})
    for step, coefficient in zip(explanation.steps, COEFFICIENTS, strict=True):
        name, median = step.cell.feature.name, step.cell.feature.median
        assert median is not None
        assert step.reason.contribution == pytest.approx(2 * coefficient * (ROW[name] - median), abs=1e-12)
    margin = INTERCEPT + sum(2 * c * value for c, value in zip(COEFFICIENTS, list(ROW.values())[1:], strict=True))
    assert explanation.margin == pytest.approx(margin, rel=1e-12)
    assert explanation.score == pytest.approx(1 / (1 + math.exp(-margin)), rel=1e-12)
    assert explanation.base + sum(step.reason.contribution for step in explanation.steps) == pytest.approx(
        margin, abs=1e-9
    )


def test_the_top_reasons_come_by_size_and_with_the_rest_they_make_the_margin(explainer: Explainer) -> None:
    explanation = explainer.explain(ROW, {})
    top = explanation.top(2)
    sizes = [abs(step.reason.contribution) for step in explanation.steps]
    assert [abs(reason.contribution) for reason in top] == sorted(sizes, reverse=True)[:2]
    assert explanation.base + sum(reason.contribution for reason in top) + explanation.rest(top) == pytest.approx(
        explanation.margin
    )
    assert "V4" not in {reason.feature for reason in explanation.top()}, "its coefficient is 0: it is no reason"


def test_an_imputed_column_contributes_nothing_to_a_linear_model(
    explainer: Explainer,
) -> None:
    step = explainer.explain({**ROW, "V1": None}, {}).steps[0]
    assert (step.cell.is_imputed, step.reason.imputed, step.reason.contribution) == (True, True, 0.0)
    assert step.reason.value is None
    assert step.reason.quantile is None
    assert step.reason.text.startswith("V1 is missing (the typical ")


def test_too_much_missing_is_not_scored(explainer: Explainer) -> None:
    explanation = explainer.explain({"V1": 1.0, "V2": 2.0}, {})
    assert (explanation.missing, explanation.is_scorable) == (3, False)


def test_a_sentence_says_value_place_and_direction(explainer: Explainer) -> None:
    texts = {step.cell.feature.name: step.reason.text for step in explainer.explain({**ROW, "V2": "1e2"}, {}).steps}
    assert texts["V1"].startswith("V1 is 3.50 (")
    assert texts["V1"].endswith(f"in training, typically {number_text(MEDIAN)}): speaks for fraud")
    assert texts["V2"].startswith("V2 is 1e2 (higher than ever in training")
    assert texts["V2"].endswith("speaks against fraud")
    assert texts["V4"].endswith("no effect")


def test_an_alias_is_read_first_and_named(explainer: Explainer) -> None:
    row = {name: value for name, value in ROW.items() if name != "V1"} | {"v1_new": 3.5}
    step = explainer.explain(row, {"v1_new": "V1"}).steps[0]
    assert (step.cell.column, step.cell.is_imputed) == ("v1_new", False)
    assert step.reason.text.startswith("V1 (sent as v1_new) is 3.50")


def test_a_value_s_place_among_the_training_values_is_between_the_quantiles() -> None:
    v1 = feature("V1", 1.0)
    assert quantile_of(v1, v1.quantiles[5]) == pytest.approx(0.25)
    assert quantile_of(v1, (v1.quantiles[5] + v1.quantiles[6]) / 2) == pytest.approx(0.275, abs=1e-9)
    assert (quantile_of(v1, -1e9), quantile_of(v1, 1e9)) == (0.0, 1.0)
    many_zeros = replace(v1, quantiles=(0.0,) * 11 + tuple(range(1, 11)), p01=0.0, p99=9.5)
    assert quantile_of(many_zeros, 0.0) == pytest.approx(0.25)
    hours = Feature("at", FeatureType.TIME, median=12.0, minimum=0.0, maximum=24.0, p01=1.0, p99=23.0, weekday=0)
    assert quantile_of(hours, 6.5) == pytest.approx(0.255)


def test_numbers_keep_their_writing_where_they_name_a_category() -> None:
    feature = Feature("code", FeatureType.CATEGORY, values=("1.50", "7"))
    row = parse_transaction(b'{"code": 1.50, "nested": {"a": NaN}}')
    (cell,) = read_cells(row, [feature], {})
    assert cell.components == (1.0, 0.0, 0.0)
    assert plain(row) == {"code": 1.5, "nested": {"a": "NaN"}}


def test_an_alert_is_explained_by_its_own_model_and_the_aliases_of_its_revision(tmp_path: Path) -> None:
    current = deployed_linear_model(tmp_path)
    other = "logistic-regression-ba9876543210"
    linear_model(tmp_path, other, linear_manifest(other))
    write_deployment(tmp_path, Deployment(LINEAR_ID, 0.5, {"v1": "V1"}), who="test", why="", now=NOW)
    write_deployment(tmp_path, Deployment(other, 0.5), who="test", why="", now=NOW)
    library = ExplainerLibrary(current)
    assert [dict(library.of(LINEAR_ID, revision)[1]) for revision in (0, 1, 2, 3)] == [{}, {}, {"v1": "V1"}, {}]
    assert library.of(LINEAR_ID, 2)[0].manifest.model_id == LINEAR_ID
    assert library.of(other, 3)[0].manifest.model_id == other
    with pytest.raises(ModelNotFound):
        library.of("gbt-000000000000", 1)


def test_an_algorithm_or_a_file_unknown_to_this_version_is_refused_in_words(tmp_path: Path) -> None:
    unknown = replace(linear_manifest("svm-1"), algorithm="svm")
    with pytest.raises(ModelCorrupt, match="'svm' is unknown"):
        Explainer(linear_model(tmp_path, "svm-1", unknown))
    linear_as_trees = replace(linear_manifest("gbt-1"), algorithm="gbt")
    with pytest.raises(ModelCorrupt, match="cannot be read without Spark"):
        Explainer(linear_model(tmp_path, "gbt-1", linear_as_trees))
    assert Explainer(load_artifact(linear_model(tmp_path).path)).manifest.model_id == LINEAR_ID
