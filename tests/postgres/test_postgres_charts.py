"""The tests of `test_charts.py`, on PostgreSQL."""

import pytest
from tests.integration.test_charts import *  # noqa: F403

pytestmark = pytest.mark.nightly
