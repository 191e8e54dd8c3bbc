"""The tests of `test_alerts_api.py`, on PostgreSQL."""

from tests.integration.test_alerts_api import *  # noqa: F403
