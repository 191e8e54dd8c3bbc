"""The spool of rows that the broker refused: each once, whole lines only, and a full disk said so."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from fraudstream.kafka.progress import Spool, spool_path


def lines(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_row_is_kept_with_all_that_is_known_and_once(tmp_path: Path) -> None:
    path = spool_path(tmp_path / "run" / "progress.json")
    for _ in range(2):
        with closing(Spool(path)) as spool:
            for _ in range(2):
                spool.add(1, 7, "id", "too large", '{"V1":"\u00e4"}'.encode())
            spool.sync()
    payload = '{"V1":"\u00e4"}'
    expected = {"pass": 1, "row": 7, "event_id": "id", "reason": "too large", "bytes": len(payload.encode())}
    assert lines(path) == [expected | {"payload": payload}]


def test_no_refused_row_makes_no_file(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "spool.jsonl")) as spool:
        spool.sync()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 90, 8))
def test_a_line_that_a_kill_cut_off_is_taken_away_and_its_row_comes_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "spool.jsonl"
    with closing(Spool(path)) as spool:
        spool.add(0, 1, "first", "too large", b"{}")
        spool.add(0, 2, "second", "too large", b"{}")
    whole = path.read_bytes()
    os.truncate(path, len(whole) - cut)
    with closing(Spool(path)) as spool:
        spool.add(0, 1, "first", "too large", b"{}")
        spool.add(0, 2, "second", "too large", b"{}")
    assert path.read_bytes() == whole


FULL = """
import resource, signal, sys
from contextlib import closing
from pathlib import Path
from fraudstream.errors import ProgressFailed
from fraudstream.kafka.progress import Spool

# A limit on the size of files: like a full disk it takes the beginning of a line.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
with closing(Spool(Path(sys.argv[1]))) as spool:
    try:
        for row in range(10):
            spool.add(0, row, str(row), "too large", b"{}")
    except ProgressFailed as e:
        print(e.message)
"""


def test_a_disk_that_takes_no_more_is_said_so_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    process = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    assert os.strerror(errno.EFBIG) in process.stdout
    assert str(path) in process.stdout
    spooled = lines(path)
    assert [line["row"] for line in spooled] == list(range(len(spooled)))
    assert 0 < len(spooled) < 10
