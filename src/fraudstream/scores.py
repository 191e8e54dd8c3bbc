"""The scores of rows: arrays, tables of several libraries, and a short text for notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudstream.notebook import Displayed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, repr=False)
class Scores(Displayed):
    """The verdicts on the rows, in their order.

    Attributes:
        outcome: By row: "clear", "alert", "unscorable" or "dead_letter".
        score: By row, the probability of fraud; NaN if the row is not scored.
        threshold: A score at or above it is an alert.
    """

    outcome: NDArray[np.str_]
    score: NDArray[np.float64]
    threshold: float

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.score)

    @property
    def is_alert(self) -> NDArray[np.bool_]:
        """By row, whether the stream would raise an alert."""
        alerts: NDArray[np.bool_] = self.outcome == "alert"
        return alerts

    def to_arrow(self) -> pa.Table:
        """Return `row`, `outcome`, `score` (null if not scored) and `threshold`, as in the file of scores."""
        import numpy as np
        import pyarrow as pa

        from fraudstream.scoring.scorer import ScoresFileColumn

        scores, thresholds = pa.array(self.score, from_pandas=True), np.full(len(self), self.threshold)
        return pa.table([np.arange(len(self)), self.outcome, scores, thresholds], names=ScoresFileColumn.ALL)

    def to_pandas(self) -> pd.DataFrame:
        """Return the columns of `to_arrow` as a data frame of pandas."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the columns of `to_arrow` as a data frame of polars."""
        import polars as pl

        return pl.DataFrame(self.to_arrow())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows of `to_arrow`."""
        return list(self.to_arrow().to_pylist())

    def _display(self) -> tuple[str, Sequence[Sequence[str]]]:
        counts = Counter(self.outcome.tolist()).most_common()
        rows = [(f"{count:,}", outcome, f"{count / len(self):.2%}") for outcome, count in counts]
        return f"of {len(self):,} rows at threshold {self.threshold:.6g}", rows


def read_scores(path: Path, threshold: float) -> Scores:
    """Read a file of scores."""
    import numpy as np
    from pyarrow.csv import read_csv

    table = read_csv(path)
    outcomes = np.array(table["outcome"].to_pylist(), np.str_)
    return Scores(outcomes, table["score"].cast("float64").to_numpy(), threshold)
