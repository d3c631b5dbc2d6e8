"""Where the user is: the workspace around a folder, and the commands that a message names as they work from here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from lorimer.wording import visible

_COMMAND = re.compile(r"`lorimer ([a-z][^`]*)`")

MARKS = ("lorimer.toml", ".lorimer")
"""What a workspace holds: its settings, and the folder of its trace store."""


def find_workspace(folder: Path) -> Path:
    """The workspace that `folder` lies in: itself or the nearest folder above it, as git looks for its repository.

    Where none of them is a workspace, `folder` itself: the command then says what is missing there.
    """
    here = folder.resolve()
    return next(
        (folder if each == here else each for each in (here, *here.parents) if any((each / m).exists() for m in MARKS)),
        folder,
    )


def from_here(text: str, workspace: Path | None) -> str:
    """`text` with the workspace in each command that it names, where the current folder does not lie in it.

    So `` `lorimer resume study-1` `` becomes `` `lorimer resume study-1 -C demo` ``. Messages are written, and some stored, as
    for somebody in the workspace's own folder. Where no workspace is known (`None`) the commands stay as they are. Titles and
    details in it are models' and harnesses' words, so what a terminal would obey is shown as an escape.
    """
    text = visible(text)
    if workspace is None or workspace.resolve() == find_workspace(Path()).resolve():
        return text
    folder = shlex.quote(str(workspace))

    def named(found: re.Match[str]) -> str:
        command = found[1]
        words = command.split()
        if words == ["init"]:
            return f"`lorimer init {folder}`"
        if words[0] in ("init", "demo") or {"-C", "--workspace", "--help"} & set(words):
            return found[0]
        return f"`lorimer {command} -C {folder}`"

    return _COMMAND.sub(named, text)
