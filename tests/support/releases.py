"""Working directories that earlier releases left, for tests of the upgrade."""

from __future__ import annotations

import tarfile
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures"
SECRETS = ("4111111111111111", "5555555555554444", "zq7391", "078-05-1120")
"""What the payments of each fixture hold and no store may keep."""


def unpack_release(name: str, folder: Path) -> Path:
    """A copy of what a release left: `alerts.db`, `checkpoint/`, `models/`, `kafka/` and its own `expected.json`."""
    with tarfile.open(FIXTURES / name / "workdir.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
