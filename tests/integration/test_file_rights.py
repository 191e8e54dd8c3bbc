"""Whose files are: tightened for their owner, and what may not be read or written is said."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudstream.detector.checkpoint import lock_checkpoint
from fraudstream.errors import DetectorError, ModelError
from fraudstream.model.deployment.current import resolve
from fraudstream.runtime.files import tighten
from fraudstream.store.store import AlertStore

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not look into."""
    folder = tmp_path / "forbidden"
    (folder / "models").mkdir(parents=True)
    folder.chmod(0)
    if os.geteuid() == 0:  # nothing is forbidden to root
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
    else:
        yield folder
    folder.chmod(0o700)


def test_what_lay_open_is_tightened_and_links_are_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text("payments")
    (folder / "below" / "tool").touch(mode=0o755)
    elsewhere.mkdir()
    (elsewhere / "file").write_text("of somebody else")
    (folder / "link").symlink_to(elsewhere)
    (folder / "below").chmod(0o755)
    for path in (elsewhere, elsewhere / "file", folder / "below" / "file"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    tighten(folder)
    assert [mode(path) for path in (folder, folder / "below", folder / "below" / "file")] == [0o700, 0o700, 0o600]
    assert mode(folder / "below" / "tool") == 0o700
    assert (mode(elsewhere), mode(elsewhere / "file")) == (0o755, 0o644)
    tighten(tmp_path / "not there")


def test_a_folder_that_this_process_works_in_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    tmp_path.chmod(0o755)
    tighten(Path(".."))
    assert mode(tmp_path) == 0o755


def test_an_alert_store_that_lay_open_is_tightened_with_its_journal(tmp_path: Path) -> None:
    database = tmp_path / "alerts.db"
    database.touch()
    database.chmod(0o644)
    store = AlertStore.open(f"sqlite:///{database}")
    modes = {file.name: mode(file) for file in tmp_path.glob("alerts.db*")}
    store.close()
    assert modes == {"alerts.db": 0o600, "alerts.db-wal": 0o600, "alerts.db-shm": 0o600}


def test_a_checkpoint_that_lay_open_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "checkpoint" / "offsets").mkdir(parents=True, mode=0o755)
    (tmp_path / "checkpoint" / "offsets" / "0").write_text("v1")
    with lock_checkpoint(tmp_path / "checkpoint"):
        assert mode(tmp_path / "checkpoint" / "offsets") == 0o700
        assert mode(tmp_path / "checkpoint" / "offsets" / "0") == 0o600


@pytest.mark.parametrize(("command", "rights"), [("threshold", 0o600), ("simulate", 0o644)])
def test_a_command_writes_for_its_user_alone_but_what_the_user_names(tmp_path: Path, command: str, rights: int) -> None:
    # The group's callback, then what the command itself would do.
    program = (
        "import os, click\n"
        "from fraudstream.cli.entry import cli\n"
        f"cli.commands[{command!r}].callback = lambda **_: open('made', 'w').close()\n"
        f"cli.commands[{command!r}].params.clear()\n"
        "os.umask(0o022)\n"
        f"cli.main([{command!r}], standalone_mode=False)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert mode(tmp_path / "made") == rights


def test_a_checkpoint_that_may_not_be_written_is_said_with_a_remedy(forbidden: Path) -> None:
    named = pytest.raises(DetectorError, match="cannot be written: Permission denied")
    with named as error, lock_checkpoint(forbidden / "checkpoint"):
        pass
    assert str(forbidden) in error.value.where
    assert "--checkpoint" in error.value.remedy


def test_a_checkpoint_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(DetectorError, match="cannot be written"), lock_checkpoint(tmp_path / "checkpoint"):
        pass


@pytest.mark.parametrize("name", ["models", "models/current"])
def test_models_that_may_not_be_read_are_said_with_a_remedy(forbidden: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be read: Permission denied") as error:
        resolve(forbidden / name)
    assert "grant this user read access" in error.value.remedy
