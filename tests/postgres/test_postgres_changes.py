"""The tests of `test_changes.py`, on PostgreSQL."""

import pytest
from tests.integration.test_changes import *  # noqa: F403

pytestmark = pytest.mark.nightly
