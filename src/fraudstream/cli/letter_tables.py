"""How `fraudstream dead-letters list` reads on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table


def render_letters(letters: Sequence[Mapping[str, Any]], *, more: bool) -> RenderableType:
    """The letters as a table; `more` where there are others behind them."""
    if not letters:
        return "none"
    table = Table()
    for heading in ("id", "kind", "produced", "bytes", "reason", "replays"):
        table.add_column(heading, overflow="fold")
    for letter in letters:
        place = "/".join(str(letter.get(name)) for name in ("topic", "partition", "offset"))
        replays = ", ".join(replay["state"] for replay in letter["replays"]) or "none"
        produced, reason = letter.get("produced_at") or "", letter.get("reason") or ""
        table.add_row(*map(escape, (place, letter["kind"], produced, f"{letter['bytes']:,}", reason, replays)))
    return Group(table, "there are more: narrow the filter, or raise --limit") if more else table
