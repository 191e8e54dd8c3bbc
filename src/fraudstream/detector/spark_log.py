"""Reads the files of a checkpoint one by one and words what is wrong with them; `checkpoint.py` reads the whole."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from fraudstream.errors import CheckpointDamaged

Offsets = Mapping[int, int]
"""By partition, the offset of the next record."""

_LOG_VERSION: Final = b"v1"
_CRC_MAGIC: Final = b"crc\0"


class LogReader:
    """Reads the files of one checkpoint, and words what is wrong with them."""

    def __init__(self, path: Path, topic: str) -> None:
        """Read the checkpoint at `path`, of a query on `topic`."""
        self._path = path
        self._topic = topic

    def damaged(self, name: str, why: str) -> CheckpointDamaged:
        """The error about a file, with the command that mends it."""
        return CheckpointDamaged(
            f"the checkpoint cannot be gone on from: {name}: {why}",
            where=str(self._path / name),
            remedy=f"fraudstream checkpoint rebuild --checkpoint {self._path}",
        )

    def batches(self, log: str) -> set[int]:
        """The batches that a log has a file of."""
        folder = self._path / log
        if not folder.is_dir():
            return set()
        return {int(file.name) for file in folder.iterdir() if file.name.isdecimal()}

    def query_id(self) -> str:
        """The id that Spark gave the query."""
        try:
            query_id = orjson.loads(self._checked(Path("metadata")))["id"]
        except (ValueError, KeyError, TypeError) as e:
            raise self.damaged("metadata", "it is not what Spark writes") from e
        if not isinstance(query_id, str) or not query_id:
            raise self.damaged("metadata", "it names no query")
        return query_id

    def lines(self, name: Path) -> list[bytes]:
        """The lines after the one with the log's version."""
        version, *rest = self._checked(name).lstrip(b"\0").split(b"\n")
        if version != _LOG_VERSION:
            shown = version[:20].decode(errors="replace")
            why = f"its version is {shown!r}, this release reads 'v1'" if version.startswith(b"v") else "it is no log"
            raise self.damaged(str(name), why if version else "it is empty")
        return rest

    def offsets(self, name: Path) -> dict[int, int]:
        """The offsets that a file holds."""
        lines = self.lines(name)
        try:
            by_topic: dict[str, dict[str, int]] = orjson.loads(lines[-1])
            others = sorted(set(by_topic) - {self._topic})
            offsets = {int(p): int(offset) for p, offset in by_topic.get(self._topic, {}).items()}
        except (ValueError, TypeError, AttributeError, IndexError) as e:
            raise self.damaged(str(name), "it holds no offsets") from e
        if others or not offsets:
            raise self.damaged(str(name), f"it belongs to the topic {', '.join(map(str, others)) or '(none)'}")
        return offsets

    def _checked(self, name: Path) -> bytes:
        """A file's bytes, as its checksum says; Spark would fail on what differs, but less plainly."""
        file = self._path / name
        try:
            content = file.read_bytes()
        except OSError as e:
            raise self.damaged(str(name), f"it cannot be read: {e.strerror}") from e
        if not content.strip(b"\0"):
            raise self.damaged(str(name), "it is empty" if not content else "it is all zeros")
        checksum = file.with_name(f".{file.name}.crc")
        if checksum.exists() and not _agrees(content, checksum.read_bytes()):
            raise self.damaged(str(name), "it is not what its checksum says")
        return content


def _agrees(content: bytes, checksum: bytes) -> bool:
    """Whether Hadoop's checksum file is of this content: a magic, the piece's length, a CRC-32 for each piece."""
    if checksum[:4] != _CRC_MAGIC or len(checksum) < 8:
        return False
    (size,) = struct.unpack(">i", checksum[4:8])
    if size <= 0:
        return False
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    return checksum[8:] == b"".join(struct.pack(">I", zlib.crc32(piece)) for piece in pieces)
