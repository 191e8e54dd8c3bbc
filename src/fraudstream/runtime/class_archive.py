"""Creates and uses archives of a JVM's classes (class data sharing, JEP 310 and 350), to start without reading jars.

An archive is created in the background of the first run that lasts, from the classes that this run has loaded, and
stored in the cache. How much faster a start becomes: docs/decisions/0021-start-up.md.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import psutil
import structlog

from fraudstream.runtime.files import exclusive_lock, replace_json
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import spawn

log = structlog.get_logger(__name__)

RECORDED_SECONDS: Final = 30.0
"""How long a run must be ready before its list of classes counts as complete."""

_RETAINED: Final = 4
"""Archives to retain per name: those of the Javas and releases that share a cache."""
_NICE: Final = 19
_VERIFIED: Final = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:+VerifySharedSpaces")
"""A corrupt archive is ignored too; costs 0.1 s."""
_SILENT: Final = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""The JVM ignores an archive that does not match; its warning about it helps nobody."""


@dataclass(frozen=True)
class ClassArchive:
    """The archive of one program on one Java and one class path.

    `class_path` are its jars, in order; a changed jar requires another archive. `options` are the JVM options that
    affect its modules.
    """

    folder: Path
    name: str
    java: Java
    class_path: tuple[Path, ...]
    options: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The archive file."""
        return self.folder / f"{self.name}-{self._key()}.jsa"

    @property
    def recording(self) -> Path:
        """The file in which a JVM of this process lists the classes that it loads."""
        return self.path.with_suffix(f".{os.getpid()}.classes")

    @property
    def is_made(self) -> bool:
        """Whether it exists and is complete: the JVM would ignore a partial one, for ever."""
        try:
            size = orjson.loads(self._note().read_bytes())["bytes"]
            return self.path.stat().st_size == int(size)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return False

    def jvm_options(self) -> list[str]:
        """Build the JVM options to start from the archive or, if there is none yet, to record classes for one."""
        if self.is_made:
            with contextlib.suppress(OSError):
                os.utime(self.path)  # the most recently used archives are retained
            return ["-Xshare:auto", f"-XX:SharedArchiveFile={self.path}", *_VERIFIED, *_SILENT]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return []
        return [f"-XX:DumpLoadedClassList={self.recording}", *_SILENT]

    def forget(self) -> None:
        """Delete it: a JVM that failed to start with it will start without it the next time."""
        for file in (self._note(), self.path):
            file.unlink(missing_ok=True)

    @contextmanager
    def made_in_background(self, ready: threading.Event, after: float = RECORDED_SECONDS) -> Iterator[None]:
        """Create it during a `with` block, at the lowest priority, once `ready` has been set for `after` seconds.

        Does nothing if it exists. If it is unfinished at the end of the block, the next run starts over.
        """
        if self.is_made:
            yield
            return
        ended = threading.Event()
        maker = threading.Thread(target=self._make_later, args=(ready, after, ended), name="class archive")
        maker.start()
        try:
            yield
        finally:
            ended.set()
            ready.set()
            maker.join()
            self.recording.unlink(missing_ok=True)

    def make(self, classes: Path, ended: threading.Event) -> bool:
        """Create it from a list of classes; return whether that was done before `ended` was set."""
        with exclusive_lock(self.folder / f"{self.name}.lock", wait=False) as is_locked:
            if not is_locked or self.is_made or not classes.exists():
                return self.is_made
            draft = self.path.with_suffix(f".{os.getpid()}.draft")
            try:
                if not self._dump(classes, draft, ended):
                    return False
                replace_json(self._note(), {"bytes": draft.stat().st_size})
                draft.replace(self.path)
                self._sweep()
            finally:
                draft.unlink(missing_ok=True)
        return True

    def _make_later(self, ready: threading.Event, after: float, ended: threading.Event) -> None:
        ready.wait()
        if ended.wait(after):
            return
        try:
            if self.make(self.recording, ended):
                log.info("created the class archive; the next start will be faster", archive=self.path.name)
        except OSError as e:
            log.info("cannot create the class archive; starts take longer", reason=e.strerror)

    def _dump(self, classes: Path, draft: Path, ended: threading.Event) -> bool:
        """Run the JVM that writes it; return whether it succeeded."""
        command = [
            *("nice", "-n", str(_NICE), str(self.java.executable), *self.options),
            *("-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={draft}"),
            *("-Xlog:disable", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", os.pathsep.join(map(str, self.class_path))),
        ]
        process = spawn(command, log=Path(os.devnull))
        while process.poll() is None:
            if ended.wait(0.1):
                process.kill()
        return process.wait() == 0 and draft.exists()

    def _sweep(self) -> None:
        """Delete the least recently used archives of this program, and files left behind by killed runs."""
        by_use = sorted(self.folder.glob(f"{self.name}-*.jsa"), key=lambda file: file.stat().st_mtime, reverse=True)
        for archive in by_use[_RETAINED:]:
            archive.with_suffix(".json").unlink(missing_ok=True)
            archive.unlink(missing_ok=True)
        for left in (*self.folder.glob(f"{self.name}-*.classes"), *self.folder.glob(f"{self.name}-*.draft")):
            if not psutil.pid_exists(int(left.suffixes[-2].removeprefix("."))):
                left.unlink(missing_ok=True)

    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def _key(self) -> str:
        parts = [str(self.java.executable), self.java.build, *self.options]
        for jar in self.class_path:
            try:
                status = jar.stat()
            except OSError:
                continue
            parts.append(f"{jar} {status.st_size} {status.st_mtime_ns}")
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()
