"""The tests of `test_sessions.py`, on PostgreSQL."""

import pytest
from tests.integration.test_sessions import *  # noqa: F403

pytestmark = pytest.mark.nightly
