"""The ledger in sentences, for who runs the stream; the figures are `ledger_report.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """What the page says first; `good` where nothing is wrong, None where there is nothing to judge yet."""

    good: bool | None
    sentence: str


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Whether each record has an outcome, and how many are on their way to one."""
    totals = report["totals"]
    in_progress = f" {_records(report['open'])} in progress." if report["open"] else ""
    if not report["complete"]:
        found = []
        if totals["lost"]:
            found.append(f"{_records(totals['lost'])} lost: Kafka had deleted them before they were judged.")
        gaps = sum(partition["gaps"] for partition in report["partitions"])
        if gaps:
            found.append(
                f"{'1 range of offsets has' if gaps == 1 else f'{gaps:,} ranges of offsets have'} no recorded outcome."
            )
        return Verdict(False, " ".join(found) + in_progress)
    if not totals["records"]:
        return Verdict(None, "No batch is finished yet." + in_progress)
    return Verdict(True, "Each record up to the last finished batch has its outcome; none is lost." + in_progress)


def loss_sentence(loss: Mapping[str, Any]) -> str:
    """What was lost where, and why."""
    place = f"{loss['topic']}[{loss['partition']}]"
    offsets = f"offsets {loss['from_offset']:,} to {loss['until_offset'] - 1:,}"
    if not loss["counted"]:
        return f"{place}, {offsets}: gone for a later checkpoint, but judged before by another one."
    reason = loss["reason"] or "nobody said why"
    return f"{_records(loss['counted'])} lost from {place}, {offsets}: {reason}."


def _records(number: int) -> str:
    return "1 record is" if number == 1 else f"{number:,} records are"
