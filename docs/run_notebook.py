"""Run docs/notebook.ipynb and store its outputs: `python docs/run_notebook.py`.

The cells need nothing of IPython, so that they run in this process: nbclient would bring a kernel, a message queue and
some thirty packages for the five outputs that are stored.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

NOTEBOOK: Final = Path(__file__).with_name("notebook.ipynb")


def read() -> dict[str, Any]:
    """Read the notebook."""
    notebook: dict[str, Any] = orjson.loads(NOTEBOOK.read_bytes())
    return notebook


def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(sources: Sequence[str], folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Run cells one after the other in a folder; yield what a notebook stores as the outputs of each."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(sources, start=1):
        tree = ast.parse(source, f"cell {number}")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        text = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(text):
            exec(compile(tree, f"cell {number}", "exec"), names)  # noqa: S102 - the project's own notebook
            value = None
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)  # noqa: S307
        printed = [{"name": "stdout", "output_type": "stream", "text": _lines(text.getvalue())}] if text.tell() else []
        yield printed + ([] if value is None else [_result(value, number)])


def _result(value: Any, number: int) -> dict[str, Any]:
    data = {"text/plain": _lines(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = _lines(value._repr_html_())
    return {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Run the notebook in a temporary folder, and write it with its outputs."""
    notebook = read()
    cells = code_cells(notebook)
    os.environ["COLUMNS"] = "120"
    with tempfile.TemporaryDirectory() as folder:
        outputs = run(["".join(cell["source"]) for cell in cells], Path(folder))
        for number, (cell, stored) in enumerate(zip(cells, outputs, strict=True), start=1):
            cell |= {"execution_count": number, "outputs": stored}
    NOTEBOOK.write_bytes(orjson.dumps(notebook, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
