"""The tests of `test_changes.py`, on PostgreSQL."""

from tests.integration.test_changes import *  # noqa: F403
