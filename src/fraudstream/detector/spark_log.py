"""Reads and validates the individual files of a Spark checkpoint."""

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
    """Reads and validates the files of one checkpoint, of a query on one topic."""

    def __init__(self, path: Path, topic: str) -> None:
        self._path = path
        self._topic = topic

    def damaged(self, name: str, why: str) -> CheckpointDamaged:
        """Build the error about a file, with the command that repairs it."""
        return CheckpointDamaged(
            f"cannot resume from the checkpoint: {name}: {why}",
            where=str(self._path / name),
            remedy=f"fraudstream checkpoint rebuild --checkpoint {self._path}",
        )

    def batches(self, log: str) -> set[int]:
        """List the batches for which a log has a file."""
        return {int(file.name) for file in (self._path / log).glob("*") if file.name.isdecimal()}

    def query_id(self) -> str:
        """Read the id that Spark gave the query."""
        try:
            query_id = orjson.loads(self._checked(Path("metadata")))["id"]
        except (ValueError, KeyError, TypeError) as e:
            raise self.damaged("metadata", "it is not in Spark's format") from e
        if not isinstance(query_id, str) or not query_id:
            raise self.damaged("metadata", "it contains no query id")
        return query_id

    def lines(self, name: Path) -> list[bytes]:
        """Read the lines after the one with the log's version."""
        version, *rest = self._checked(name).lstrip(b"\0").split(b"\n")
        if version != _LOG_VERSION:
            text = version[:20].decode(errors="replace")
            why = f"its version is {text!r}, this release reads 'v1'" if version.startswith(b"v") else "it is not a log"
            raise self.damaged(str(name), why if version else "it is empty")
        return rest

    def offsets(self, name: Path) -> dict[int, int]:
        """Read the offsets of a file."""
        lines = self.lines(name)
        try:
            by_topic: dict[str, dict[str, int]] = orjson.loads(lines[-1])
            others = sorted(set(by_topic) - {self._topic})
            offsets = {int(p): int(offset) for p, offset in by_topic.get(self._topic, {}).items()}
        except (ValueError, TypeError, AttributeError, IndexError) as e:
            raise self.damaged(str(name), "it contains no offsets") from e
        if others or not offsets:
            raise self.damaged(str(name), f"it belongs to the topic {', '.join(map(str, others)) or '(none)'}")
        return offsets

    def _checked(self, name: Path) -> bytes:
        """Read a file and verify its checksum; Spark would fail on a mismatch too, but less clearly."""
        file = self._path / name
        try:
            content = file.read_bytes()
        except OSError as e:
            raise self.damaged(str(name), f"it cannot be read: {e.strerror}") from e
        if not content.strip(b"\0"):
            raise self.damaged(str(name), "it is empty" if not content else "it is all zeros")
        checksum = file.with_name(f".{file.name}.crc")
        if checksum.exists() and not matches_checksum(content, checksum.read_bytes()):
            raise self.damaged(str(name), "its checksum does not match")
        return content


def matches_checksum(content: bytes, checksum: bytes) -> bool:
    """Verify content against Hadoop's checksum file: a magic number, the chunk length, a CRC-32 for each chunk."""
    if checksum[:4] != _CRC_MAGIC or len(checksum) < 8:
        return False
    (size,) = struct.unpack(">i", checksum[4:8])
    if size <= 0:
        return False
    chunks = [content[i : i + size] for i in range(0, len(content), size)]
    return checksum[8:] == b"".join(struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
