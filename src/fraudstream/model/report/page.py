"""The report's page, made of the artifact's own records alone; what stands in its sections is `sections.py`'s.

The same evaluation and manifest give the same bytes. All that comes from a CSV is escaped by the template; the drawings
are escaped by `svg.py`. Nothing is fetched: a policy in the page forbids it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from fraudstream.model.evaluation_record import Evaluation
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import meanings, words
from fraudstream.model.report.formats import count
from fraudstream.model.report.sections import sections

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
        meaning=list(meanings.meaning(evaluation)),
        limits=list(meanings.limits(evaluation, manifest)),
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
