"""The tests of `test_search.py`, on PostgreSQL."""

from tests.unit.test_search import *  # noqa: F403
