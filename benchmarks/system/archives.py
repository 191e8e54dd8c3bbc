"""Has the archives of the JVMs' classes made before anything is measured; `system.py` runs what makes them.

An installation's first detector and broker make them half a minute after they are ready (decision 21): half of a core
for as long again, which would be taken for the system's own work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.system.system import BenchSystem, stopped_at_the_end
from fraudstream.config import Settings
from fraudstream.demo.system import DETECTOR
from fraudstream.detector.launch import detector_plan
from fraudstream.kafka.broker import broker_archive
from fraudstream.runtime.class_archive import ClassArchive
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java

MADE_SECONDS: Final = 240.0


def archives(settings: Settings, java: Java, jars: Jars) -> list[ClassArchive]:
    """Those of the broker, and of the detector unless it runs on a master of the user's."""
    detector = detector_plan(settings, java, jars).archive
    return [broker_archive(settings.cache, java, jars.broker), *([detector] if detector is not None else [])]


def cache_without_archives(folder: Path) -> Path:
    """Make a cache like the user's in which no archive can be created, for runs too short for archives to pay."""
    folder.mkdir()
    (folder / "archives").touch()  # where a folder would have to be
    for part in Settings.load().cache.absolute().iterdir():
        if part.name != "archives":
            (folder / part.name).symlink_to(part)
    return folder


def see_archives_made(
    archives: Sequence[ClassArchive], model: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Run a broker and a detector until they have made what is not there; says so where they do not.

    Args:
        archives: The archives.
        model: A `current` file, for the detector.
        environment: That the processes inherit.
        say: Takes one line on each step.
    """
    if all(archive.is_made for archive in archives):
        return
    say("the first run of this installation: archives of Java's classes are made, once, in about a minute ...")
    with tempfile.TemporaryDirectory(prefix="fraudstream-bench-") as folder:
        system = BenchSystem(Path(folder), model.absolute(), 1, environment)
        with stopped_at_the_end(system):
            system.start_broker()
            system.start_detector()
            system.await_ready(DETECTOR)
            is_complete = system.wait(MADE_SECONDS, lambda: all(archive.is_made for archive in archives))
    if not is_complete:
        say("they were not made: the first seconds of what is measured take longer than they would")
