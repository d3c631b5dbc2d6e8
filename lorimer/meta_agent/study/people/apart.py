"""A study that goes on in a process of its own, which outlives whoever started it: a command that returns, or the dashboard."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorimer.errors import LorimerError, UserError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import alive, described, pid_of

START_SECONDS = 60.0
"""How long it is waited for until the process holds the study: 2 seconds, and longer on a loaded machine."""
LOOK_SECONDS = 0.1
COMMAND = "from lorimer.cli import main; main()"


@dataclass(frozen=True)
class Apart:
    """A study that goes on in a process of its own."""

    study: str
    process: int
    output: Path
    """What it says, behind what earlier ones have said."""
    ended: bool = False
    """Whether it is through already: there was nothing left to do."""

    def __str__(self) -> str:
        how = "has gone on to its end" if self.ended else "goes on"
        return f"{self.study} {how} in process {self.process} on this machine; {self.output} has what it says"


def resume(reader: StudyReader, root: Path, study: StudyRow, settings: Sequence[str] = ()) -> Apart:
    """Start `lorimer resume` in a process of its own, on this machine and in this environment, and wait until it holds the study.

    Args:
        settings: `KEY=VALUE`, as `--set` takes them.

    Raises UserError where a process runs the study already. Where the new one ends in an error, raises UserError if it refused
    what it was asked and else LorimerError, with its last line.
    """
    if study.holder and alive(study.holder):
        raise UserError(f"{study.id} is being run by {described(study.holder, study.held_since)} already")
    # A study's name holds no slash, unless another program wrote the store.
    (root / STORE).parent.mkdir(exist_ok=True)  # where the store is elsewhere it may be missing
    output = (root / STORE).with_name(f"resumed-{study.id.replace('/', '~')}.log")
    command = [sys.executable, "-c", COMMAND, "resume", study.id, "-C", str(root.resolve())]
    command += [f"--set={setting}" for setting in settings]
    with output.open("ab") as log:
        before = log.tell()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    # Whoever started it may run for days: a process that nobody has waited for would look alive after its end.
    threading.Thread(target=process.wait, name="lorimer-resumed", daemon=True).start()
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        holder = reader.study(study.id).holder
        if holder and pid_of(holder) == process.pid:
            break
        time.sleep(LOOK_SECONDS)
    if process.poll():
        kind = UserError if process.returncode == UserError.exit_code else LorimerError
        raise kind(f"{study.id} does not go on: {_last_line(output, before)}")
    return Apart(study.id, process.pid, output, ended=process.poll() == 0)


def _last_line(output: Path, before: int) -> str:
    """The last line of what was written behind this place, without the command's name."""
    with output.open("rb") as log:
        log.seek(before)
        lines = log.read().decode(errors="replace").split("\n")
    said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return said.strip().removeprefix("lorimer: ")
