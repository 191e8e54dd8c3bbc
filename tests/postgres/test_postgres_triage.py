"""The tests of `test_triage.py`, on PostgreSQL."""

from tests.unit.test_triage import *  # noqa: F403
