"""Reads JSON Lines and Parquet files as rows of text, with nested names dotted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.errors import BrokenRow, EmptyData
from fraudstream.transactions.files import BrokenRows, RawFile, compression, encoding_of, open_text, readable
from fraudstream.transactions.reading_options import ReadingOptions

_BATCH_ROWS: Final = 8192
_MOST_LEVELS: Final = 20


@dataclass(frozen=True)
class JsonLinesFile(RawFile):
    """A file with one JSON object a line; its columns are all names, in the order of their first appearance."""

    encoding: str

    def rows(self, on_broken: BrokenRows | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield each object with its line."""
        for line, record in _objects(self.path, self.encoding, on_broken):
            yield line, [record.get(name, "") for name in self.columns]


def open_json_lines(path: Path, options: ReadingOptions) -> JsonLinesFile:
    """Read all names of the file; raises BrokenRow, EmptyData if it has no object."""
    encoding = encoding_of(path, options.encoding)
    skipped: BrokenRows | None = None if options.skip_broken is None else lambda line, fault, text: None
    names = dict.fromkeys(name for _, record in _objects(path, encoding, skipped) for name in record)
    if not names:
        raise EmptyData("the file has no JSON object with a member", where=str(path), remedy="use a file with rows")
    dialect = ", ".join(filter(None, ["JSON Lines", compression(path)]))
    return JsonLinesFile(path, tuple(names), dialect, encoding)


def _objects(path: Path, encoding: str, on_broken: BrokenRows | None) -> Iterator[tuple[int, dict[str, str]]]:
    with open_text(path, encoding) as text:
        for line, content in enumerate(text, start=1):
            if content.isspace():
                continue
            if (record := _record(content)) is not None:
                yield line, record
            elif on_broken is not None:
                on_broken(line, "a line is not a JSON object", content)
            else:
                remedy = "fix or remove the line, or leave out all broken lines with --skip-broken"
                raise BrokenRow("a line is not a JSON object", where=f"{path}:{line}", remedy=remedy)


def _record(content: str) -> dict[str, str] | None:
    """Parse a JSON object; None if it is none, or nested too deep."""
    record: dict[str, str] = {}
    try:
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            parsed = json.loads(content)  # NaN, and numbers beyond a double
        if not isinstance(parsed, dict):
            return None
        _flatten(parsed, "", record)
    except (ValueError, TypeError, RecursionError):
        return None
    return record


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
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class ParquetFile(RawFile):
    """A Parquet file; a row's line is its number from 1."""

    def rows(self, on_broken: BrokenRows | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with its number."""
        line = 0
        with readable(self.path), pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                table = _flat(pa.Table.from_batches([batch]))
                for row in zip(*map(_texts, table.columns), strict=True):
                    line += 1
                    yield line, list(row)


def open_parquet(path: Path) -> ParquetFile:
    """Read the names of the file; raises BrokenRow if it is damaged."""
    with readable(path), pq.ParquetFile(path) as file:
        return ParquetFile(path, tuple(_flat(file.schema_arrow.empty_table()).column_names), "Parquet")


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Write the values as a person would: ISO dates without a fraction of zero, plain digits, true and false."""
    if pa.types.is_nested(column.type):
        return [_text(value) for value in column.to_pylist()]
    try:
        texts = pc.cast(column, pa.string())
    except pa.ArrowException:  # bytes that are not UTF-8
        return [_text(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return [text or "" for text in texts.to_pylist()]
