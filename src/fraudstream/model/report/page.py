"""Renders the report page of an artifact.

The same evaluation and manifest give the same bytes. Values from a CSV are escaped by the templates.
The page fetches nothing: its content security policy forbids it.
"""

from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from fraudstream.model.evaluation.intervals import share_of
from fraudstream.model.evaluation.record import Evaluation
from fraudstream.model.evaluation.thresholds import excerpt
from fraudstream.model.manifest import Manifest
from fraudstream.model.report import catching, words

REPORT_FILE: Final = "report.html"
_FILTERS: Final = (
    words.count, words.estimate, words.estimate_percent, words.money, words.percent, words.plain, words.score,
    words.signed, words.small_percent,
)  # fmt: skip


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
    environment.filters |= {each.__name__: each for each in _FILTERS}
    # A leak is also a warning of the manifest, but is listed once, and first.
    leaks = [leak.message for leak in evaluation.leaks]
    page = environment.get_template("report.html").render(
        evaluation=evaluation,
        manifest=manifest,
        warnings=[*words.cautions(evaluation), *leaks, *(each for each in manifest.warnings if each not in leaks)],
        excerpt=excerpt(evaluation.thresholds, evaluation.threshold.threshold),
        components=sum(len(feature.components) for feature in manifest.features),
        catching=catching,
        share_of=share_of,
        words=words,
    )
    return page.encode()


def report_of(artifact: Path) -> Path | None:
    """Return the report in an artifact's directory; None if it was trained by a version that wrote none."""
    path = artifact / REPORT_FILE
    return path if path.is_file() else None
