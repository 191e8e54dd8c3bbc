"""Renders the page of one alert, and its parts for the panel of an open row; scripts request the history."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from flask import render_template

from fraudstream.dashboard.services.reasons import DEFECT, ReasonStore, explanation_of
from fraudstream.dashboard.views.alert_figures import reason_rows, signed
from fraudstream.dashboard.web import presentation
from fraudstream.dashboard.web.formats import NOTHING, band, duration
from fraudstream.errors import ModelError, RequestError
from fraudstream.model.explanation.cells import plain
from fraudstream.model.explanation.explainer import TOP_REASONS, Explainer, ExplainerLibrary, Step, scored_row
from fraudstream.model.manifest import Manifest
from fraudstream.store.labels import LabelQuery
from fraudstream.store.similar import similar_alerts
from fraudstream.store.store import AlertStore
from fraudstream.times import iso_time, microseconds, parse_time
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.wire import AlertField, Outcome

LISTED_COLUMNS: Final = 1_000
"""The most columns of a payment listed on the page; the JSON has all of them."""


class ColumnValue(NamedTuple):
    """A column of the payment: its exact value (JSON, texts without quotes), and the model's use of it.

    `mark` is short, and empty for a feature of the model; `note` explains it.
    """

    name: str
    value: str
    mark: str
    note: str


class Moment(NamedTuple):
    """A step in the payment's timeline: when (ISO 8601), and how long after the previous step."""

    what: str
    at: str
    after: str


def alert_page(
    store: AlertStore, reasons: ReasonStore, explainers: ExplainerLibrary, template: str, alert_id: str
) -> str:
    """Render an alert by its id, with the template of its page or of its panel."""
    latest = store.latest_seq()
    match = store.alert(alert_id)
    if match is None:
        raise RequestError("there is no alert with this id; the link may be from another store", status=404)
    stored = store.entities.with_entities(reasons.with_reasons([match]))[0]
    document = stored.document()
    transaction = document[AlertField.TRANSACTION]
    explainer, aliases = _scored_by(explainers, document)
    cause = (document.get("explanation") or {}).get("cause") or ""
    result = cause if cause.startswith(DEFECT) else explanation_of(explainers, document)
    explanation, cause = (None, result) if isinstance(result, str) else (result, None)
    steps = () if explanation is None else explanation.steps
    if explainer is not None and cause is not None and not cause.startswith(DEFECT):
        # How the values were read, without contributions: the score cannot be explained.
        read = explainer.explain(scored_row(document), aliases).steps
        steps = tuple(replace(step, reason=replace(step.reason, contribution=0.0)) for step in read)
    manifest = None if explainer is None else explainer.manifest
    steps = tuple(sorted(steps, key=lambda step: -abs(step.reason.contribution)))
    labels = store.labels.page(LabelQuery(event_id=alert_id))
    score, amount = document.get(AlertField.SCORE), amount_of(transaction)
    return render_template(
        template,
        latest=latest,
        alert=document,
        labels=[each for each in labels if each.source != "verdict"],
        triage=presentation.triage_label(document["work"]),
        heading="Unscorable payment" if document[AlertField.OUTCOME] == Outcome.UNSCORABLE else "Fraud alert",
        score=score,
        amount=amount,
        expected_loss=None if score is None or amount is None else score * amount,
        score_band=band(score, document.get(AlertField.THRESHOLD)),
        entities=presentation.entity_chips(document["entities"]),
        is_explained="no" if stored.outcome == Outcome.ALERT and not document["explanation"] else "yes",
        reason_rows=reason_rows(steps),
        top=TOP_REASONS,
        explanation=explanation,
        signed=signed,
        cause=cause,
        columns=_columns(transaction, document.get(AlertField.IMPUTED) or [], manifest, aliases),
        more_columns=max(0, len(transaction) - LISTED_COLUMNS),
        json=orjson.dumps(transaction, option=orjson.OPT_INDENT_2).decode(),
        timeline=_timeline(document, reasons.explained_us(stored.seq)),
        find_similar=partial(similar_alerts, store, stored, _values(steps)),
    )


def _scored_by(explainers: ExplainerLibrary, document: Mapping[str, Any]) -> tuple[Explainer | None, Mapping[str, str]]:
    """Return the explainer and the aliases of the model that scored an alert, as far as they can be read."""
    model_id = document.get(AlertField.MODEL_ID)
    try:
        return explainers.of(model_id, document.get(AlertField.REVISION)) if isinstance(model_id, str) else (None, {})
    except ModelError:
        return None, {}


def _values(steps: tuple[Step, ...]) -> dict[str, float]:
    """Return the numeric values of the largest reasons, by column; the steps have the largest first."""
    read = [step for step in steps if step.reason.contribution != 0.0 and not step.cell.is_imputed]
    values = {step.cell.column: plain(step.cell.raw_value) for step in read[:TOP_REASONS]}
    return {name: float(value) for name, value in values.items() if presentation.is_number(value)}


def _columns(
    transaction: Mapping[str, Any], imputed: list[str], manifest: Manifest | None, aliases: Mapping[str, str]
) -> list[ColumnValue]:
    columns = []
    for name, value in list(transaction.items())[:LISTED_COLUMNS]:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        columns.append(ColumnValue(name, text, *_mark(name, imputed, manifest, aliases)))
    missing = [name for name in imputed if name not in transaction]
    typical = "Imputed with the typical value"
    return columns + [ColumnValue(name, NOTHING, "missing", typical) for name in missing]


def _mark(name: str, imputed: list[str], manifest: Manifest | None, aliases: Mapping[str, str]) -> tuple[str, str]:
    if name in imputed:
        return "imputed", "Not readable: imputed with the typical value"
    if manifest is None or any(feature.name == name for feature in manifest.features):
        return "", ""
    if name in aliases:
        return f"read as {aliases[name]}", "Declared as an alias of this feature"
    if name == manifest.label:
        return "label", "Not read by the model"
    if name in manifest.excluded:
        return "not a feature", f"Excluded from training: {manifest.excluded[name]}"
    if name == manifest.time_column or name in manifest.columns:
        return "not a feature", "In the training data; not read by the model"
    return "unknown", "Not in the training data; not read by the model"


def _timeline(document: Mapping[str, Any], explained_us: int | None) -> list[Moment]:
    """Return the steps from the payment to its reasons, as far as their times are known."""
    steps = (
        ("Payment produced", document.get(AlertField.PRODUCED_AT)),
        ("Detected", document.get(AlertField.DETECTED_AT)),
        ("Received and stored", document.get("received_at")),
        ("Reasons computed", iso_time(explained_us)),
    )
    timeline: list[Moment] = []
    before_us = None
    for what, at in steps:
        if not at:
            continue
        at_us = microseconds(parse_time(at))
        timeline.append(Moment(what, at, "" if before_us is None else _apart(at_us - before_us)))
        before_us = at_us
    return timeline


def _apart(between_us: int) -> str:
    """Format the time between two steps."""
    return f"{'−' if between_us < 0 else '+'}{duration(abs(between_us) / 1e6)}"
