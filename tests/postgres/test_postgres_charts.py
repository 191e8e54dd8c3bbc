"""The tests of `test_charts.py`, on PostgreSQL."""

from tests.integration.test_charts import *  # noqa: F403
