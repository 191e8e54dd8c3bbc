"""Read benchmark results and format Markdown tables for the generated pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def result(name: str) -> dict[str, Any]:
    """Read the JSON that a benchmark wrote."""
    data: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return data


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
