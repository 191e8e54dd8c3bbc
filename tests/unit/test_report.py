"""The report: everything that was measured, nothing that runs or is fetched, the same bytes for the same model."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from columns import MODEL_ID
from evaluations import HOSTILE, small_evaluation
from fraudstream.cli.entry import cli
from fraudstream.model.artifact import load_artifact, write_artifact
from fraudstream.model.manifest import Refit
from fraudstream.model.report.page import REPORT_FILE, report_html, report_of
from fraudstream.model.report.words import score

SECTIONS = (
    "precision-recall", "threshold", "calibration", "scores", "importance", "stability", "data-card", "split",
    "candidates", "previous", "columns", "meaning", "made",
)  # fmt: skip


class ReportParser(HTMLParser):
    """What a browser would find: elements with their attributes, texts, and tables by caption."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self._caption: str | None = None
        self._is_cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "caption":
            self._caption = ""
        elif tag == "tr" and self.tables:
            self.tables[next(reversed(self.tables))].append([])
        elif tag in ("td", "th"):
            self._is_cell = True
            self.tables[next(reversed(self.tables))][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption" and self._caption is not None:
            self.tables[self._caption] = []
            self._caption = None
        elif tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._caption is not None:
            self._caption += data
        elif self._is_cell:
            self.tables[next(reversed(self.tables))][-1][-1] += data

    @property
    def anchors(self) -> set[str]:
        return {
            attributes["id"] for _, attributes in self.elements if attributes.get("id") is not None and attributes["id"]
        }

    def table(self, beginning: str) -> list[list[str]]:
        return next(rows for caption, rows in self.tables.items() if caption.startswith(beginning))


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(*small_evaluation()).decode()


@pytest.fixture(scope="module")
def document(page: str) -> ReportParser:
    return ReportParser(page)


def test_every_part_of_the_evaluation_has_a_section_with_a_chart(document: ReportParser) -> None:
    assert document.anchors >= set(SECTIONS)
    charts = [(tag, attributes) for tag, attributes in document.elements if attributes.get("role") == "img"]
    assert [tag for tag, _ in charts].count("svg") == 2 * 5
    assert [tag for tag, _ in charts].count("div") == 4
    assert all(attributes["aria-label"] for _, attributes in charts)
    assert sum(tag == "details" for tag, _ in document.elements) == 9


def test_the_headline_and_the_tables_hold_the_figures_of_the_evaluation(document: ReportParser) -> None:
    evaluation, _ = small_evaluation()
    test, choice = evaluation.test, evaluation.threshold
    assert test is not None
    assert choice.row is not None
    assert choice.row.test is not None
    average, at = test.average_precision, choice.row.test
    text = " ".join(document.texts)
    assert f"average precision of {average.value:.3f} ({average.low:.3f} to {average.high:.3f})" in text
    assert f"caught {at.frauds_caught} of the {at.frauds} frauds" in text
    assert f"saved {at.saved(2.5):,.2f} when a review costs 2.5" in text
    curve = document.table("Best precision")[1:]
    assert curve == [
        [
            f"{100 * p.recall:.0f}\N{NO-BREAK SPACE}%",
            *(f"{100 * value:.1f}\N{NO-BREAK SPACE}%" for value in (p.precision, p.low, p.high)),
        ]
        for p in test.precision_recall
    ]
    costs = document.table("expected (validation period)")[1:]
    assert [row[-1] for row in costs] == [f"{row.expected.cost(2.5):,.2f}" for row in evaluation.thresholds]
    assert [row[2] for row in document.table("On the test period: what")[1:]] == [
        f"{row.test.frauds_caught} of {row.test.frauds}" for row in evaluation.thresholds if row.test is not None
    ]
    assert [row[5:7] for row in document.table("The parts")[1:]] == [
        [f"{stage.rows:,}", f"{stage.frauds:,}"] for stage in evaluation.timeline.stages
    ]
    assert [row[0] for row in document.table("Candidates")[1:]] == [
        "gbt 40 x 4 (chosen)", "logistic regression on V14",
    ]  # fmt: skip
    bins = (*test.calibration.bins_after, *test.calibration.bins_before)
    assert [row[4] for row in document.table("Rows grouped by score")[1:]] == [f"{group.frauds:,}" for group in bins]
    assert document.table("Share of the total")[1:] == [
        ["V14", "60.00\N{NO-BREAK SPACE}%"],
        ["Amount", "40.00\N{NO-BREAK SPACE}%"],
    ]
    assert evaluation.previous is not None
    assert evaluation.previous.difference is not None
    assert document.table("On 1,200 rows")[-1][1].startswith(f"{evaluation.previous.difference.value:+.3f}")


def test_confusion_importance_parts_and_drift_are_open_tables(document: ReportParser) -> None:
    evaluation, _ = small_evaluation()
    row = evaluation.threshold.row
    assert row is not None
    assert row.test is not None
    at = row.test
    confusion = document.table("Confusion matrix")
    assert confusion[1][1:] == [f"{n:,}" for n in (at.frauds_caught, at.frauds - at.frauds_caught, at.frauds)]
    assert confusion[3][3] == f"{at.rows:,.0f}"
    assert [line[0] for line in document.table("Thresholds from")[1:]].count(score(evaluation.threshold.threshold)) == 1
    assert [line[0] for line in document.table("Permutation importance")[1:]] == ["V14", "Amount"]
    assert document.table("Permutation importance")[1][1:] == ["+0.2100", "1.4", "lower values"]
    assert [len(document.table(f"By {by}")) - 1 for by in ("day", "Amount", "V14")] == [2, 4, 2]
    assert document.table("Features in the training")[1][-2:] == ["0.310", "strongly shifted"]


def test_leaks_copies_weights_and_late_labels_have_messages(document: ReportParser) -> None:
    text = " ".join(document.texts)
    for words in (
        "alone predicts the label",
        "3 test rows were removed",
        "(--legitimate-share), so that each represents 4.00 of them",
        "(--label-delay)",
        "not a forecast for a day",
        "Another period",
        "are based on",
    ):
        assert words in text
    assert [row[0] for row in document.table("Columns")[1:]] == ["V14", "Time", "V14 too"]


def test_names_from_the_csv_are_words_and_never_elements() -> None:
    page = report_html(*small_evaluation(HOSTILE, f"{HOSTILE}.csv")).decode()
    document = ReportParser(page)
    plain = ReportParser(report_html(*small_evaluation()).decode())
    assert not [tag for tag, _ in document.elements if tag == "script"]
    assert "<script" not in page
    assert [tag for tag, _ in document.elements] == [tag for tag, _ in plain.elements]
    names = {name for _, attributes in document.elements for name in attributes}
    assert names == {name for _, attributes in plain.elements for name in attributes}
    assert document.table("Share of the total")[1][0] == HOSTILE


def test_nothing_is_fetched_and_nothing_runs(page: str, document: ReportParser) -> None:
    for _, attributes in document.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert not [tag for tag, _ in document.elements if tag in ("script", "iframe", "object", "embed", "base")]
    assert re.search(r"https?:|//[a-z]|url\(|@import", page) is None
    assert "default-src 'none'" in page


def test_the_same_model_gives_the_same_bytes() -> None:
    assert report_html(*small_evaluation()) == report_html(*small_evaluation())


def test_no_drawing_holds_a_length_that_is_none(page: str) -> None:
    assert re.search(r'="[^"]*\b(nan|inf|None)\b', page) is None


def test_a_report_says_which_figures_belong_to_which_fit(page: str) -> None:
    evaluation, manifest = small_evaluation()
    refitted = report_html(evaluation, replace(manifest, refit=Refit(6043, 300, "fitted on all rows")))
    assert "<p>The deployed model was fitted on all rows.</p>" in refitted.decode()
    assert "6,043 rows, 300 frauds" in refitted.decode()
    assert "the one that was evaluated" in page


def test_a_model_without_a_test_period_has_a_report_that_says_so() -> None:
    evaluation, manifest = small_evaluation()
    rows = tuple(replace(row, test=None) for row in evaluation.thresholds)
    bare = replace(
        evaluation,
        test=None,
        measured_on="n/a: the model was fitted on every row",
        timeline=replace(
            evaluation.timeline,
            ordered_by="file order",
            stages=(replace(evaluation.timeline.stages[0], days=None),),
        ),
        thresholds=tuple(replace(row, expected=replace(row.expected, days=None)) for row in rows),
        threshold=replace(evaluation.threshold, row=None, amount_column=None, amount_note="no amount column"),
        candidates=(replace(evaluation.candidates[0], average_precision=None, by_period=()),),
        importances=(),
        leaks=(),
        previous=None,
    )
    document = ReportParser(report_html(bare, replace(manifest, excluded={}, warnings=())).decode())
    text = " ".join(document.texts)
    assert "no figures on rows that were not used in training: the model was fitted on every row" in text
    assert "the rows were assumed to be in order of time" in text
    assert "precision-recall" not in document.anchors


def test_a_model_of_one_threshold_and_one_fraud_can_be_drawn() -> None:
    evaluation, manifest = small_evaluation()
    row = evaluation.thresholds[0]
    assert evaluation.test is not None
    poor = replace(
        evaluation,
        test=replace(evaluation.test, reliable=False, frauds=1),
        thresholds=(row,),
        threshold=replace(evaluation.threshold, threshold=1.0, row=row),
        candidates=(),
    )
    page = report_html(poor, manifest).decode()
    assert "1 frauds in the test period: figures are rough" in page
    assert re.search(r'="[^"]*\b(nan|inf)\b', page) is None


def test_an_artifact_names_its_report_where_it_has_one(tmp_path: Path) -> None:
    evaluation, manifest = small_evaluation()
    with_report = {REPORT_FILE: report_html(evaluation, manifest)}
    artifact = write_artifact(tmp_path / "a", manifest, lambda scaler, classifier: None, with_report)
    assert load_artifact(artifact.path).manifest.files.keys() == {REPORT_FILE}
    result = CliRunner().invoke(cli, ["models", "show", MODEL_ID, "--models", str(tmp_path / "a"), "--json"])
    assert f'"report": "{artifact.path / REPORT_FILE}"' in result.stdout
    bare = write_artifact(tmp_path / "b", manifest, lambda scaler, classifier: None)
    assert report_of(bare.path) is None
    result = CliRunner().invoke(cli, ["models", "show", MODEL_ID, "--models", str(tmp_path / "b")])
    assert "trained by an earlier version" in result.stdout
