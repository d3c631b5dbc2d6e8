"""[store] of lorimer.toml: where studies and their traces are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import Field, field_validator

from lorimer.config.rows import Table

_WANTED = "write postgresql+psycopg://USER@HOST/DATABASE, or leave it out to keep the traces in the workspace"


_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


@dataclass(frozen=True)
class Keep:
    """How long steps of trials are kept; by one of the two, or for ever."""

    said: str
    candidates: int | None = None
    """Those of the last so many candidates of each study."""
    seconds: float | None = None
    """Those of trials that began no longer ago."""

    @property
    def everything(self) -> bool:
        return self.candidates is None and self.seconds is None


def keep_of(said: str) -> Keep:
    """What `[store] keep` means. Raises ValueError for what it cannot."""
    if said == "all":
        return Keep(said)
    if re.fullmatch(r"[1-9]\d{0,8}", said):
        return Keep(said, candidates=int(said))
    if found := re.fullmatch(r"([1-9]\d{0,5})([hdw])", said):
        return Keep(said, seconds=int(found[1]) * _SECONDS[found[2]])
    raise ValueError('is "all", a time such as "30d" (h, d or w), or a number of candidates such as 20')


class StoreSettings(Table):
    """[store]"""

    url: str = Field(default="", repr=False)
    """Empty: `.lorimer/lorimer.db` in the workspace, a file of SQLite. `postgresql+psycopg://USER@HOST/DATABASE` keeps it on a
    PostgreSQL server (`pip install 'lorimer[postgres]'`); `${NAME}` in it is a variable, as a password should be. `sqlite:////FILE`
    names another file."""

    keep: str = "all"
    """How long steps of trials are kept: `"all"`, a time (`"12h"`, `"30d"`, `"8w"`), or a number: those of the last so many
    candidates of each study. What is older goes when a run or a study ends, and by `lorimer store prune`; verdicts, decisions and
    the chain stay."""

    @field_validator("keep", mode="before")
    @classmethod
    def _means_something(cls, keep: object) -> str:
        return keep_of(keep if isinstance(keep, str) else str(keep) if type(keep) is int else "").said

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if url and not re.match(r"postgresql\+psycopg://|sqlite:///|\$\{\w+\}", url):
            raise ValueError(f"names no database that lorimer knows; {_WANTED}")  # the value may hold a password
        return url
