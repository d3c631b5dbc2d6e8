"""Which database a store lies in, by what the user calls it."""

from __future__ import annotations

from pathlib import Path

from lorimer.traces import place
from lorimer.traces.databases.base import Database
from lorimer.traces.databases.sqlite import Sqlite


def database_at(source: Database | Path | str) -> Database:
    """The database that a file or a URL names; one that is given is itself.

    Raises ConfigError for one that lorimer does not know.
    """
    if not isinstance(source, Path | str):
        return source
    text = str(source)
    if text.startswith("postgres"):
        from lorimer.traces.databases.postgresql import Postgresql

        return Postgresql(text)
    return Sqlite(place.store_path(source))
