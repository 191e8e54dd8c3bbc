"""Retired words of docs/glossary.md stay out of names, comments, docstrings, templates, scripts and docs."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCANNED: tuple[str, ...] = (
    *("src", "tests", "benchmarks", "chaos"),
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs"),
)
"""Files and directories."""

NOT_SCANNED = frozenset({"docs/glossary.md", "docs/reference.md", "docs/figures.md", "docs/reliability.md"})
"""The glossary lists retired words; the other pages quote `src`, recorded benchmark results and `chaos/`."""

RETIRED = re.compile(
    r"\b(?:(?:put\s)?in\sforce|told|sights?|judge[sd]?|judging|unfit|(?<!dead[ \n])letters?|fates?|wish(?:es)?|desk"
    r"|peers?|rooms?|stand\sins?)\b",
    re.IGNORECASE,
)

PARTICIPLES = frozenset({"asked", "found", "kept", "seen", "shown", "told", "wanted"})
"""No names by themselves: a name says what the value is."""

EXTERNAL = frozenset({"in_force", "letters_lost", "peers_in_full", "performance_peers", "seconds_until_told"})
"""JSON keys and file names: they are allowed everywhere."""

SOURCE = "src/fraudstream"
ALLOWED = frozenset(
    {
        # JSON keys.
        (f"{SOURCE}/dashboard/static/js/dead_letters.js", "letters"),
        (f"{SOURCE}/dashboard/views/dead_letters.py", "letters"),
        (f"{SOURCE}/messages/answers.py", "letter"),
        (f"{SOURCE}/messages/answers.py", "letters"),
        (f"{SOURCE}/store/replays.py", "letter"),
        (f"{SOURCE}/store/replays.py", "letters"),
        # Characters of a script.
        ("tests/integration/test_names_and_actors.py", "letter"),
        ("tests/integration/test_names_and_actors.py", "letters"),
        ("tests/unit/test_full_text.py", "letters"),
        (f"{SOURCE}/dashboard/templates/queue.html", "letters"),
        (f"{SOURCE}/store/full_text.py", "letters"),
        (f"{SOURCE}/transactions/cards.py", "letter"),
        (f"{SOURCE}/transactions/cards.py", "letters"),
        (f"{SOURCE}/transactions/masking.py", "letter"),
        (f"{SOURCE}/transactions/times.py", "letters"),
        # Fields of JSON results and of a template.
        (f"{SOURCE}/dashboard/services/schema_report.py", "kept"),
        (f"{SOURCE}/dashboard/views/queue.py", "asked"),
        # The other end of a TCP connection.
        (f"{SOURCE}/dashboard/server.py", "peer"),
    }
)
"""Pairs of a file and a name or word that is external there or has another meaning."""


@pytest.mark.parametrize("scanned", SCANNED)
def test_retired_words_are_not_used(scanned: str) -> None:
    hits = [hit for path in _files(scanned) for hit in _hits(path)]
    assert not hits, "\n".join(["see docs/glossary.md for the words to use", *hits])


@pytest.mark.parametrize("scanned", [name for name in SCANNED if (ROOT / name).is_dir()])
def test_names_are_no_participles(scanned: str) -> None:
    hits = [hit for path in _files(scanned) if path.suffix == ".py" for hit in _participles(path)]
    assert not hits, "\n".join(["name the value by a noun", *hits])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.py", 'judged = 1  # was told\nx = "told"\ndef f():\n    """A dead\n    letter."""\n', ["judged", "told"]),
        ("a.py", "deadLetters = dead_letter = in_force = lost_letter = 0\n", ["letter"]),
        ("a.md", "A dead\nletter, `letter`, [x](0005-rooms.md).\n```bash\ntold\n```\n", []),
        ("a.md", "```mermaid\na[not judged]\n```\nput in\nforce, a stand-in\n", ["judged", "put in force", "stand in"]),
        ("a.html", '<p class="letter"\n data-peers>{# told #}{{ judged }} <b>Desk</b></p>', ["told", "judged", "Desk"]),
        ("a.js", 'const letterRow = "told"; // the peers\' room', ["letter", "peers", "room"]),
    ],
)
def test_what_counts_as_a_use(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert [hit.rpartition(": ")[2] for hit in _hits(path)] == words


def _files(scanned: str) -> Iterator[Path]:
    top = ROOT / scanned
    paths = [top] if top.is_file() else sorted(top.rglob("*"))
    for path in paths:
        name = _name(path)
        if path.suffix in SCANNERS and name not in NOT_SCANNED:
            yield path


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _hits(path: Path) -> Iterator[str]:
    """Report each retired word as `file:line: word`."""
    file, content = _name(path), path.read_text()
    if not RETIRED.search(re.sub(r"(?<=[a-z\d])(?=[A-Z])|[_-]", " ", content)):
        return
    for first_line, block in SCANNERS[path.suffix](content):
        text = _split_names(block, file)
        for match in RETIRED.finditer(text):
            word = " ".join(match.group().split())
            if (file, word.lower()) not in ALLOWED:
                yield f"{file}:{first_line + text.count(chr(10), 0, match.start())}: {word}"


def _participles(path: Path) -> Iterator[str]:
    """Report each name that is one participle as `file:line: word`."""
    file, content = _name(path), path.read_text()
    if not any(word in content for word in PARTICIPLES):
        return
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.NAME and token.string in PARTICIPLES and (file, token.string) not in ALLOWED:
            yield f"{file}:{token.start[0]}: {token.string}"


def _split_names(text: str, file: str) -> str:
    """Split names into words and drop external ones: `deadLetter_id` becomes `dead Letter id`."""

    def split(name: re.Match[str]) -> str:
        if name.group() in EXTERNAL or (file, name.group()) in ALLOWED:
            return ""
        return re.sub(r"(?<=[a-z\d])(?=[A-Z])", " ", name.group()).replace("_", " ")

    return "\n".join(" ".join(re.sub(r"\w+", split, line).replace("-", " ").split()) for line in text.split("\n"))


def _python(text: str) -> Iterator[tuple[int, str]]:
    """Yield names, comments and docstrings."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.COMMENT):
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, re.sub(r"`[^`\n]*`", "", node.value.value)


def _markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield prose and diagrams, without code, link targets and HTML comments."""
    lines, fence = [], ""
    for line in text.split("\n"):
        if line.startswith("```"):
            fence = "" if fence else line
        is_code = fence not in ("", "```mermaid") or line.startswith("    ")
        lines.append("" if is_code else re.sub(r"\]\([^)]*\)|<!--.*?-->|`[^`]*`", " ", line))
    yield 1, "\n".join(lines)


def _template(text: str) -> Iterator[tuple[int, str]]:
    """Yield text, template comments and expressions, without tags."""
    yield 1, re.sub(r"<[^<>]*>", lambda tag: "\n" * tag.group().count("\n"), text)


def _script(text: str) -> Iterator[tuple[int, str]]:
    """Yield names and comments, without strings."""
    yield 1, re.sub(r'"[^"\n]*"|`[^`\n]*`', " ", text)


SCANNERS = {".py": _python, ".md": _markdown, ".html": _template, ".js": _script}
