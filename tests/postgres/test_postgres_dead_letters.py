"""The tests of `test_dead_letters.py`, on PostgreSQL."""

from tests.integration.test_dead_letters import *  # noqa: F403
