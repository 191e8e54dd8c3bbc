"""What a person reads of an audit: a table of the partitions, what was found, and one sentence at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from fraudstream.audit.report import WRONG, AuditReport, Finding, Kind

SHOWN: Final = 20
"""Findings of a kind on a terminal; the JSON has every one."""

_COLUMNS: Final = ("acknowledged", "accounted", "open", "lost")
_HEADINGS: Final = {
    Kind.LOST: "lost",
    Kind.UNACCOUNTED: "not accounted for",
    Kind.MISSING: "missing",
    Kind.DOUBLED: "more than there should be",
    Kind.DIFFERENT: "scored otherwise",
    Kind.UNREADABLE: "not what belongs on its topic",
    Kind.REJECTED: "rejected by the API",
    Kind.UNVERIFIED: "not verified",
    Kind.BEYOND: "beyond the topic's end",
    Kind.ALTERED: "altered in the audit trail",
    Kind.SUPERSEDED: "superseded",
    Kind.CONFLICT: "conflicts",
    Kind.EXTRA: "in the store alone",
}


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
    for kind in sorted(Kind, key=lambda kind: kind not in WRONG):
        found = [finding for finding in report.findings if finding.kind is kind]
        if found:
            pieces.append(_findings(kind, found))
    pieces += [escape(f"note: {note}") for note in report.notes]
    pieces += ["", escape(conclusion(report))]
    return Group(*pieces)


def conclusion(report: AuditReport) -> str:
    """The whole result in one sentence or two."""
    acknowledged, lagging = report.total("acknowledged"), _lagging(report)
    if not report.ok:
        wrong = ", ".join(
            f"{report.count(kind):,} {_HEADINGS[kind]} ({_places(report, kind)})"
            for kind in Kind
            if _is_wrong(report, kind)
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


def _is_wrong(report: AuditReport, kind: Kind) -> bool:
    return kind in WRONG and any(finding.kind is kind for finding in report.findings)


def _places(report: AuditReport, kind: Kind) -> str:
    found = [finding.place or finding.what for finding in report.findings if finding.kind is kind]
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
    title = f"{_HEADINGS[kind]}: {sum(each.count for each in found):,}"
    table = Table(
        title=title, title_justify="left", title_style="bold red" if kind in WRONG else "bold", show_header=False
    )
    table.add_column("where", no_wrap=True)
    table.add_column("what")
    for each in found[:SHOWN]:
        table.add_row(escape(each.place), escape(each.what))
    if len(found) > SHOWN:
        table.add_row("", f"and {len(found) - SHOWN:,} more (--json has every one)")
    return table
