"""Reads JSON and Parquet files, archives, data frames and lists of dicts as rows of text, with nested names dotted."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.errors import BrokenRow, DataError, EmptyData
from fraudstream.transactions import files
from fraudstream.transactions.archive_files import ArchiveColumn, in_time_order
from fraudstream.transactions.files import OnBroken, RawFile, compression, encoding_of, open_text, readable
from fraudstream.transactions.reading_options import ReadingOptions

JSON_LINES: Final = "JSON Lines"
_BATCH_ROWS: Final = 8192
_MOST_LEVELS: Final = 20
_INDEX: Final = "__index_level_"
"""Begins the name that pandas gives to an index without one, which is no column."""
_LARGE: Final = 1e10
"""From here on Arrow writes a float with an exponent, as a spreadsheet does with an identifier."""


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
            try:
                yield line, _flat_record(json.loads(content))
            except _NO_OBJECT:
                on_broken(BrokenRow("a line is not a JSON object", where=f"{path}:{line}", remedy=remedy), content)


_NO_OBJECT: Final = (ValueError, TypeError, AttributeError, RecursionError)
"""Raised for what is no JSON, no object, or nested too deep."""


def open_json_array(path: Path, options: ReadingOptions) -> RawFile:
    """Read a file that is one JSON array of objects; raises as `open_table`."""
    try:
        with open_text(path, encoding_of(path, options.encoding)) as text:
            return replace(open_table(json.load(text), str(path)), path=path, dialect="JSON array", in_memory=False)
    except (ValueError, RecursionError) as e:
        raise BrokenRow(f"the JSON array is broken: {e}", where=str(path), remedy="write one object per line") from e


def open_table(data: Any, where: str = "data") -> RawFile:
    """Read a data frame or an Arrow table by Arrow's interface, or a list of dicts; its rows count from 0.

    Raises DataError if it is none of these, a column mixes types, or two columns have the same name.
    """
    kind = type(data).__name__
    try:
        if isinstance(data, list | tuple) and data:
            records = [_flat_record(each) for each in data]
            names = dict.fromkeys(name for record in records for name in record)
            data = {name: [record.get(name, "") for record in records] for name in names}
        table = _flat(pa.table(data))
    except (pa.ArrowException, *_NO_OBJECT) as e:
        remedy = (
            "give a data frame of pandas or polars, an Arrow table, a list of dicts, or paths; a column has one type"
        )
        raise DataError(f"the {kind} is not a table: {', '.join(map(str, e.args))}", where=where, remedy=remedy) from e
    table = table.select([at for at, name in enumerate(table.column_names) if not name.startswith(_INDEX)])
    if len(set(table.column_names)) < table.num_columns:
        raise DataError(f"the {kind} has two columns of the same name", where=where, remedy="rename one of them")

    def rows(on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        parts = (table.slice(start, _BATCH_ROWS) for start in range(0, table.num_rows, _BATCH_ROWS))
        return enumerate(_rows(parts))

    return RawFile(Path(kind), tuple(table.column_names), "Arrow", rows, in_memory=True)


def _flat_record(members: Mapping[str, Any]) -> dict[str, str]:
    record: dict[str, str] = {}
    _flatten(members, "", record)
    "".join((*record, *record.values())).encode()  # a UnicodeError, which is a ValueError, for half a pair
    return record


def _flatten(members: Mapping[str, Any], prefix: str, record: dict[str, str], level: int = 0) -> None:
    for name, value in members.items():
        if isinstance(value, dict) and level < _MOST_LEVELS:
            _flatten(value, f"{prefix}{name}.", record, level + 1)
        else:
            record[f"{prefix}{name}"] = _text(value)


def _text(value: Any) -> str:
    if value is None or type(value).__name__ in ("NaTType", "NAType"):  # those of pandas
        return ""
    if isinstance(value, bool | float | list | tuple | dict):
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def open_parquet(path: Path) -> RawFile:
    """Read the names of the file; raises BrokenRow if it is damaged."""
    with readable(path), pq.ParquetFile(path) as file:
        names = tuple(_flat(file.schema_arrow.empty_table()).column_names)

    def rows(on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        with readable(path), pq.ParquetFile(path) as file:
            tables = (_flat(pa.Table.from_batches([batch])) for batch in file.iter_batches(_BATCH_ROWS))
            yield from enumerate(_rows(tables), start=1)

    return RawFile(path, names, "Parquet", rows)


def open_archive(paths: Sequence[Path]) -> RawFile:
    """Read the files of an archive as one: its transactions by Kafka's timestamp, each with its event id.

    A column `event_id` of the transactions themselves is not replaced. Raises EmptyData if there is none.
    """

    def records() -> Iterator[dict[str, str]]:
        for event_id, text in in_time_order(paths):
            yield {ArchiveColumn.EVENT_ID: event_id, **_flat_record(orjson.loads(text))}

    # The columns of the transactions first, as in any other file.
    names = tuple(sorted(dict.fromkeys(name for each in records() for name in each), key=ArchiveColumn.EVENT_ID.__eq__))
    root = paths[0].parent.parent
    if not names:
        raise EmptyData("the archive has no transaction", where=str(root), remedy="name one with transactions")

    def rows(on_broken: OnBroken) -> Iterator[tuple[int, list[str]]]:
        return enumerate(([each.get(name, "") for name in names] for each in records()), start=1)

    return RawFile(root, names, f"{JSON_LINES} of an archive", rows, parts=tuple(paths))


def _rows(tables: Iterable[pa.Table]) -> Iterator[list[str]]:
    return (list(row) for table in tables for row in zip(*map(_texts, table.columns), strict=True))


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Write the values as a person would: ISO dates without a fraction of zero, plain digits, true and false."""
    try:
        if pa.types.is_floating(column.type) and (pc.max(pc.abs(column)).as_py() or 0.0) >= _LARGE:
            return [_text(each if each is None or each % 1 else int(each)) for each in column.to_pylist()]
        texts = pc.cast(column, pa.string())
    except pa.ArrowException:  # lists, and bytes that are not UTF-8
        return [_text(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        texts = pc.replace_substring_regex(texts, r"\.0+(Z|[+-]\d{4})?$", r"\1")
    return [text or "" for text in texts.to_pylist()]
