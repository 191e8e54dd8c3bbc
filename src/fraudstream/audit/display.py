"""What a person reads of an audit: a table of the partitions, what was found, and one sentence at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from fraudstream.audit.report import AuditReport, Finding, Kind

SHOWN: Final = 20
"""Findings of a kind on a terminal; the JSON has every one."""

_COLUMNS: Final = ("acknowledged", "accounted", "open", "lost")


def render(report: AuditReport) -> RenderableType:
    """The report as tables and a last sentence."""
    pieces: list[RenderableType] = [_partitions(report)]
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in report.outcomes.items())
    if report.total("accounted"):
        pieces.append(f"outcomes in the ledger: {counts}")
    if report.total("without_record"):
        pieces.append(
            f"{report.total('without_record'):,} offsets hold no record (markers, aborted or compacted records)"
        )
    for kind in Kind:
        if found := report.of_kind(kind):
            pieces.append(_findings(kind, found))
    pieces += [escape(f"note: {note}") for note in report.notes]
    pieces += ["", escape(conclusion(report))]
    return Group(*pieces)


def conclusion(report: AuditReport) -> str:
    """The whole result in one sentence or two."""
    acknowledged, lagging = report.total("acknowledged"), _lagging(report)
    if not report.ok:
        wrong = ", ".join(
            f"{report.count(kind):,} {kind.heading} ({_places(report.of_kind(kind))})"
            for kind in Kind
            if kind.is_wrong and report.of_kind(kind)
        )
        return f"Something is wrong: {wrong}.{lagging}"
    if not acknowledged:
        return "Nothing was acknowledged yet, and nothing is wrong."
    checked = " and scored again as recorded" if report.deep else ""
    if not report.total("open"):
        return f"Every acknowledged record is accounted for{checked}: {acknowledged:,}, each once.{lagging}"
    return (
        f"Every record of a finished batch is accounted for{checked}: {report.total('accounted'):,} of {acknowledged:,}"
        f" acknowledged, each once.{lagging}"
    )


def _lagging(report: AuditReport) -> str:
    parts = []
    if waiting := report.total("open"):
        parts.append(f"{waiting:,} are in the open batch or waiting")
    if report.in_transit:
        parts.append(f"{report.in_transit:,} outcomes are on their way to the store")
    return f" {'; '.join(parts)}." if parts else ""


def _places(findings: Sequence[Finding]) -> str:
    found = [finding.place or finding.what for finding in findings]
    more = f" and {len(found) - 3:,} more places" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more


def _partitions(report: AuditReport) -> Table:
    table = Table(title=f"The ledger against {report.topic}, in records", title_justify="left")
    table.add_column("partition")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("ledger up to", justify="right")
    for each in report.partitions:
        figures = [f"{getattr(each, name):,}" for name in _COLUMNS]
        table.add_row(str(each.partition), *figures, f"offset {each.until:,}")
    if len(report.partitions) > 1:
        table.add_section()
        table.add_row("all", *(f"{report.total(name):,}" for name in _COLUMNS), "")
    return table


def _findings(kind: Kind, found: Sequence[Finding]) -> Table:
    title = f"{kind.heading}: {sum(each.count for each in found):,}"
    table = Table(
        title=title, title_justify="left", title_style="bold red" if kind.is_wrong else "bold", show_header=False
    )
    table.add_column("where", no_wrap=True)
    table.add_column("what")
    for each in found[:SHOWN]:
        table.add_row(escape(each.place), escape(each.what))
    if len(found) > SHOWN:
        table.add_row("", f"and {len(found) - SHOWN:,} more (--json has every one)")
    return table
