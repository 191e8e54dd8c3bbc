"""The archive of a JVM's classes: made by a real Java, used by the next start, passed over where it does not fit."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from fraudstream.runtime.class_archive import ClassArchive
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java, find_java

pytestmark = pytest.mark.spark

PROGRAM = ("kafka.tools.StorageTool", "random-uuid")
ID = 22


@pytest.fixture(scope="module", params=["the system's", pytest.param("the wheel's", marks=pytest.mark.nightly)])
def chosen_java(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, java: Java) -> Java:
    nothing = tmp_path_factory.mktemp("no-cache")
    return java if request.param == "the system's" else find_java(None, nothing, {"PATH": ""})


@pytest.fixture(scope="module")
def made_once(chosen_java: Java, jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> ClassArchive:
    """An archive as it is made, to be copied: making one takes ten seconds."""
    return make_archive(ClassArchive(tmp_path_factory.mktemp("made") / "archives", "kafka", chosen_java, jars.broker))


@pytest.fixture
def archive(tmp_path: Path, chosen_java: Java, jars: Jars) -> ClassArchive:
    """One that is not made yet."""
    return ClassArchive(tmp_path / "archives", "kafka", chosen_java, jars.broker)


@pytest.fixture
def made_archive(made_once: ClassArchive, archive: ClassArchive) -> ClassArchive:
    """One that is made."""
    copytree(made_once.folder, archive.folder)
    return archive


def run(archive: ClassArchive, *options: str) -> str:
    """What the program says, started as the archive has it."""
    command = [
        str(archive.java.executable), *archive.jvm_options(), *options, "-cp", ":".join(map(str, archive.class_path)),
        *PROGRAM,
    ]  # fmt: skip
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return process.stdout


def make_archive(archive: ClassArchive) -> ClassArchive:
    assert len(run(archive).strip()) == ID
    assert archive.make(archive.recording, threading.Event())
    return archive


def test_the_second_start_takes_its_classes_from_the_archive(archive: ClassArchive, made_once: ClassArchive) -> None:
    assert not archive.is_made
    assert made_once.is_made
    classes = run(made_once, "-Xlog:class+load=info:stdout")
    assert "kafka.tools.StorageTool source: shared objects file" in classes
    assert len(run(made_once).strip()) == ID


@pytest.mark.nightly
def test_a_damaged_archive_is_passed_over_and_made_again(made_archive: ClassArchive) -> None:
    archive = made_archive
    with archive.path.open("r+b") as file:
        file.truncate(archive.path.stat().st_size // 2)
    assert not archive.is_made
    assert len(run(archive).strip()) == ID
    assert archive.make(archive.recording, threading.Event())
    assert archive.is_made


def zeros_in_the_middle(size: int, content: bytes) -> bytes:
    return content[: size // 2] + bytes(4096) + content[size // 2 + 4096 :]


def something_else(size: int, content: bytes) -> bytes:
    return b"not an archive at all".ljust(size)


@pytest.mark.parametrize("damage", [zeros_in_the_middle, pytest.param(something_else, marks=pytest.mark.nightly)])
def test_an_archive_of_which_a_part_was_changed_does_not_keep_a_jvm_from_starting(
    made_archive: ClassArchive, damage: Callable[[int, bytes], bytes]
) -> None:
    archive = made_archive
    size = archive.path.stat().st_size
    changed = damage(size, archive.path.read_bytes())
    archive.path.unlink()
    archive.path.write_bytes(changed)
    assert archive.is_made
    assert run(archive).strip().count("\n") == 0
    assert "StorageTool source: shared objects file" not in run(archive, "-Xlog:class+load=info:stdout")


@pytest.mark.nightly
def test_another_java_has_an_archive_of_its_own_and_passes_over_this_one(
    tmp_path: Path, java: Java, made_archive: ClassArchive
) -> None:
    wheel = find_java(None, tmp_path, {"PATH": ""})
    own = made_archive
    other = replace(own, java=wheel)
    assert other.path != own.path
    assert not other.is_made
    # Even where it is given this one's: by its name for itself the JVM knows that it is not its own.
    own.path.rename(other.path)
    own.path.with_suffix(".json").rename(other.path.with_suffix(".json"))
    assert len(run(other).strip()) == ID
    assert replace(own, java=replace(java, build="17.0.99")).path != own.path


def test_a_jar_that_changes_asks_for_another_archive(tmp_path: Path, java: Java) -> None:
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"one")
    archive = ClassArchive(tmp_path, "kafka", java, (jar,))
    before = archive.path
    jar.write_bytes(b"two, longer")
    assert archive.path != before


def test_what_is_not_finished_when_the_program_ends_is_left_to_the_next_run(archive: ClassArchive) -> None:
    run(archive)
    ended = threading.Event()
    ended.set()
    assert not archive.make(archive.recording, ended)
    assert not archive.is_made
    assert not list(archive.folder.glob("*.draft"))


@pytest.mark.nightly
def test_it_is_made_in_the_background_of_a_run_that_lasts(archive: ClassArchive) -> None:
    run(archive)
    ready, made_there = threading.Event(), threading.Event()
    with archive.made_in_background(ready, after=0.0):
        ready.set()
        for _ in range(600):
            if archive.is_made or made_there.wait(0.1):
                break
    assert archive.is_made
    assert not archive.recording.exists()


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, java: Java, jars: Jars) -> None:
    (tmp_path / "file").write_text("")
    archive = ClassArchive(tmp_path / "file" / "archives", "kafka", java, jars.broker)
    assert archive.jvm_options() == []
    assert len(run(archive).strip()) == ID
