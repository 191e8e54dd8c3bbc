"""Renders text templates as tables of labels and texts for the terminal."""

import shlex
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table
from rich.text import Text

from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.report import words


def interval(figure: Estimate, form: str = ".4f") -> str:
    """Format a figure with its interval, or with the reason why there is none."""
    ends = figure.interval
    if ends is None:
        return f"{figure.value:{form}} (no interval: {figure.note})"
    return f"{figure.value:{form}} (95 % interval {ends.low:{form}} to {ends.high:{form}})"


def _one_line(value: object) -> str:
    return " ".join(str(value).splitlines())


_TEXTS: Final = Environment(
    loader=PackageLoader("fraudstream.model.report"),
    autoescape=False,  # noqa: S701 - the text is for a terminal
    finalize=_one_line,
    undefined=StrictUndefined,
)
_TEXTS.filters |= {
    "compared": words.compared, "count": words.count, "form": format, "interval": interval, "quote": shlex.quote,
}  # fmt: skip


def text_table(template: str, **values: object) -> Table:
    """Render a template, of whose lines each is `# heading` or `label | text`; a value cannot begin a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for line in _TEXTS.get_template(template).render(values, words=words).split("\n"):
        label, _, text = line.partition(" | ")
        if line.startswith("# "):
            table.add_row(Text(line[2:], style="bold not dim"))
        elif line.strip():
            table.add_row(Text(label), Text(text.replace(words.SPACE, " ")))
    return table
