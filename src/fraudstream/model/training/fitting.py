"""Runs one training, from the plan to the written artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.errors import ModelError
from fraudstream.model.artifact import EVALUATED_DIRECTORY, ModelArtifact, write_artifact
from fraudstream.model.calibration import FEW_FRAUDS, IDENTITY, Calibration, fit_calibration, held_out_gain
from fraudstream.model.deployment.current import CURRENT_FILE, resolve
from fraudstream.model.evaluation.bootstrap import RELIABLE_FRAUDS, ScoredPeriod
from fraudstream.model.evaluation.breakdown import Breakdown
from fraudstream.model.evaluation.comparison import Comparison
from fraudstream.model.evaluation.evaluate import FRAUDS_FOR_COST, choose_threshold, measure, metrics_of
from fraudstream.model.evaluation.inputs import Influence
from fraudstream.model.evaluation.record import (
    EVALUATION_FILE,
    Evaluation,
    ThresholdChoice,
    Timeline,
    evaluation_to_json,
)
from fraudstream.model.features.projection import RowNotes, read_rows, with_vectors, write_training_rows
from fraudstream.model.features.reading import TrainingColumn
from fraudstream.model.features.selection import entity_columns
from fraudstream.model.manifest import LabelValues, Manifest, Metrics, Refit, TrainingData
from fraudstream.model.report.page import REPORT_FILE, report_html
from fraudstream.model.training.comparing import LabelledRows
from fraudstream.model.training.declaration import used_history
from fraudstream.model.training.details import breakdowns, drifts, influences
from fraudstream.model.training.plan import TrainingPlan
from fraudstream.model.training.recipe import FittedModel, fit
from fraudstream.model.training.search import EARLIER, LAST, Round, Winner, importances, search
from fraudstream.model.training.split import Duplicates, Part, digested, find_duplicates


@dataclass(frozen=True)
class Training:
    """A training run; `saved` are paths for a scaler and a classifier, which executors must be able to write."""

    spark: SparkSession
    plan: TrainingPlan
    directory: Path
    saved: tuple[Path, Path]
    models_dir: Path
    report: Callable[[str], None]

    def run(self) -> ModelArtifact:
        """Search, fit, evaluate and write."""
        plan, seed = self.plan, self.plan.settings.seed
        notes = RowNotes(plan.profile.label.is_fraud, plan.labelled.weight, plan.split.part, plan.split.is_known)
        digests: list[int] = []
        source, time = plan.source, plan.profile.time
        rows = digested(source.json_rows(), time, digests, len(source.own_columns))
        write_training_rows(rows, notes, self.directory)
        duplicates = find_duplicates(plan.profile, digests, plan.split.part)
        texts = read_rows(self.spark, self.directory)
        frame = with_vectors(texts, plan.choice.features).cache()
        try:
            best = search(
                frame,
                plan.algorithms,
                self._rounds(),
                score_period=plan.labelled.period,
                components=len(plan.components),
                seed=seed,
                report=self.report,
            )
            learned = frame.filter(F.col(TrainingColumn.PART) <= int(Part.VALIDATION))
            count = int(plan.split.is_train.sum())
            self.report(f"fitting {best.algorithm.label} on {count:,} rows")
            model = evaluated = fit(learned, best.algorithm, seed)
            evaluated.save(*self.saved)
            self.report("evaluating it on later rows")
            is_test = F.col(TrainingColumn.PART) == int(Part.TEST)
            evaluation, metrics, calibration = self._evaluate(
                best, model, learned, frame.filter(is_test), texts.filter(is_test), duplicates
            )
            if len(plan.refitted_rows):
                self.report(f"fitting it again on {len(plan.refitted_rows):,} rows")
                model = fit(frame.filter(TrainingColumn.IS_KNOWN), best.algorithm, seed)
            shares, note = importances(model.classifier, plan.components)
            evaluation = replace(evaluation, importances=shares, importance_note=note)
        finally:
            frame.unpersist()
        self.report("writing the model")
        manifest = self._manifest(best, evaluation, metrics, calibration)
        files = {EVALUATION_FILE: evaluation_to_json(evaluation), REPORT_FILE: report_html(evaluation, manifest)}

        def save(scaler: Path, classifier: Path) -> None:
            folder = scaler.parent
            if model is not evaluated:  # a later model is compared with it on rows that it has not seen
                model.save(scaler, classifier)
                folder /= EVALUATED_DIRECTORY
                folder.mkdir()
            for path in self.saved:
                path.rename(folder / path.name)

        return write_artifact(self.models_dir, manifest, save, files)

    def _rounds(self) -> list[Round]:
        """Return the periods to compare the candidates on; a single one needs both only if the last has few frauds."""
        split, validation = self.plan.split, self.plan.split.record.validation
        if validation is None:
            return []
        needs_both = len(self.plan.algorithms) > 1 or validation.frauds < FRAUDS_FOR_COST
        return [EARLIER, LAST] if needs_both and len(split.rows_of(Part.COMPARISON)) else [LAST]

    def _chosen_on(self, best: Winner) -> ScoredPeriod | None:
        """Return the scored rows to choose the threshold on: those of every round if the last one has few frauds."""
        last = best.validated
        if last is None or int(last.raw.is_fraud.sum()) >= FRAUDS_FOR_COST:
            return last
        rows = np.concatenate([period.rows for period in best.periods])
        score, order = np.concatenate([period.raw.score for period in best.periods]), np.argsort(rows)
        return self.plan.labelled.period((rows[order], score[order]))

    def _evaluate(
        self,
        best: Winner,
        model: FittedModel,
        learned: DataFrame,
        test_vectors: DataFrame,
        test_texts: DataFrame,
        duplicates: Duplicates,
    ) -> tuple[Evaluation, Metrics, Calibration]:
        """Evaluate the model on rows that nothing was fitted, tuned or calibrated on."""
        plan, seed = self.plan, self.plan.settings.seed
        chosen_on = self._chosen_on(best) or plan.labelled.period(model.scores(learned))
        calibration, method = _calibration(best.validated)
        has_test = plan.split.record.test is not None
        test = plan.labelled.period(model.scores(test_vectors), duplicates.rows) if has_test else None
        choice, rows = choose_threshold(
            chosen_on,
            test,
            calibration,
            plan.labelled.losses,
            is_validated=best.validated is not None,
            review_cost=plan.settings.review_cost,
            max_alerts_per_day=plan.settings.max_alerts_per_day,
        )
        measured_on = self._measured_on(test)
        figures = previous = None
        ranked: tuple[Influence, ...] = ()
        groups: Iterator[Breakdown] = iter(())
        if test is not None and test.raw.has_both_classes:
            figures = measure(test, calibration, method, seed)
            previous = self._compare(test, calibration, choice, test_texts)
            self.report("measuring what its features do")
            ranked = influences(best.algorithm.name, *self.saved, plan, test_vectors, test)
            groups = breakdowns(plan, test, test.calibrated(calibration), choice.threshold, ranked)
        evaluation = Evaluation(
            model_id=f"{best.algorithm.name}-{plan.digest}",
            algorithm=best.algorithm.name,
            data=plan.source.name,
            legitimate_share=plan.settings.legitimate_share,
            seed=seed,
            measured_on=measured_on,
            timeline=Timeline(
                ordered_by=plan.split.record.ordered_by,
                stages=plan.stages(),
                label_delay_seconds=plan.settings.label_delay_seconds or 0.0,
                duplicates_removed=duplicates.count,
                duplicates_note=duplicates.note,
                unit_note=plan.profile.time.unit_note if plan.profile.time is not None else "",
            ),
            candidates=best.candidates,
            choice=best.why,
            test=figures,
            threshold=choice,
            thresholds=rows,
            importances=(),
            importance_note="",
            leaks=plan.choice.leaks,
            previous=previous,
            influences=ranked,
            breakdowns=tuple(groups),
            drifts=drifts(plan) if figures is not None else (),
        )
        metrics = metrics_of(test, calibration, figures, choice.threshold, measured_on)
        return evaluation, metrics, calibration

    def _measured_on(self, test: ScoredPeriod | None) -> str:
        if test is None:
            return "n/a: the model was fitted on every row"
        if not test.raw.has_both_classes:
            return "n/a: the test period holds one class only"
        ordered_by = self.plan.split.record.ordered_by
        fit = "training" if not len(self.plan.refitted_rows) else "the fit that was evaluated (the last fit has them)"
        return f"the test period: the last {len(test.rows):,} rows by {ordered_by}, not used in {fit}"

    def _compare(
        self, test: ScoredPeriod, calibration: Calibration, choice: ThresholdChoice, texts: DataFrame
    ) -> Comparison | None:
        """Compare with the active model, if there is one that can be read."""
        try:
            active = resolve(self.models_dir / CURRENT_FILE)
        except ModelError:
            return None
        plan, period = self.plan, self.plan.split.record.test
        self.report(f"comparing it with the active model {active[0].manifest.model_id}")
        column = None if plan.profile.time is None else plan.profile.time.column
        start = "" if period is None else period.start
        rows = LabelledRows(plan.source, column, start, texts, self.plan.labelled.period, plan.history)
        new = replace(test, raw=test.calibrated(calibration))
        return rows.compare(new, choice.threshold, active, choice.review_cost, plan.settings.seed)[0]

    def _manifest(self, best: Winner, evaluation: Evaluation, metrics: Metrics, calibration: Calibration) -> Manifest:
        plan, source, refit = self.plan, self.plan.source, _refit(self.plan)
        profile, split, choice = plan.profile, plan.split, plan.choice
        history = used_history(plan.history, choice)
        declared = [entity.column for entity in history.entities] if history else []
        return Manifest(
            model_id=evaluation.model_id,
            algorithm=evaluation.algorithm,
            features=choice.features,
            # Without the key or the time of a payment, all of its history is missing at once.
            missing_limit=max(len(choice.features) // 2, len(history.names) if history else 0),
            label=profile.label.name,
            label_values=LabelValues(profile.label.legitimate, profile.label.fraud),
            time_column=profile.time.column if profile.time is not None else None,
            unseen_from_row=None if refit else split.unseen_from_row,
            unseen_from_time=None if refit else split.unseen_from_time,
            threshold=evaluation.threshold.threshold,
            threshold_rule=evaluation.threshold.rule,
            metrics=metrics,
            split=split.record,
            training_data=TrainingData(
                source.name,
                source.fingerprint,
                profile.rows,
                profile.frauds,
                source.dialect,
                source.notes,
                tuple(str(path.absolute()) for path in source.paths),
                source.options.model_dump(mode="json", exclude_defaults=True),
            ),
            legitimate_share=plan.settings.legitimate_share,
            seed=plan.settings.seed,
            parameters=best.algorithm.all_parameters,
            excluded=choice.excluded,
            warnings=(*profile.warnings, *split.warnings, *choice.warnings, *(leak.message for leak in choice.leaks)),
            versions={package: version(package) for package in ("fraudstream", "pyspark", "numpy", "pyarrow")},
            files={},
            columns=source.own_columns,
            selection=plan.selection,
            calibration=calibration,
            requested=plan.settings.algorithm,
            refit=refit,
            name=plan.settings.name,
            note=plan.settings.note,
            tags=tuple(plan.settings.tags),
            entities=entity_columns(profile, declared),
            history=history,
        )


def _refit(plan: TrainingPlan) -> Refit | None:
    """Describe the fit of the deployed model; None if it is the one that was evaluated."""
    rows = plan.refitted_rows
    if not len(rows):
        return None
    frauds, late = int(plan.profile.label.is_fraud[rows].sum()), plan.profile.rows - len(rows)
    without = f"; without {late:,} whose labels arrive after the end of the file" if late else ""
    note = (
        f"fitted on {len(rows):,} rows ({frauds:,} frauds{without}) after the evaluation; every metric is of the fit "
        f"on the first {plan.split.record.train.rows:,}, calibration and threshold are those chosen before it"
    )
    return Refit(len(rows), frauds, note)


def _calibration(validated: ScoredPeriod | None) -> tuple[Calibration, str]:
    """Return the calibration and its description; the identity unless it is better on rows that it is not fitted on."""
    if validated is None:
        return IDENTITY, "none: no validation period to fit one on"
    raw = validated.raw
    frauds = int(raw.is_fraud.sum())
    if frauds < RELIABLE_FRAUDS:
        return IDENTITY, f"none: {frauds} frauds in the validation period are too few to fit one on"
    gain = held_out_gain(raw.score, raw.is_fraud, raw.weight)
    if gain <= 0:
        return (
            IDENTITY,
            f"none: fitted on parts of the validation period, it raises the log loss of others by {-gain:.2g}",
        )
    how = "beta calibration" if frauds >= FEW_FRAUDS else "a shift of the log odds (few frauds)"
    where = f"the validation period's {len(raw.score):,} rows, {frauds:,} frauds, scored by a model fitted before them"
    return fit_calibration(raw.score, raw.is_fraud, raw.weight), f"{how}, strictly increasing, fitted on {where}"
