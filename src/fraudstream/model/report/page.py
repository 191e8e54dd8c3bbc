"""The report's page, made of the artifact's own records alone; what stands in its sections is `sections.py`'s.

The same evaluation and manifest give the same bytes. All that comes from a CSV is escaped by the template; the drawings
are escaped by `svg.py`. Nothing is fetched: a policy in the page forbids it.
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
    """What the figures mean, as a name and a sentence or two."""
    test = evaluation.test
    if test is not None:
        yield (
            "Average precision",
            "the mean share of frauds among the alerts while the threshold is lowered until every fraud is caught. "
            f"1 is perfect, {plain(test.fraud_share)} is what ranking by chance gives.",
        )
        yield (
            "The interval",
            "where the figure lies in 95 of 100 redrawings of these test rows (bootstrap, 1,000 rounds, frauds and "
            "legitimate rows drawn apart). It knows of chance in the rows, not of another time.",
        )
    yield (
        "A score",
        "the probability of fraud, for payments like those that it was calibrated on: of 100 payments with a score of "
        "0.3, about 30 are frauds.",
    )
    yield (
        "Later rows only",
        f"the rows are ordered by {evaluation.timeline.ordered_by}; nothing was fitted, tuned or calibrated on a row "
        "that a figure is measured on. Random splits give higher figures, and are not comparable.",
    )


def limits(evaluation: Evaluation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What the figures do not mean."""
    test, choice = evaluation.test, evaluation.threshold
    if test is not None:
        few = "" if test.reliable else " That is too few to say anything."
        yield (
            "Few frauds",
            f"all figures rest on {count(test.frauds)} frauds: one more or less is {percent(1 / test.frauds)} of "
            f"recall. The intervals are as wide as that makes them, and a difference within them may be chance.{few}",
        )
        last = evaluation.timeline.stages[-1]
        yield (
            "Another period",
            f"they are of {last.start} to {last.end}"
            + (f", {test.days:.2f} days" if test.days is not None else "")
            + ", right after what was learned from. Fraud changes: next month is not in the interval, nor is another "
            "bank's data, nor the period of a published figure.",
        )
    if evaluation.legitimate_share < 1:
        weight = 1 / evaluation.legitimate_share
        rare = ""
        if choice.row is not None and choice.row.test is not None:
            seen = choice.row.test.false_alarms * evaluation.legitimate_share
            rare = f" The {count(choice.row.test.false_alarms)} false alarms above are {count(seen)} rows of the file."
        yield (
            "Weights",
            f"the file is said to hold {percent(evaluation.legitimate_share)} of the legitimate payments, so that each "
            f"stands for {weight:.2f} of them (--legitimate-share). False alarms and alerts a day are estimates of "
            f"the whole, right only if that share is, and if the rows were left out by chance.{rare}",
        )
    delay = evaluation.timeline.label_delay_seconds
    if delay:
        yield (
            "Labels that arrive late",
            f"{delay / 86_400:g} days after the payment (--label-delay). Rows whose labels would not have arrived "
            "when the next period begins are left out of the fit, as they would have been in truth.",
        )
    else:
        yield (
            "Labels that arrive late",
            "every label was taken to be known at once. In truth a fraud is known days or weeks later, when its card "
            "holder complains: a model in force is older than this one was. With --label-delay it is judged so.",
        )
    yield (
        "Expectations",
        "what stands at a threshold is an average over a period, not a promise for a day: some days have twice the "
        "alerts. The costs are as good as what was assumed: the same price for each review, a missed fraud lost "
        "whole, a caught one saved whole.",
    )
    if evaluation.timeline.ordered_by == "file order":
        yield "Order", "no column tells the time: the file's order was taken for it, whether it is or not."
    elif evaluation.timeline.unit_note:
        yield "Unit of time", f"{evaluation.timeline.unit_note}. Days, and figures a day, stand and fall with it."
    yield (
        "Importance",
        "what the model looks at, not what makes a fraud. Features that say the same share it between them.",
    )
    yield (
        "Labels",
        f"a fraud is what column {manifest.label} calls {manifest.label_values.fraud}: frauds that nobody found "
        "count as legitimate.",
    )


REPORT_FILE: Final = "report.html"


def report_html(evaluation: Evaluation, manifest: Manifest) -> bytes:
    """The whole page, UTF-8; the manifest's sums of files are not read, the report being one of them."""
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
    """The report in an artifact's directory; None where it was trained by a version that wrote none."""
    path = artifact / REPORT_FILE
    return path if path.is_file() else None


def _warnings(evaluation: Evaluation, manifest: Manifest) -> list[str]:
    """Leaks first; a leak is a warning of the manifest too and is said once."""
    leaks = [leak.message for leak in evaluation.leaks]
    return [*leaks, *(each for each in manifest.warnings if each not in leaks)]


def _made(evaluation: Evaluation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    data = manifest.training_data
    yield "model", evaluation.model_id
    yield (
        "algorithm",
        ", ".join([evaluation.algorithm, *(f"{name} {value}" for name, value in manifest.parameters.items())]),
    )
    yield "asked for", manifest.requested or evaluation.algorithm
    yield "data", f"{evaluation.data}, {count(data.rows)} rows, {count(data.frauds)} frauds"
    yield "sha256 of it", data.fingerprint
    yield (
        "label",
        f"{manifest.label}: {manifest.label_values.fraud} is fraud, {manifest.label_values.legitimate} is not",
    )
    yield (
        "features",
        f"{len(manifest.features)} columns, {sum(len(f.slots) for f in manifest.features)} slots of the vector",
    )
    yield "measured on", evaluation.measured_on
    yield "seed", str(evaluation.seed)
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
