"""Volumes of a known size, and filling them: a small tmpfs each, in a mount namespace of the suite's own."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.faults import Impossible
from chaos.system import BROKER, DASHBOARD, DETECTOR, PRODUCER, Layout, System

SIZES: Final[Mapping[str, str]] = {BROKER: "700m", DETECTOR: "16m", DASHBOARD: "96m", PRODUCER: "1m"}

_CLONE_NEWNS: Final = 0x00020000
_FILLER: Final = "filler"
_PIECES: Final = (1024 * 1024, 4096, 1)


def own_mounts() -> str:
    """Give this process, and what it starts from now on, mounts of its own, which end with the last of them.

    Returns:
        Why that is not possible; empty where it was done.
    """
    if sys.platform != "linux":
        return "volumes of a known size need Linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        return f"the kernel refuses mounts of one's own: {os.strerror(ctypes.get_errno())}"
    process = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False)
    return process.stderr.strip()


def mount_volumes(layout: Layout) -> str:
    """Put a tmpfs under each process's folder; returns why that is not possible, empty where it was done."""
    for name, size in SIZES.items():
        folder = layout.volume(name)
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            return f"mount refuses a tmpfs: {process.stderr.strip()}"
    return ""


def unmount_volumes(layout: Layout) -> None:
    """Take them away; what was on them is gone."""
    for name in SIZES:
        subprocess.run(["umount", "--lazy", str(layout.volume(name))], capture_output=True, check=False)


@dataclass
class FillDisk:
    """A volume without a byte left, until space is freed."""

    volume: str
    lasts: float
    why_not: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As `--faults` takes it."""
        return f"disk-full-{self.volume}"

    def inject(self, system: System) -> float:
        """Fill it."""
        if self.why_not:
            raise Impossible(self.why_not)
        fill(system.layout.volume(self.volume) / _FILLER)
        return time.time()

    def heal(self, system: System) -> float:
        """Free the space again."""
        (system.layout.volume(self.volume) / _FILLER).unlink(missing_ok=True)
        return time.time()


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("wb", buffering=0) as file:
        for size in _PIECES:
            piece = b"\0" * size
            while True:
                try:
                    file.write(piece)
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
                    break
