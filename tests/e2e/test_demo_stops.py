"""The end of a demo."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import pytest

from commands import alive, descendants
from running_demo import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]


def test_sigterm_stops_every_process(demo: Demo) -> None:
    family = [demo.process.pid, *descendants(demo.process.pid)]
    assert len(family) >= 8
    demo.process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        demo.process.wait(60)
    assert demo.process.returncode == 0, demo.explain()
    assert alive(family) == []
