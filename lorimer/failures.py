"""What went wrong, as one line for the user and an exit code."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

import typer

from lorimer.errors import InternalError, LorimerError

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for an unknown command or option and for a missing or wrong value. It has no public name of its own,
and in older typers it is click's."""


@dataclass(frozen=True)
class Failure:
    """An exception as the user sees it."""

    said: str
    """One line: what is wrong, where, and what to do."""
    exit_code: int
    help: str = ""
    """A help page to print instead: a group of commands was named without one of them."""


def explain(error: Exception) -> Failure:
    """Any exception as a Failure.

    An operating system error that names a file (no permission, disk full) is the machine's; whatever else is not of the tree
    in `errors` is our bug, and says so with where it happened.
    """
    if isinstance(error, USAGE_ERROR):
        return _usage(error)
    if isinstance(error, LorimerError) and not isinstance(error, InternalError):
        return Failure(_line(str(error) or type(error).__name__), error.exit_code)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(_line(f"{error.filename}: {error.strerror}"), 1)
    said = f"this is a bug in lorimer: {type(error).__name__}: {error} ({_where(error)})"
    return Failure(f"{_line(said)}; the same command with --debug shows the traceback", 1)


def traceback_text(error: BaseException) -> str:
    """The whole traceback, secrets masked."""
    return _masked("".join(traceback.format_exception(error)))


def _masked(text: str) -> str:
    from lorimer.keys import secrets_of_environment
    from lorimer.traces.scrub import scrubber

    return scrubber(secrets_of_environment())(text)


def _usage(error: Exception) -> Failure:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure("", 0, help=str(error))
    words: str = getattr(error, "format_message", error.__str__)()
    words = words.replace("Value error, ", "").strip().rstrip(".")
    path = context.command_path if context is not None else "lorimer"
    return Failure(_line(f"{words[:1].lower()}{words[1:]}; see `{path} --help`".replace("?; see", "? See")), 2)


def _where(error: BaseException) -> str:
    """`file.py:12` of the innermost frame in lorimer's own code, else of the innermost."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if str(Path(__file__).parent) in frame.filename]
    if not frames:
        return "no traceback"
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _line(text: str) -> str:
    return _masked(" ".join(text.split()))
