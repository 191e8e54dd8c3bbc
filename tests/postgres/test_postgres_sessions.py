"""The tests of `test_sessions.py`, on PostgreSQL."""

from tests.integration.test_sessions import *  # noqa: F403
