"""The tests of `test_entities.py`, on PostgreSQL."""

import pytest
from tests.unit.test_entities import *  # noqa: F403

pytestmark = pytest.mark.nightly
