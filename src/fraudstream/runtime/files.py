"""Files that several processes share: replaced whole, or held under a lock; what stands in them is their owner's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON so that a reader, or a kill -9, meets the old file or the new one and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def hadoop_path(path: Path) -> str:
    """A path of this machine as Hadoop reads it.

    It knows no percent-encoding: to it, `Path.as_uri` of "my models" is another directory, "my%20models".
    """
    return f"file://{path.absolute()}"


@contextlib.contextmanager
def exclusive_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path` for the body; yields whether it was had (always, when told to wait).

    The kernel drops the lock with the process, so a kill -9 leaves none behind, whatever file remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
