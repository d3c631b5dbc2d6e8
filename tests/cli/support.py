"""Commands as a user types them: in this process where only words are read, as processes of their own where it matters."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import termios
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorimer.cli import call, guarded
from tests.support import warm
from tests.support.warm import Running

LORIMER = (sys.executable, "-c", "from lorimer.cli import main; main()")
"""The command, with no need of a PATH."""

SMALL = (
    "benchmark.limit=4", "gate.policy=paired", "gate.repeats=1", "gate.holdout_repeats=2", "budget.candidates=1",
    "sandbox.provider=bubblewrap", "study.seed=1",
)  # fmt: skip
"""Settings of a study that takes seconds."""


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def typed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    """Run a command in this process."""
    capsys.readouterr()
    code = guarded(lambda: call([str(argument) for argument in arguments]))
    out, err = capsys.readouterr()
    return Said(code, out, err)


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """Run a command that must fail: its one line on stderr."""
    said = typed(capsys, *arguments)
    assert said.code == code, said
    assert said.err.startswith("lorimer: ")
    assert said.err.count("\n") == 1, said.err
    assert said.out == ""
    return said.err.strip()


def start(*arguments: object, environment: Mapping[str, str] | None = None) -> Running:
    """A process of its own, in a session of its own, so that a signal reaches it alone."""
    whole = {**os.environ, **(environment or {})}
    if warm.starts_alike(whole):
        return warm.run([*map(str, arguments)], whole)
    return subprocess.Popen(
        [*LORIMER, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=whole,
        start_new_session=True,
    )


def start_in_terminal(inside: int, *arguments: object, environment: Mapping[str, str] | None = None) -> Running:
    """A process of its own that leads the session of a terminal, of which this is the inner end; it stays open here."""
    whole = {**os.environ, "TERM": "xterm", **(environment or {})}
    if warm.starts_alike(whole):
        return warm.run_in_terminal([*map(str, arguments)], whole, inside)
    return subprocess.Popen(
        [*LORIMER, *map(str, arguments)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        text=True,
        env=whole,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )


def process(*arguments: object, environment: Mapping[str, str] | None = None) -> Said:
    """Run a command to its end in a process of its own. A test's own time limit ends one that hangs."""
    running = start(*arguments, environment=environment)
    try:
        out, err = running.communicate()
    except BaseException:
        running.kill()
        running.communicate()
        raise
    return Said(running.returncode, out, err)


def configure(workspace: Path, *settings: str) -> None:
    """Write settings into a workspace's lorimer.toml for good."""
    path = workspace / "lorimer.toml"
    tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text())
    for setting in settings:
        key, _, value = setting.partition("=")
        table, _, name = key.partition(".")
        tables.setdefault(table, {})[name] = json.loads(value) if value[0].isdigit() else value
    text = ""
    for table, values in tables.items():
        text += f"[{table}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    path.write_text(text)
