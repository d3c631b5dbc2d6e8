"""The address of every page: the one place where they are put together. Pure.

A page links to others by `Links`: of the server (`ServerPaths`), or of the one file that a report is (`FilePaths`), which
holds few of them. An empty address is no link.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape


class Links(Protocol):
    """Where pages link to."""

    def study_path(self, study: str, page: str = "", **query: object) -> str:
        """A page of a study; those of the query that are `None` are left out."""
        ...

    def candidate_path(self, study: str, number: int) -> str:
        """A candidate's page."""
        ...

    def trace_path(self, study: str, owner: str, step: int | None = None) -> str:
        """The trajectory of a trial or of a candidate's proposal session, at a step."""
        ...


class ServerPaths:
    """Addresses on the dashboard's server."""

    def study_path(self, study: str, page: str = "", **query: object) -> str:
        path = f"/s/{quote(segment(study), safe='')}" + (f"/{page}" if page else "")
        asked = {key: value for key, value in query.items() if value is not None}
        return f"{path}?{urlencode(asked)}" if asked else path

    def candidate_path(self, study: str, number: int) -> str:
        return self.study_path(study, f"c/{number}")

    def trace_path(self, study: str, owner: str, step: int | None = None) -> str:
        return self.study_path(study, "trace", of=owner, at=step) + ("" if step is None else f"#step-{step}")


class FilePaths:
    """Addresses within one file.

    Args:
        candidates: the numbers of those that stand in it in full.
    """

    def __init__(self, candidates: Iterable[int]) -> None:
        self._candidates = frozenset(candidates)

    def keep(self, candidates: Iterable[int]) -> None:
        """Link to these alone from now on."""
        self._candidates = frozenset(candidates)

    def study_path(self, study: str, page: str = "", **query: object) -> str:
        return ""

    def candidate_path(self, study: str, number: int) -> str:
        return f"#c{number:03}" if number in self._candidates else ""

    def trace_path(self, study: str, owner: str, step: int | None = None) -> str:
        return ""


def segment(study: str) -> str:
    """A study's id as one segment of a path. Settings allow neither `/` nor `~` in an id; a store from elsewhere may have the
    first, which servers decode before they look for a route."""
    return study.replace("/", "~")


def study_of(found: str) -> str:
    """The id that a segment stands for."""
    return found.replace("~", "/")


def last_page(first: int, total: int, step: int) -> int:
    """Where a page of a list begins that is asked for from `first` on: past the end the last page is meant."""
    return first if first < total else max(0, total - 1) // step * step


def to(path: str) -> Markup:
    """The attribute that links to an address; nothing where there is none."""
    return Markup(' href="{}"').format(escape(path)) if path else Markup("")
