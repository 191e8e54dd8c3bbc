"""The tests of `test_alerts_api.py`, on PostgreSQL."""

import pytest
from tests.integration.test_alerts_api import *  # noqa: F403

pytestmark = pytest.mark.nightly
