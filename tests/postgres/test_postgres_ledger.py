"""The tests of `test_ledger_store.py`, on PostgreSQL."""

from tests.unit.test_ledger_store import *  # noqa: F403
