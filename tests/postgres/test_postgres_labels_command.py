"""The tests of `test_labels_command.py`, on PostgreSQL."""

from tests.integration.test_labels_command import *  # noqa: F403
