"""The chart of the split: the parts of the data on a line of time, with the frauds in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from fraudstream.model.evaluation_record import Evaluation, Stage
from fraudstream.model.report import svg
from fraudstream.model.report.formats import NONE, count
from fraudstream.model.report.plot import Figure, Size, in_both_sizes

_PURPOSES = {
    "fit": "candidates are fitted on it",
    "comparison": "candidates are compared on it, then fitted on it too",
    "validation": "candidates compared, the chosen one calibrated and given its threshold; then fitted on",
    "gap": "left out of the fit before it: labels had not arrived",
    "test": "every figure is measured on it",
}
_ROLE_WORDS = {
    "fit": ("fitted on", "fit"),
    "comparison": ("compared on", "compare"),
    "validation": ("tuned on", "tune"),
    "gap": ("labels late", "gap"),
    "test": ("judged on", "judge"),
}
"""What a stage is for, and the same where there is little room."""
_LEAST_WIDTH = 3.0
_LETTER = 7.2
_BOLD_LETTER = 8.6
"""About the width of a letter of a label."""
_TOP, _HEIGHT, _DEEP = 8.0, 46.0, 96.0
_BELOW = _TOP + _HEIGHT + 26


def split_in_time(evaluation: Evaluation) -> Figure:
    """The parts of the data on a line of time, the frauds of each below."""
    stages = evaluation.timeline.stages
    spans = [stage.days or 0.0 for stage in stages]
    by_time = sum(spans) > 0
    lengths = spans if by_time else [float(stage.rows) for stage in stages]
    most = max((stage.frauds for stage in stages), default=0) or 1

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        room = size.width - 4 - _LEAST_WIDTH * len(stages)
        parts: list[Markup] = [svg.line((2, _BELOW + _DEEP), (size.width - 2, _BELOW + _DEEP), "axis")]
        at = 2.0
        for stage, length in zip(stages, lengths, strict=True):
            width = _LEAST_WIDTH + room * length / (sum(lengths) or 1.0)
            parts += _part(stage, at, width, most)
            at += width
        return _BELOW + _DEEP + 24, parts

    return in_both_sizes(
        draw,
        "The split of the rows in time: " + "; ".join(f"{_ROLE_WORDS[s.role][0]} {s.rows:,} rows" for s in stages),
        "The parts, the earliest first" + ("" if by_time else " (their width in the picture is their rows)"),
        ("part", "what for", "from", "to", "days", "rows", "frauds", "frauds in 1,000 rows"),
        [
            (
                stage.role,
                _PURPOSES[stage.role],
                stage.start,
                stage.end,
                NONE if stage.days is None else f"{stage.days:.2f}",
                count(stage.rows),
                count(stage.frauds),
                f"{1000 * stage.frauds / stage.rows:.2f}",
            )
            for stage in stages
        ],
    )


def _part(stage: Stage, at: float, width: float, most: int) -> Iterator[Markup]:
    middle, names = at + width / 2, _ROLE_WORDS[stage.role]
    tip = f"{names[0]}: {stage.rows:,} rows, {stage.frauds:,} frauds, {stage.start} to {stage.end}"
    yield svg.rectangle((at + 1, _TOP), width - 2, _HEIGHT, f"stage {stage.role}", tip)
    name = next((each for each in names if width > _BOLD_LETTER * len(each) + 4), None)
    if name is not None:
        yield svg.text(middle, _TOP + _HEIGHT / 2 + 5, name, f"stage-word {stage.role}", "middle")
    if width > _LETTER * len(stage.start) + 4:
        yield svg.text(at + 2, _TOP + _HEIGHT + 15, stage.start, "tick")
    tall, broad = (_DEEP - 24) * stage.frauds / most, min(width - 2, 64)
    yield svg.rectangle((middle - broad / 2, _BELOW + _DEEP - tall), broad, tall, "fraud-bar", tip)
    told = f"{count(stage.frauds)} frauds"
    if width > _LETTER * len(told) + 4:
        yield svg.text(middle, _BELOW + _DEEP - tall - 6, told, "label", "middle")
    elif width > 22:
        yield svg.text(middle, _BELOW + _DEEP - tall - 6, count(stage.frauds), "label", "middle")
    rows = f"{count(stage.rows)} rows"
    if width > _LETTER * len(rows) + 4:
        yield svg.text(middle, _BELOW + _DEEP + 17, rows, "tick", "middle")
