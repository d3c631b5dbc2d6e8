"""Targets by name, and the writing of their files."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from lorimer.errors import UserError
from lorimer.exports import targets
from lorimer.exports.winner import Winner
from lorimer.meta_agent.reports.evidence import in_short
from lorimer.meta_agent.reports.export import CARD, EVIDENCE, free, put
from lorimer.wording import first_names

NAMED = 5
"""Files named that were there before."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    folder: Path
    files: tuple[str, ...]
    winner: str
    sha: str
    """SHA-256 of the harness's text."""
    in_short: tuple[str, ...] = ()
    """What the evidence says first of all, a line each."""
    said: tuple[str, ...] = ()
    """What the target did beside its files, and what is left to the user; a line each."""


def names() -> list[str]:
    """The targets that there are."""
    return sorted(each.name for each in pkgutil.iter_modules(targets.__path__))


def files(winner: Winner, target: str) -> dict[str, bytes]:
    """A target's files with the evidence, by path. Raises UserError for an unknown target."""
    if target not in names():
        raise UserError(f"--to {target}: no such target", f"one of {', '.join(names())}")
    make: Callable[[Winner], Mapping[str, bytes]] = _module(target).files
    evidence = {CARD: winner.card.encode(), EVIDENCE: winner.evidence.to_json().encode()}
    return {**make(winner), **evidence}


def write(winner: Winner, target: str, folder: Path, *, root: Path | None = None, force: bool = False) -> Written:
    """Write a target's files and no others, and do what else it does, in the workspace at `root`.

    Raises UserError where a file is there and `force` is not set, and as the target does; nothing is written or done then.
    """
    made = files(winner, target)
    free(folder, made, force=force)
    left = _left(folder, made)
    place: Callable[[Winner, Path, Path, bool], tuple[str, ...]] | None = getattr(_module(target), "place", None)
    said = place(winner, root or Path(), folder, force) if place else ()
    put(folder, made, force=force)
    found = winner.evidence
    return Written(folder, tuple(made), found.winner, found.harness, in_short(found), (*said, *left))


def _left(folder: Path, made: Mapping[str, bytes]) -> tuple[str, ...]:
    """A line for the user where an earlier export's folder holds files that this one does not replace."""
    if not (folder / EVIDENCE).is_file():
        return ()
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    # A repository's own files, and what Python compiled, are nobody's export.
    told = (
        path.as_posix() for path in found if not any(part[0] == "." or part == "__pycache__" for part in path.parts)
    )
    others = sorted(name for name in told if name not in made)
    return (f"{folder} also holds what is not of this export: {first_names(others, NAMED)}",) if others else ()


def _module(target: str) -> ModuleType:
    return import_module(f"{targets.__name__}.{target}")
