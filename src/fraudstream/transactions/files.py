"""Opens data files: those of a folder, compressed ones, and text in the encoding that was named or is marked."""

import codecs
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import orjson
import pyarrow as pa

from fraudstream.errors import BrokenRow, DataError, DataNotFound, SettingsError

OnBroken = Callable[[BrokenRow, str], None]
"""Takes a broken row: its error and its text."""

_COMPRESSIONS: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_ARCHIVES: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_MARKS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_LIKELY_ENCODINGS: Final = (
    *("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "gb18030"),
    *("shift_jis", "euc_kr", "big5", "utf_16_le", "utf_16_be"),
)
_HEAD_BYTES: Final = 65_536


@dataclass(frozen=True)
class RawFile:
    """A file, or a table in memory, whose columns are known.

    Attributes:
        path: Of a table, the name of its type.
        dialect: Describes its kind.
        rows: Yields each row's line and its text per column; what is broken goes to the argument.
        delimiter: Of a CSV.
        parts: Of an archive, its files.
    """

    path: Path
    columns: tuple[str, ...]
    dialect: str
    rows: Callable[[OnBroken], Iterator[tuple[int, list[str]]]]
    delimiter: str = ""
    in_memory: bool = False
    parts: tuple[Path, ...] = ()

    def digest(self) -> str:
        """Return the sha256 of the file's bytes, or of the table's names and cells."""
        digest = hashlib.sha256()
        if self.in_memory:
            digest.update(orjson.dumps(self.columns))
            for _, row in self.rows(refuse):
                digest.update(orjson.dumps(row))
        for path in () if self.in_memory else self.parts or (self.path,):
            with readable(path), path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        return digest.hexdigest()


def refuse(error: BrokenRow, text: str) -> None:
    """Raise the error of a broken row."""
    raise error


def ignore(error: BrokenRow, text: str) -> None:
    """Leave a broken row out."""


def data_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files, those of a folder by name, without hidden ones and markers such as `_SUCCESS`."""
    files: list[Path] = []
    for path in paths:
        with readable(path):
            if not path.is_dir():
                files.append(path)
                continue
            inside = [each for each in sorted(path.rglob("*")) if each.is_file()]
            inside = [each for each in inside if not any(part[0] in "._" for part in each.relative_to(path).parts)]
        if not inside:
            raise DataNotFound("the folder holds no data file", where=str(path), remedy="name files, or another folder")
        files += inside
    return files


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Convert errors about the file of the operating system and of pyarrow into our errors."""
    try:
        yield
    except FileNotFoundError as e:
        raise DataNotFound("the file is not there", where=str(path), remedy="check its path") from e
    except (pa.ArrowException, OSError) as e:
        if getattr(e, "errno", None) is None:  # pyarrow's, about what it decompresses or parses
            raise BrokenRow("the file is damaged", where=str(path), remedy="download or compress it again") from e
        what = f"the file cannot be read: {e.strerror}"
        raise DataNotFound(what, where=str(path), remedy="check its permissions") from e


def compression(path: Path) -> str:
    """Return "gzip", "zstd" or nothing, by the file's first bytes, whatever it is called."""
    with readable(path), path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_ARCHIVES):
        remedy = "save or unpack it as CSV, JSON Lines or Parquet, plain or compressed with gzip or zstd"
        raise DataError("the file is a ZIP archive or an Excel workbook", where=str(path), remedy=remedy)
    return next((kind for magic, kind in _COMPRESSIONS.items() if start.startswith(magic)), "")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open the file's bytes, decompressed."""
    kind = compression(path)
    with readable(path), path.open("rb") as file:
        yield cast(IO[bytes], io.BufferedReader(pa.CompressedInputStream(file, kind))) if kind else file


def head(path: Path) -> bytes:
    """Return the first 64 KB of the file, decompressed."""
    with open_bytes(path) as file:
        return file.read(_HEAD_BYTES)


def encoding_of(path: Path, named: str | None) -> str:
    """Return the codec to read a text file with; raises SettingsError if `named` is none."""
    try:
        if named is not None and codecs.lookup(named).name != "utf-8":
            "".encode(named)  # a LookupError for what encodes no text, as base64
            return codecs.lookup(named).name
    except LookupError as e:
        remedy = "name one that Python knows, as in cp1252, latin-1 or utf-16"
        raise SettingsError(f"there is no encoding {named!r}", where="--encoding", remedy=remedy) from e
    start = head(path)
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if marked is None and b"\0" in start[:4]:
        raise BrokenRow("the file is not UTF-8", where=f"{path}:1", remedy=_encoding_remedy(start))
    return marked or "utf-8-sig"


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Open the file as text with its line ends; raises BrokenRow with the likely encoding if it has another one."""
    with open_bytes(path) as file:
        try:
            yield io.TextIOWrapper(file, encoding=encoding, newline="")
        except UnicodeError as e:
            line, sample = _first_undecodable(path, encoding)
            what = f"the file is not {'UTF-8' if encoding == 'utf-8-sig' else encoding}"
            raise BrokenRow(what, where=f"{path}:{line}", remedy=_encoding_remedy(sample)) from e


def _first_undecodable(path: Path, encoding: str) -> tuple[int, bytes]:
    """Return the first line that cannot be decoded and the text around it: the decoder reads ahead of the rows."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number, line + file.read(_HEAD_BYTES)
    return 1, head(path)


def _encoding_remedy(sample: bytes) -> str:
    import charset_normalizer  # only for this error: it takes 30 ms to import

    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_LIKELY_ENCODINGS)).best()
    if best is None:
        return "name its encoding with --encoding, as in --encoding cp1252"
    line = str(best).splitlines()[0][:60]
    encoding = next((each for each in _LIKELY_ENCODINGS if each in best.could_be_from_charset), best.encoding)
    return f"--encoding {encoding} reads {line!r} here; name another one if that is wrong"
