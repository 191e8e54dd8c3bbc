"""Makes each baseline's own Python environment from its lock, once; what runs in it is `contenders.py`'s."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

BASELINES: Final = Path(__file__).parent
CACHE: Final = BASELINES / ".environments"
"""Git-ignored; may be deleted at any time."""

_VERSIONS: Final = (
    "import json, platform, sys\nfrom importlib.metadata import version\n"
    "print(json.dumps({'python': platform.python_version()} | {name: version(name) for name in sys.argv[1:]}))"
)


def python_of(baseline: str) -> Path:
    """The Python of a baseline's environment, which is made first where it is not there or the lock is another one."""
    lock = BASELINES / baseline / "requirements.lock"
    folder, made_from = CACHE / baseline, CACHE / baseline / "made-from"
    python = folder / "bin" / "python"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if made_from.is_file() and made_from.read_text() == digest:
        return python
    print(f"{baseline}: making its environment from {lock.name} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "on"]
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True, stdout=sys.stderr)
    made_from.write_text(digest)
    return python


def versions_in(python: Path, *packages: str) -> dict[str, str]:
    """The versions of packages in an environment, and of its Python."""
    output = subprocess.run([python, "-c", _VERSIONS, *packages], check=True, capture_output=True, text=True).stdout
    versions: dict[str, str] = json.loads(output)
    return versions
