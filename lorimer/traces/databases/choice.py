"""Which database a store lies in, by what the user calls it."""

from __future__ import annotations

from pathlib import Path

from lorimer.traces import place
from lorimer.traces.databases.base import Database
from lorimer.traces.databases.sqlite import Sqlite


def database_at(source: Path | str) -> Database:
    """The database that a file or a URL names. Raises ConfigError for one that lorimer does not know."""
    return Sqlite(place.store_path(source))
