"""Where trajectories are written: files that appear when they are whole, and targets by name."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, TextIO, cast

from lorimer.errors import UserError
from lorimer.exports import traces
from lorimer.exports.trajectories import Selection, TrialTrace, chosen, read
from lorimer.traces.base import StudyReader


@dataclass(frozen=True)
class Wrote:
    """What a target wrote."""

    trials: int
    said: str
    """What people are told, such as `282 files`."""


class Target(Protocol):
    """A file of `exports.traces`."""

    PLACE: str
    """Where it writes when nothing is said."""

    @staticmethod
    def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
        """Write trajectories as they come.

        Raises UserError where something is there already and `force` is not set, or where it cannot be written; PrerequisiteError
        where a package is missing.
        """
        ...


@dataclass(frozen=True)
class ExportedTrajectories:
    """What an export did."""

    study: str
    to: str
    place: str
    trials: int
    said: str
    sealed: int
    """Trials of sealed tasks that were left out, as the study has not finished."""
    dropped: int
    """Others that were left out, as their steps were dropped."""


def names() -> list[str]:
    """The targets that there are."""
    return sorted(each.name for each in pkgutil.iter_modules(traces.__path__))


def export(
    reader: StudyReader, selection: Selection, to: str, place: str | None = None, *, force: bool = False
) -> ExportedTrajectories:
    """Write the trajectories of a selection. Nothing but the trial under way is held in memory.

    Args:
        to: a name of `names`.
        place: a file, a folder or an address, as the target takes it.

    Raises UserError, PrerequisiteError, LorimerError.
    """
    if to not in names():
        raise UserError(f"--to {to}: no such target", f"one of {', '.join(names())}")
    if place == "-":
        raise UserError("-o -: trajectories go to a file, a folder or an address", "name one")
    target = cast(Target, import_module(f"{traces.__name__}.{to}"))
    found, where = chosen(reader, selection), place or target.PLACE
    wrote = target.write(read(reader, selection.study, found.ids), where, force=force)
    return ExportedTrajectories(selection.study.id, to, where, wrote.trials, wrote.said, found.sealed, found.dropped)


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """A text file that takes its name when it is whole; what went wrong leaves nothing. Raises UserError."""
    free(path, force=force)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # it has its name, or could not be made
            part.unlink()


def free(path: Path, *, force: bool) -> None:
    """Raises UserError where something is there and `force` is not set."""
    if not force and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path}: exists already; name another place with -o, or overwrite it with --force")
