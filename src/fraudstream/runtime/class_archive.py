"""The archive of a JVM's classes (class data sharing, JEP 310 and 350): with it a start neither reads nor checks jars.

It is made in the background of the first run that lasts, from the classes which that run has loaded, and it lies in
the cache. What it takes off a start: docs/decisions/0021-start-up.md. Who runs on it: `jvm.py` and `kafka/broker.py`.
"""

import contextlib
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import psutil
import structlog

from fraudstream.runtime.files import exclusive_lock, replace_json
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import die_with_parent

log = structlog.get_logger(__name__)

RECORDED_SECONDS: Final = 30.0
"""How long a run is ready before its list of classes is taken for complete."""

_KEPT: Final = 4
"""Archives of one name that stay: those of the Javas and releases that share a cache."""
_NICE: Final = 19
_VERIFIED: Final = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:+VerifySharedSpaces")
"""An archive of which a byte has changed is passed over too; 0.1 s."""
_SILENT: Final = ("-Xlog:disable", "-Xlog:all=error:stderr")
"""An archive that does not fit is passed over by the JVM; the warning of it is for nobody."""


@dataclass(frozen=True)
class ClassArchive:
    """The archive of one program on one Java and one class path.

    `class_path` are its jars, in order; a jar that is changed makes for another archive. `options` are those of the JVM
    that bear on its modules.
    """

    folder: Path
    name: str
    java: Java
    class_path: tuple[Path, ...]
    options: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.name}-{self._key()}.jsa"

    @property
    def recording(self) -> Path:
        """Where a JVM that this process starts notes the classes that it loads."""
        return self.path.with_suffix(f".{os.getpid()}.classes")

    @property
    def is_made(self) -> bool:
        """Whether it is there whole: a part of one would be passed over by the JVM, for ever."""
        try:
            noted = orjson.loads(self._note().read_bytes())["bytes"]
            return self.path.stat().st_size == int(noted)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return False

    def jvm_options(self) -> list[str]:
        """What a JVM is told: to start from the archive, or where there is none yet, to note its classes for one."""
        if self.is_made:
            with contextlib.suppress(OSError):
                os.utime(self.path)  # the archives used last are kept
            return ["-Xshare:auto", f"-XX:SharedArchiveFile={self.path}", *_VERIFIED, *_SILENT]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return []
        return [f"-XX:DumpLoadedClassList={self.recording}", *_SILENT]

    def forget(self) -> None:
        """Remove it: a JVM that ended at its start with it shall start without it the next time."""
        for file in (self._note(), self.path):
            file.unlink(missing_ok=True)

    @contextmanager
    def made_in_background(self, ready: threading.Event, after: float = RECORDED_SECONDS) -> Iterator[None]:
        """Make it while the body runs, at the lowest priority, once `ready` has been set for `after` seconds.

        Does nothing where it is there. What is not finished at the body's end is left to the next run.
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
        """Make it from a list of classes; whether that was done before `ended` was set."""
        with exclusive_lock(self.folder / f"{self.name}.lock", wait=False) as had:
            if not had or self.is_made or not classes.exists():
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
                log.info("the next start is quicker: the archive of the classes is made", archive=self.path.name)
        except OSError as e:
            log.info("no archive of the classes could be made; starts take longer", reason=e.strerror)

    def _dump(self, classes: Path, draft: Path, ended: threading.Event) -> bool:
        """Run the JVM that writes it; whether it did."""
        command: Sequence[str] = [
            str(self.java.executable),
            *self.options,
            *("-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={draft}"),
            *("-Xlog:disable", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", os.pathsep.join(map(str, self.class_path))),
        ]
        parent = os.getpid()

        def quietly() -> None:
            die_with_parent(parent)
            os.nice(_NICE)

        process = subprocess.Popen(  # noqa: S603 - the command is the package's own
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=quietly
        )
        while process.poll() is None:
            if ended.wait(0.1):
                process.kill()
        return process.wait() == 0 and draft.exists()

    def _sweep(self) -> None:
        """Remove the archives of this program that were not used for longest, and lists that killed runs have left."""
        by_use = sorted(self.folder.glob(f"{self.name}-*.jsa"), key=lambda file: file.stat().st_mtime, reverse=True)
        for archive in by_use[_KEPT:]:
            archive.with_suffix(".json").unlink(missing_ok=True)
            archive.unlink(missing_ok=True)
        for left in (*self.folder.glob(f"{self.name}-*.classes"), *self.folder.glob(f"{self.name}-*.draft")):
            if not psutil.pid_exists(int(left.suffixes[-2].removeprefix("."))):
                left.unlink(missing_ok=True)

    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def _key(self) -> str:
        told = [str(self.java.executable), self.java.build, *self.options]
        for jar in self.class_path:
            try:
                found = jar.stat()
            except OSError:
                continue
            told.append(f"{jar} {found.st_size} {found.st_mtime_ns}")
        return hashlib.blake2b("\n".join(told).encode(), digest_size=6).hexdigest()
