"""The commands `evaluate` and `models compare`: models on labelled rows that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from fraudstream.cli import options
from fraudstream.cli.options import print_json, setting
from fraudstream.cli.registry import format_value, print_texts, table
from fraudstream.config import Settings
from fraudstream.errors import DataError, ModelCorrupt
from fraudstream.messages.base import Object
from fraudstream.runtime.engines import batch_spark
from fraudstream.transactions.reading_options import ReadingOptions

if TYPE_CHECKING:
    from fraudstream.model.evaluation.bootstrap import ScoredPeriod

_THRESHOLDS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_MOST_DISAGREEMENTS = 20


@click.command()
@options.reading()
@options.earlier
@options.legitimate_share(help="Share of the legitimate rows that --data holds; each is weighted by 1/share.")
@setting("model")
@options.as_json
@setting("driver_memory")
@setting("java_home")
def evaluate(
    data: tuple[Path, ...],
    reading: ReadingOptions,
    earlier: tuple[Path, ...],
    legitimate_share: float,
    as_json: bool,
    **flags: object,
) -> None:
    """Measure a model on labelled payments that it has not seen, each figure with its interval."""
    from fraudstream.model.calibration import IDENTITY
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.evaluation.evaluate import measure
    from fraudstream.model.evaluation.thresholds import operating
    from fraudstream.model.features.file_history import with_history_of
    from fraudstream.model.training.comparing import labelled_rows, review_cost_of
    from fraudstream.model.training.summary import operating_as_json

    settings = options.load_settings(**flags)
    artifact, deployment = resolve(settings.model)
    source, cost = options.open_payments(data, reading), review_cost_of(artifact)
    before, model, aliases = options.open_earlier(earlier, reading), artifact.manifest, deployment.aliases
    with (
        batch_spark(settings, "evaluate", history=model.history is not None) as spark,
        labelled_rows(
            spark,
            with_history_of(spark, source, model, aliases=aliases, earlier=before),
            model,
            legitimate_share,
            model.history,
        ) as rows,
    ):
        scored, (fit, note, is_unseen) = rows.scored(artifact, deployment.aliases), rows.unseen_fit(artifact)
        left_out = rows.texts.count() - len(scored.rows)
    if not scored.raw.has_both_classes:
        what = "the rows that the model can score hold one class only"
        raise DataError(what, where=source.name, remedy="name data with frauds and legitimate rows, in its columns")
    warning = note if not is_unseen else "" if fit is artifact else "fitted on these rows: its figures are too high"
    at = operating(scored.raw, scored.loss, deployment.threshold, scored.days)
    figures = measure(scored, IDENTITY, "that of the model", artifact.manifest.seed)
    if as_json:
        identity = {"model_id": deployment.model_id, "threshold": deployment.threshold, "data": source.name}
        others = {"unscorable": left_out, "at_threshold": operating_as_json(at, cost)}
        warnings = [f"the model was {warning}"] if warning else []
        print_json({**identity, **asdict(figures), **others, "warnings": warnings})
        return
    if warning:
        click.echo(f"warning: the model was {warning}", err=True)
    values = {"deployment": deployment, "data": source.name, "figures": figures, "at": at, "cost": cost}
    print_texts("evaluate.txt", **values, left_out=left_out)


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@options.reading(required=False)
@options.earlier
@options.legitimate_share(
    default=None, help="Share of the legitimate rows in --data.  [default: that of the newer model]"
)
@setting("models")
@options.as_json
@setting("driver_memory")
@setting("java_home")
def compare(
    one: str,
    other: str,
    data: tuple[Path, ...],
    reading: ReadingOptions,
    earlier: tuple[Path, ...],
    legitimate_share: float | None,
    as_json: bool,
    **flags: object,
) -> None:
    """Show the differences between two models, and compare the newer with the older one on the same labelled rows.

    The rows are those of --data; without it the test period of the newer model, if its file is unchanged.
    """
    from fraudstream.model.deployment.registry import are_comparable, differences, model_in_use, show_model
    from fraudstream.model.report.words import compared

    settings = Settings.load(**flags)
    pair = [show_model(settings.models, each) for each in (one, other)]
    manifests = [model.manifest for model in pair if model.manifest is not None]
    if len(manifests) < 2:
        broken = next(model for model in pair if model.manifest is None)
        raise ModelCorrupt(broken.trouble, where=str(settings.models / broken.model_id), remedy="train the model again")
    changes, comparable = differences(*manifests), are_comparable(*manifests)
    content: Object = {"a": pair[0].model_id, "b": pair[1].model_id, "comparable": comparable, "comparison": None}
    content["differences"] = {name: list(values) for name, values in changes.items()}
    if not as_json:
        lines = [(name, format_value(first), format_value(second)) for name, (first, second) in changes.items()]
        table(("", *(model.model_id + (" ▶" if model.is_active else "") for model in pair)), lines)
        if not comparable:
            click.echo("the metrics were measured on different rows and cannot be compared")
    older, newer = sorted(pair, key=lambda model: model.written_at)
    trained_on = newer.manifest.training_data if newer.manifest is not None else None
    source = options.open_payments(data, reading) if data else None
    if not data and trained_on and trained_on.paths and all(Path(path).exists() for path in trained_on.paths):
        own = options.open_payments(tuple(map(Path, trained_on.paths)), ReadingOptions.of(trained_on.reading))
        source = own if own.fingerprint == trained_on.fingerprint else None
    if source is not None:
        from fraudstream.model.training.comparing import compare_models, review_cost_of

        new, former = (model_in_use(settings.models, model.model_id) for model in (newer, older))
        before, histories = options.open_earlier(earlier, reading), [each.history for each in manifests]
        with batch_spark(settings, "compare", history=any(histories)) as spark:
            comparison, both = compare_models(spark, new, former, source, legitimate_share, before)
        content["comparison"] = asdict(comparison)
        if both:
            at, names = (new[1].threshold, former[1].threshold), ("new", "former")
            content["thresholds"] = [
                {"threshold": threshold, "model": name, **_confusion(period, threshold, review_cost_of(new[0]))}
                for threshold in (*at, *_THRESHOLDS)
                for name, period in zip(names, both, strict=True)
            ]
            content["disagreements"] = _disagreements(both, at)
        if not as_json:
            click.echo(f"\nnew: {newer.model_id}\nformer: {older.model_id}, {comparison.note}\n")
            table(("", "new", "former", "difference"), [compared(each) for each in comparison.measures])
            for key in ("thresholds", "disagreements"):
                rows: list[Object] = content.get(key, [])
                click.echo(f"\n{key}")
                headings = [name.replace("_", " ") for name in (rows[0] if rows else ())]
                table(headings, [list(map(_cell, row.values())) for row in rows])
    elif not as_json:
        click.echo("to compare them on the same rows, name labelled ones: --data FILE")
    if as_json:
        print_json(content)


def _confusion(period: ScoredPeriod, threshold: float, review_cost: float) -> Object:
    """Return the confusion matrix of a model at a threshold, and what it saves."""
    from fraudstream.model.evaluation.thresholds import operating

    at, legitimate = operating(period.raw, period.loss, threshold, period.days), ~period.raw.is_fraud
    return {
        "frauds_caught": at.frauds_caught,
        "frauds_missed": at.frauds - at.frauds_caught,
        "false_alarms": at.false_alarms,
        "legitimate_cleared": float(period.raw.weight[legitimate].sum()) - at.false_alarms,
        "saved": at.saved(review_cost),
    }


def _disagreements(both: Sequence[ScoredPeriod], at: Sequence[float]) -> list[Object]:
    """Return the rows that raise an alert with one model only, missed frauds of the highest amount first."""
    new, former = both
    differing = np.flatnonzero((new.raw.score >= at[0]) != (former.raw.score >= at[1]))
    rows = differing[np.argsort(-(new.loss * new.raw.is_fraud)[differing], kind="stable")][:_MOST_DISAGREEMENTS]
    values = (new.rows, new.raw.is_fraud, new.raw.score, former.raw.score, new.loss)
    names = ("row", "is_fraud", "new_score", "former_score", "amount")
    return [dict(zip(names, each, strict=True)) for each in zip(*(of[rows].tolist() for of in values), strict=True)]


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.0f}"
