"""Files shared by processes: replaced whole, locked by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from fraudstream.runtime.files import exclusive_lock, replace_json

HOLDER = """
import sys
from pathlib import Path
from fraudstream.runtime.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    replace_json(path, {"n": 1})
    replace_json(path, {"n": 2})
    assert orjson.loads(path.read_bytes()) == {"n": 2}
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_json(path, {"n": 1})
    with pytest.raises(TypeError):
        replace_json(path, {"n": object()})
    assert orjson.loads(path.read_bytes()) == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_one_process_s_until_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"True"
        with exclusive_lock(path, wait=False) as ours:
            assert not ours
        holder.kill()
        holder.wait()
        with exclusive_lock(path, wait=False) as ours:
            assert ours
