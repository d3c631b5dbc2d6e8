"""What `lorimer doctor` finds, and how it says it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorimer.config.settings import FILE_NAME
from lorimer.errors import LorimerError, PrerequisiteError, UserError

Level = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `missing` stops lorimer here; `warning` does not."""

    what: str
    level: Level
    said: str
    """One line."""
    fix: str = ""
    """A command, or an exact edit; there is one wherever the level is not `ok`."""


def text(findings: Sequence[Finding]) -> str:
    """Findings for people, a line each and its fix below."""
    marks = {"ok": "ok     ", "warning": "warning", "missing": "MISSING"}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.level]}  {finding.what:12} {finding.said}")
        if finding.fix:
            lines.append(f"         {'':12} -> {finding.fix}")
    return "\n".join(lines)


def failed(what: str, error: LorimerError, fix: str, level: Level = "missing") -> Finding:
    """What an exception says, with its own fix where it has one, else `fix`."""
    if isinstance(error, UserError | PrerequisiteError) and error.fix:
        return Finding(what, level, one_line(error.problem), one_line(error.fix))
    return Finding(what, level, one_line(str(error)), fix)


def one_line(words: str) -> str:
    return " ".join(words.split())


def command(root: Path, *words: str) -> str:
    """A `lorimer` command for the workspace in `root`, to be typed where the user stands."""
    return shlex.join(["lorimer", *words, *([] if root == Path() else ["-C", str(root)])])


def by_hand(root: Path, what: str) -> str:
    """What nobody but the user can put right, and the command that says whether that is done."""
    return f"{what}, then: {command(root, 'doctor', '--offline')}"


def edit(root: Path, table: str, *lines: str) -> str:
    """What to write into lorimer.toml."""
    return f"in {root / FILE_NAME}, [{table}]: {', '.join(lines)}"
