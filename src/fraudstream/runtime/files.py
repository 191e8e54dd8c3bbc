"""Files that several processes share: replaced whole, or held under a lock; what stands in them is their owner's."""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import orjson

PRIVATE_UMASK: Final = 0o077
"""Of every process that writes payments, models or what came of them: its files are for its user alone."""


def tighten(path: Path) -> None:
    """Take a file, or a folder with all that is in it, from everybody but its owner; links in it are not followed.

    What another user owns stays as it is, and so does a folder that this process or the user's home lies in: who names
    such a folder does not mean all of it.
    """
    places = []
    for ask in (Path.cwd, Path.home):
        with contextlib.suppress(OSError, RuntimeError):  # a user without a home
            places.append(ask())
    with contextlib.suppress(OSError, RuntimeError):  # a file that is deleted meanwhile, a link that leads to itself
        root = path.resolve()
        if root.is_dir() and any(place.is_relative_to(root) for place in places):
            return
        for each in (root, *root.rglob("*")):
            with contextlib.suppress(OSError):
                mode = each.lstat().st_mode
                if mode & PRIVATE_UMASK and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    each.chmod(stat.S_IMODE(mode) & ~PRIVATE_UMASK)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file of bounded size: a pipe or a device would be waited on or read for ever.

    Raises OSError where it cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes:,} bytes", str(path))
    return content


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; raises OSError where it cannot be opened, or is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "it is not a regular file", str(path))


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
