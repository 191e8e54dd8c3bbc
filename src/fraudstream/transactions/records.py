"""Reads JSON Lines and Parquet files as rows of text, with nested names dotted."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.errors import BrokenRow, EmptyData
from fraudstream.transactions import files
from fraudstream.transactions.files import OnBroken, RawFile, compression, encoding_of, open_text, readable
from fraudstream.transactions.reading_options import ReadingOptions

JSON_LINES: Final = "JSON Lines"
_BATCH_ROWS: Final = 8192
_MOST_LEVELS: Final = 20


def open_json_lines(path: Path, options: ReadingOptions) -> RawFile:
    """Read all names of the file, in the order of their first appearance; raises EmptyData if there is none."""
    encoding = encoding_of(path, options.encoding)
    objects = _objects(path, encoding, files.refuse if options.skip_broken is None else files.ignore)
    names = tuple(dict.fromkeys(name for _, record in objects for name in record))
    if not names:
        raise EmptyData("the file has no JSON object with a member", where=str(path), remedy="use a file with rows")

    def rows(on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        for line, record in _objects(path, encoding, on_broken):
            yield line, [record.get(name, "") for name in names]

    return RawFile(path, names, ", ".join(filter(None, [JSON_LINES, compression(path)])), rows)


def _objects(path: Path, encoding: str, on_broken: OnBroken) -> Iterator[tuple[int, dict[str, str]]]:
    remedy = "fix or remove the line, or leave out all broken lines with --skip-broken"
    with open_text(path, encoding) as text:
        for line, content in enumerate(text, start=1):
            if content.isspace():
                continue
            record: dict[str, str] = {}
            try:
                _flatten(json.loads(content), "", record)
                "".join((*record, *record.values())).encode()  # a UnicodeError, which is a ValueError, for half a pair
            except (ValueError, TypeError, AttributeError, RecursionError):  # no JSON, no object, or nested too deep
                on_broken(BrokenRow("a line is not a JSON object", where=f"{path}:{line}", remedy=remedy), content)
            else:
                yield line, record


def _flatten(members: Mapping[str, Any], prefix: str, record: dict[str, str], level: int = 0) -> None:
    for name, value in members.items():
        if isinstance(value, dict) and level < _MOST_LEVELS:
            _flatten(value, f"{prefix}{name}.", record, level + 1)
        else:
            record[prefix + name] = _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


def open_parquet(path: Path) -> RawFile:
    """Read the names of the file; raises BrokenRow if it is damaged."""
    with readable(path), pq.ParquetFile(path) as file:
        names = tuple(_flat(file.schema_arrow.empty_table()).column_names)

    def rows(on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        with readable(path), pq.ParquetFile(path) as file:
            tables = (_flat(pa.Table.from_batches([batch])) for batch in file.iter_batches(_BATCH_ROWS))
            texts = (list(row) for table in tables for row in zip(*map(_texts, table.columns), strict=True))
            yield from enumerate(texts, start=1)

    return RawFile(path, names, "Parquet", rows)


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Write the values as a person would: ISO dates without a fraction of zero, plain digits, true and false."""
    try:
        texts = pc.cast(column, pa.string())
    except pa.ArrowException:  # lists, and bytes that are not UTF-8
        return [_text(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return [text or "" for text in texts.to_pylist()]
