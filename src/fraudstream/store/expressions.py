"""Defines SQL expressions that SQLite and PostgreSQL write differently."""

from typing import Any

from sqlalchemy import Integer, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class member_text(FunctionElement[str]):
    """A member of a stored JSON object, by its name, as text; null if it is absent."""

    type = Text()
    inherit_cache = True


class position(FunctionElement[int]):
    """The place of a text within stored JSON, from 1; 0 if it is not there."""

    type = Integer()
    inherit_cache = True


@compiles(member_text, "sqlite")
def _(element: member_text, compiler: SQLCompiler, **options: Any) -> str:
    body, name = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(json_extract({body}, '$.' || {name}) AS TEXT)"


@compiles(member_text, "postgresql")
def _(element: member_text, compiler: SQLCompiler, **options: Any) -> str:
    body, name = (compiler.process(each, **options) for each in element.clauses)
    return f"({body} ->> {name})"


@compiles(position, "sqlite")
def _(element: position, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(position, "postgresql")
def _(element: position, compiler: SQLCompiler, **options: Any) -> str:
    body, part = (compiler.process(each, **options) for each in element.clauses)
    return f"strpos(CAST({body} AS TEXT), {part})"
