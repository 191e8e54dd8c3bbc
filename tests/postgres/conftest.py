"""A private PostgreSQL server, on which the tests of the store run a second time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraudstream.store.store import AlertStore
from postgres import EMPTY, PostgresServer, programs, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this run, with a database that new stores are copied from."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgres() as server:
        server.execute(f"CREATE DATABASE {EMPTY} TEMPLATE template0")
        AlertStore.open(server.url(EMPTY)).close()
        yield server


@pytest.fixture(scope="session")
def store_url(postgres: PostgresServer) -> Callable[[Path], str]:
    """Makes the URL of an empty store in a database of its own."""
    return lambda _folder: postgres.empty_store()
