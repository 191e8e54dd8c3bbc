"""Utilities for files shared between processes: atomic replacement, locks and permissions."""

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

from fraudstream.errors import FraudstreamError

PRIVATE_UMASK: Final = 0o077
"""The umask of every process that writes payments, models or results: its files are private to its user."""


def tighten(path: Path) -> None:
    """Remove all permissions of group and others on a file, or on a folder and its content; links are not followed.

    Files of other users are unchanged, and so is a folder that contains the working directory or the user's home:
    naming such a folder does not mean all of its content.
    """
    protected = []
    for lookup in (Path.cwd, Path.home):
        with contextlib.suppress(OSError, RuntimeError):  # a user without a home
            protected.append(lookup())
    with contextlib.suppress(OSError, RuntimeError):  # a file deleted meanwhile, a circular link
        root = path.resolve()
        if root.is_dir() and any(folder.is_relative_to(root) for folder in protected):
            return
        for each in (root, *root.rglob("*")):
            with contextlib.suppress(OSError):
                mode = each.lstat().st_mode
                if mode & PRIVATE_UMASK and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    each.chmod(stat.S_IMODE(mode) & ~PRIVATE_UMASK)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of bounded size: a pipe or a device could block or be endless.

    Raises OSError if it cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes:,} bytes", str(path))
    return content


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; raises OSError if it cannot be opened or is not regular."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "it is not a regular file", str(path))


def replace_json(path: Path, value: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write `value` as JSON atomically: after a kill -9 (`durable`: a power failure) the file is the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
        if durable:
            with contextlib.suppress(OSError):  # it is replaced; at worst a power failure brings the old one back
                sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power failure; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hadoop_path(path: Path) -> str:
    """Format a local path for Hadoop.

    Hadoop does not decode percent-encoding: it would read `Path.as_uri` of "my models" as the directory "my%20models".
    """
    return f"file://{path.absolute()}"


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield the path of a private file to write to; it is renamed to `path` if the block succeeds, else removed.

    Raises FileExistsError if there is such a file.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(path))
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield partial
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path` for a `with` block; yields whether it was acquired (always, with `wait`).

    The kernel releases the lock with the process, so a kill -9 leaves no lock behind, only the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def sole_use(lock: Path, in_use: FraudstreamError) -> Iterator[None]:
    """Hold a lock file for a `with` block; raises `in_use` if another process holds it."""
    with exclusive_lock(lock, wait=False) as is_locked:
        if not is_locked:
            raise in_use
        yield
