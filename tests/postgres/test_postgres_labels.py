"""The tests of `test_labels.py`, on PostgreSQL."""

from tests.unit.test_labels import *  # noqa: F403
