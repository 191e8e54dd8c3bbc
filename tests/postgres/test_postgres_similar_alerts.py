"""The tests of `test_similar_alerts.py`, on PostgreSQL."""

import pytest
from tests.unit.test_similar_alerts import *  # noqa: F403

pytestmark = pytest.mark.nightly
