"""The tests of `test_similar_alerts.py`, on PostgreSQL."""

from tests.unit.test_similar_alerts import *  # noqa: F403
