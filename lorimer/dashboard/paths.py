"""The address of every page: the one place where they are put together. Pure."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def study_path(study: str, page: str = "", **query: object) -> str:
    """A page of a study; those of the query that are `None` are left out."""
    path = f"/s/{quote(study, safe='')}" + (f"/{page}" if page else "")
    asked = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(asked)}" if asked else path


def candidate_path(study: str, number: int) -> str:
    """A candidate's page."""
    return study_path(study, f"c/{number}")


def trace_path(study: str, owner: str, step: int | None = None) -> str:
    """The trajectory of a trial or of a candidate's proposal session, at a step."""
    return study_path(study, "trace", of=owner, at=step) + ("" if step is None else f"#step-{step}")
