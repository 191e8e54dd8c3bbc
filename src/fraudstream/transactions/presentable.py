"""Reads JSON of any depth and content, and converts values that the store or JavaScript cannot represent to text."""

import json
import math
import re
import secrets
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 200
"""Nesting depth. orjson writes 254: the rest is for the enclosing response of an alert."""

MAX_TEXT_CHARS: Final = 64 * 1024
"""Values stored as text are truncated to this length; the topic has all of it."""

MAX_PATHS: Final = 100
MAX_PATH_CHARS: Final = 200

_READ_DEPTH: Final = 400
"""Python's own reader is recursive and shares its limit of 1,000 with its callers."""

_INTEGERS: Final = range(-(2**63), 2**64)
_INTEGER_CHARS: Final = 20

# A string (an unclosed one extends to the end) or a bracket; possessive, so that nothing is read twice.
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)

_CUT: Final = f"0.{secrets.randbelow(10**30):030}e"
"""An unguessable number replaces a subtree that is cut out before the text is parsed."""


class JsonText(str):
    """The JSON text of a value that cannot be represented."""

    __slots__ = ()


def read_json(text: bytes) -> Any:
    """Parse JSON, also if it is only leniently JSON: NaN, 1e400, lone surrogates, nested deeper than parsers allow.

    Values without a representation become `JsonText`, which `present` recognizes. ValueError for other texts.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        cut: list[str] = []
        shallow = _without_deep(text.decode(errors="replace"), cut)

    def number(digits: str) -> float | JsonText:
        if digits.startswith(_CUT):
            return JsonText(cut[int(digits[len(_CUT) :])])
        return value if math.isfinite(value := float(digits)) else JsonText(digits)

    try:
        return json.loads(shallow, parse_constant=JsonText, parse_int=_integer, parse_float=number)
    except RecursionError as e:
        raise ValueError("unclosed brackets") from e


def present(document: dict[str, Any]) -> list[str]:
    """Replace, in place, values that cannot be stored and displayed by their text; return their truncated dotted paths.

    That is: values nested too deeply, numbers that are not finite or exceed 64 bits, lone surrogates.
    """
    marked: list[str] = []
    pending: list[tuple[Any, str, int]] = [(document, "", 1)]
    while pending:
        container, path, depth = pending.pop()
        if isinstance(container, dict) and not all(map(_is_writable, container)):
            content = {_writable(name): value for name, value in container.items()}
            container.clear()
            container.update(content)
            marked.append(path or "the names")
        for name, value in container.items() if isinstance(container, dict) else enumerate(container):
            kind = type(value)
            if kind is float and math.isfinite(value):
                continue  # nearly every value of most transactions
            if kind is dict or kind is list:
                if depth < MAX_DEPTH:
                    pending.append((value, _path(path, name), depth + 1))
                    continue
                text: str | None = json_text(value)
            else:
                text = _text_instead(value)
            if text is not None:
                container[name] = text if kind is str else _bounded(text)
                marked.append(_path(path, name))
    return marked[:MAX_PATHS]


def json_text(value: object) -> str:
    """Serialize any value as JSON text, however deeply nested; values without a JSON form are written as their text."""
    pieces: list[str] = []
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, JsonText):
            pieces.append(each)
        elif isinstance(each, dict | list | tuple):
            names = [f"{_scalar(str(name))}:" for name in each] if isinstance(each, dict) else [""] * len(each)
            opening, closing = "{}" if isinstance(each, dict) else "[]"
            parts: list[Any] = [JsonText(opening)]
            for name, inner in zip(names, each.values() if isinstance(each, dict) else each, strict=True):
                parts += [JsonText(f",{name}" if len(parts) > 1 else name), inner]
            pending += reversed([*parts, JsonText(closing)])
        else:
            pieces.append(_scalar(each))
    return _writable("".join(pieces))


def _without_deep(text: str, cut: list[str]) -> str:
    """Replace each subtree that is nested too deeply to be parsed by a number."""
    if text.count("[") + text.count("{") <= _READ_DEPTH:
        return text
    pieces: list[str] = []
    depth = copied = begin = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in ("[", "{"):
            if depth == _READ_DEPTH:
                begin = token.start()
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
            if depth == _READ_DEPTH:
                pieces += [text[copied:begin], f"{_CUT}{len(cut)}"]
                cut.append(text[begin : token.end()])
                copied = token.end()
    return "".join([*pieces, text[copied:]])


def _integer(digits: str) -> int | JsonText:
    return value if len(digits) <= _INTEGER_CHARS and (value := int(digits)) in _INTEGERS else JsonText(digits)


def _text_instead(value: object) -> str | None:
    """Return the text that replaces a value; None if the value can be represented."""
    if isinstance(value, JsonText):
        return _writable(str(value))
    if isinstance(value, str):
        return None if _is_writable(value) else _writable(value)
    if isinstance(value, float):
        return None if math.isfinite(value) else _scalar(value)
    return str(value) if isinstance(value, int) and value not in _INTEGERS else None


def _is_writable(text: str) -> bool:
    return text.isascii() or _writable(text) == text


def _writable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _scalar(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"


def _path(path: str, name: str | int) -> str:
    if len(path) > MAX_PATH_CHARS:
        return path
    inner = f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}" if path else name
    return inner if len(inner) <= MAX_PATH_CHARS else f"{inner[:MAX_PATH_CHARS]}…"
