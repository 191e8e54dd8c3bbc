"""Renders the report page of an artifact.

The same evaluation and manifest give the same bytes. Values from a CSV are escaped by the template, charts by `svg.py`.
The page fetches nothing: its content security policy forbids it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from fraudstream.model.evaluation.record import Evaluation
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import words
from fraudstream.model.report.sections import sections
from fraudstream.model.report.words import count, percent, plain


def meaning(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Explain the figures, as a name and a sentence or two."""
    test = evaluation.test
    if test is not None:
        yield (
            "Average precision",
            "the mean share of frauds among the alerts while the threshold is lowered until every fraud is caught. "
            f"1 is perfect; a random ranking gives {plain(test.fraud_share)}.",
        )
        yield (
            "The interval",
            "the range of the figure in 95 of 100 resamples of these test rows (bootstrap, 1,000 rounds, frauds and "
            "legitimate rows resampled separately). It covers sampling error, not changes over time.",
        )
    yield (
        "Score",
        "the probability of fraud, for payments like those used in calibration: of 100 payments with a score of 0.3, "
        "about 30 are frauds.",
    )
    yield (
        "Later rows only",
        f"the rows are ordered by {evaluation.timeline.ordered_by}; nothing was fitted, tuned or calibrated on a row "
        "that a figure is measured on. Random splits give higher figures and are not comparable.",
    )


def limits(evaluation: Evaluation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Explain the limits of the figures."""
    test, choice = evaluation.test, evaluation.threshold
    if test is not None:
        few = "" if test.reliable else " That is too few for meaningful figures."
        yield (
            "Few frauds",
            f"all figures are based on {count(test.frauds)} frauds: one more or less is {percent(1 / test.frauds)} of "
            f"recall. The intervals reflect this, and a difference within them may be due to chance.{few}",
        )
        last = evaluation.timeline.stages[-1]
        yield (
            "Another period",
            f"the test period is {last.start} to {last.end}"
            + (f", {test.days:.2f} days" if test.days is not None else "")
            + ", directly after the training period. Fraud changes: the interval does not cover next month, another "
            "bank's data, or the period of a published figure.",
        )
    if evaluation.legitimate_share < 1:
        weight = 1 / evaluation.legitimate_share
        rare = ""
        if choice.row is not None and choice.row.test is not None:
            rows = choice.row.test.false_alarms * evaluation.legitimate_share
            rare = f" The {count(choice.row.test.false_alarms)} false alarms above are {count(rows)} rows of the file."
        yield (
            "Weights",
            f"the file holds {percent(evaluation.legitimate_share)} of the legitimate payments (--legitimate-share), "
            f"so that each represents {weight:.2f} of them. False alarms and alerts per day are estimates for "
            f"all data, correct only if that share is, and if the rows were sampled at random.{rare}",
        )
    delay = evaluation.timeline.label_delay_seconds
    if delay:
        yield (
            "Label delay",
            f"{delay / 86_400:g} days after the payment (--label-delay). Rows whose labels would not have arrived "
            "when the next period begins are left out of the fit, as they would be in production.",
        )
    else:
        yield (
            "Label delay",
            "every label was assumed to be known at once. In production a fraud is known days or weeks later, when the "
            "cardholder complains: an active model is older than this one was. --label-delay simulates this.",
        )
    yield (
        "Expectations",
        "the figures at a threshold are averages over a period, not a forecast for a day: some days have twice the "
        "alerts. The costs depend on their assumptions: every review costs the same, a missed fraud is lost in full, "
        "a caught one saved in full.",
    )
    if evaluation.timeline.ordered_by == "file order":
        yield "Order", "there is no time column: the rows were assumed to be in order of time."
    elif evaluation.timeline.unit_note:
        yield "Unit of time", f"{evaluation.timeline.unit_note}. Days, and figures per day, depend on it."
    yield "Importance", "what the model uses, not what causes fraud. Correlated features share their importance."
    yield (
        "Labels",
        f"a fraud is a row with {manifest.label_values.fraud} in the column {manifest.label}: undetected frauds count "
        "as legitimate.",
    )


REPORT_FILE: Final = "report.html"


def report_html(evaluation: Evaluation, manifest: Manifest) -> bytes:
    """Render the page as UTF-8, without using the manifest's checksums, as the report is one of the files."""
    environment = Environment(
        loader=PackageLoader("fraudstream.model.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("report.html").render(
        evaluation=evaluation,
        manifest=manifest,
        headline=words.headline(evaluation),
        facts=list(words.facts(evaluation)),
        warnings=_warnings(evaluation, manifest),
        sections=list(sections(evaluation, manifest)),
        meaning=list(meaning(evaluation)),
        limits=list(limits(evaluation, manifest)),
        made=list(_made(evaluation, manifest)),
    )
    return page.encode()


def report_of(artifact: Path) -> Path | None:
    """Return the report in an artifact's directory; None if it was trained by a version that wrote none."""
    path = artifact / REPORT_FILE
    return path if path.is_file() else None


def _warnings(evaluation: Evaluation, manifest: Manifest) -> list[str]:
    """Return the warnings, leaks first; a leak is also a warning of the manifest, but is listed once."""
    leaks = [leak.message for leak in evaluation.leaks]
    return [*leaks, *(each for each in manifest.warnings if each not in leaks)]


def _made(evaluation: Evaluation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    data = manifest.training_data
    yield "model", evaluation.model_id
    parameters = (f"{name} {value}" for name, value in manifest.parameters.items())
    yield "algorithm", ", ".join([evaluation.algorithm, *parameters])
    yield "requested", manifest.requested or evaluation.algorithm
    yield "data", f"{evaluation.data}, {count(data.rows)} rows, {count(data.frauds)} frauds"
    yield "sha256 of the data", data.fingerprint
    values = manifest.label_values
    yield "label", f"{manifest.label}: {values.fraud} is fraud, {values.legitimate} is not"
    components = sum(len(feature.components) for feature in manifest.features)
    yield "features", f"{len(manifest.features)} columns, {components} vector components"
    yield "measured on", evaluation.measured_on
    yield "seed", str(evaluation.seed)
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
