"""Where the tests of the store keep one: in a file of SQLite, and in a database of a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgresql
from tests.support.postgresql import Server

Where = Path | str
"""What a store is opened by: a file or a URL."""

ON_SQLITE = pytest.mark.parametrize("path", ["sqlite"], indirect=True)
"""For what is SQLite's own."""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    yield from postgresql.running()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "folder" / "traces.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def path(request: pytest.FixtureRequest) -> Iterator[Where]:
    """A place for a store on either database. What is promised of a store holds on both."""
    if request.param == "sqlite":
        yield request.getfixturevalue("file")
        return
    running: Server = request.getfixturevalue("server")
    url = running.store()
    yield url
    running.drop(url)
