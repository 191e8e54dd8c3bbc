"""Displays objects in notebooks and on Python's prompt."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape


class Displayed(ABC):
    """An object with a short `repr` and a table for notebooks, both from the same rows."""

    @abstractmethod
    def _display(self) -> tuple[str, Sequence[Sequence[str]]]:
        """Return a title, and rows of a name, a value and more for the table alone."""

    def __repr__(self) -> str:
        """Return the title and the pairs in one line."""
        title, rows = self._display()
        return f"<{type(self).__name__} {title}: {', '.join(' '.join(row[:2]) for row in rows)}>"

    def _repr_html_(self) -> str:
        title, rows = self._display()
        cells = ("".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) for row in rows)
        return f"<table><caption>{escape(title)}</caption><tr>{'</tr><tr>'.join(cells)}</tr></table>"
