"""What a jail's program imports, said before it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preload:
    """Modules that a jail's program will import.

    A provider may fork the jail from a process that has imported them, and then the program gets those; it may as well do nothing
    with them. So the program brings the same files along.
    """

    files: tuple[tuple[str, str], ...] = ()
    """Path and text of Python files, where the standard library has not all of `modules`."""
    modules: tuple[str, ...] = ()


NOTHING = Preload()
