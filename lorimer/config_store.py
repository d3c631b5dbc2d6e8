"""[store] of lorimer.toml: where studies and their traces are kept."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from lorimer.config_rows import Table

_WANTED = "write postgresql+psycopg://USER@HOST/DATABASE, or leave it out to keep the traces in the workspace"


class StoreSettings(Table):
    """[store]"""

    url: str = Field(default="", repr=False)
    """Empty: `.lorimer/lorimer.db` in the workspace, a file of SQLite. `postgresql+psycopg://USER@HOST/DATABASE` keeps it on a
    PostgreSQL server (`pip install 'lorimer[postgres]'`); `${NAME}` in it is a variable, as a password should be. `sqlite:////FILE`
    names another file."""

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if url and not re.match(r"postgresql\+psycopg://|sqlite:///|\$\{\w+\}", url):
            raise ValueError(f"names no database that lorimer knows; {_WANTED}")  # the value may hold a password
        return url
