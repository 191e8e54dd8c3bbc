"""Draws docs/images/simulator.svg from the figures that `simulator_quality.py` wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "simulator.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "simulator.svg"
WIDTH, HEIGHT, LEFT, TOP, SIDE = 1180, 420, 60, 70, 300
GAP = 380
REAL, SIMULATED = "#7a8594", "#d9480f"
AMOUNT_TICKS = (0, 1, 10, 100, 1000)
COMPARED_HOURS = range(4, 40)
"""Whole hours in which the sample of the real payments is uniform."""


class Panel:
    """One square diagram: data in its own units, drawn at its place."""

    def __init__(self, number: int, title: str, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._x0, self._across, self._up = LEFT + number * GAP, across, up
        frame = f'<rect x="{self._x0}" y="{TOP}" width="{SIDE}" height="{SIDE}" class="frame"/>'
        self.parts = [f'<text x="{self._x0}" y="{TOP - 14}" class="title">{title}</text>', frame]

    def x(self, value: float) -> float:
        """Across the page."""
        return round(self._x0 + SIDE * (value - self._across[0]) / (self._across[1] - self._across[0]), 1)

    def y(self, value: float) -> float:
        """Up the page."""
        return round(TOP + SIDE * (1 - (value - self._up[0]) / (self._up[1] - self._up[0])), 1)

    def ticks(self, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]]) -> None:
        """Label both axes."""
        for at, text in across:
            self.parts.append(f'<text x="{self.x(at)}" y="{TOP + SIDE + 18}" text-anchor="middle">{text}</text>')
        for at, text in up:
            self.parts.append(f'<text x="{self._x0 - 6}" y="{self.y(at) + 4}" text-anchor="end">{text}</text>')

    def label(self, text: str) -> None:
        """Name what lies across the page."""
        at = self._x0 + SIDE / 2
        self.parts.append(f'<text x="{at}" y="{TOP + SIDE + 38}" text-anchor="middle">{text}</text>')

    def line(self, across: Sequence[float], up: Sequence[float], colour: str) -> None:
        """Join the points."""
        points = " ".join(f"{self.x(a)},{self.y(b)}" for a, b in zip(across, up, strict=True))
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def dots(self, across: Sequence[float], up: Sequence[float], colour: str) -> None:
        """Mark the points."""
        for a, b in zip(across, up, strict=True):
            self.parts.append(f'<circle cx="{self.x(a)}" cy="{self.y(b)}" r="2.6" fill="{colour}"/>')


def amounts(result: dict[str, Any]) -> Panel:
    """Percentile against percentile of the amounts, on a logarithmic scale that includes 0."""
    panel = Panel(0, "Amount: percentiles, simulated (up) and real (across)", (0, 3.3), (0, 3.3))
    ticks = [(float(np.log10(1 + at)), f"{at:,}") for at in AMOUNT_TICKS]
    panel.ticks(ticks, ticks)
    panel.label("real amount")
    panel.line([0, 3.3], [0, 3.3], REAL)
    real, simulated = (np.log10(1 + np.array(result[which]["amount_percentiles"])) for which in ("real", "simulated"))
    panel.dots(real.tolist(), simulated.tolist(), SIMULATED)
    return panel


def hours(result: dict[str, Any]) -> Panel:
    """The share of each hour in the hours that can be compared."""
    panel = Panel(1, "Payments by hour since the start, percent", (4, 40), (0, 5))
    panel.ticks([(hour, str(hour)) for hour in range(4, 41, 6)], [(share, f"{share} %") for share in range(6)])
    panel.label("hour")
    for which, colour in (("real", REAL), ("simulated", SIMULATED)):
        counts = np.array([result[which]["hours"][hour] for hour in COMPARED_HOURS])
        panel.line([hour + 0.5 for hour in COMPARED_HOURS], (100 * counts / counts.sum()).tolist(), colour)
    return panel


def spread(result: dict[str, Any]) -> Panel:
    """The standard deviations of V1..V28."""
    panel = Panel(2, "Standard deviation of V1 to V28", (0, 29), (0, 2.5))
    panel.ticks([(at, f"V{at}") for at in (1, 7, 14, 21, 28)], [(at / 2, f"{at / 2:g}") for at in range(6)])
    panel.label("component")
    for which, colour in (("real", REAL), ("simulated", SIMULATED)):
        panel.line(range(1, 29), result[which]["spread"], colour)
        panel.dots(range(1, 29), result[which]["spread"], colour)
    return panel


def main() -> None:
    """Draw the picture."""
    result = json.loads(RESULT.read_text())
    parts = [part for draw in (amounts, hours, spread) for part in draw(result).parts]
    for at, text, colour in ((LEFT, "creditcard.csv", REAL), (LEFT + 140, "fraudstream simulate", SIMULATED)):
        parts.append(f'<rect x="{at}" y="16" width="14" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{at + 20}" y="28">{text}</text>')
    style = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.frame{fill:none;stroke:#c5ccd3}"
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Simulated and real payments compared"><style>{style}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    main()
