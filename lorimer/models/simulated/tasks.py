"""What the simulated models know: the starter tasks, and how much trouble each of them gives.

A real model has seen something like the task before; this one has the task's own folder: right and wrong solutions, a
careful and a careless look at the inputs, and a check of the output. It reads them as text, on the host; what it uses of
them goes into the commands it sends.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources.abc import Traversable

from lorimer.models.simulated.dice import roll

CONTEXT_WINDOW = 6_000
"""Tokens of the simulated models. Small, so that a careless look at a file of 25 kB already overflows it."""
CHARS_PER_TOKEN = 4
"""The usual rule of thumb; there is no tokenizer here."""


class Flaw(StrEnum):
    """The named weaknesses."""

    GUESSES = "guesses"
    """Writes the solution without a look at the inputs."""
    FORGETS_TO_VERIFY = "forgets_to_verify"
    """Makes a slip and finishes without a check."""
    FORMULAS = "formulas"
    """Writes formulas into a spreadsheet where values are asked."""
    OVERFLOWS = "overflows"
    """Prints a whole large file into its context."""
    TEXT_CALLS = "text_calls"
    """Writes the tool call as text, in a form that not every harness reads."""


class SolutionScript(StrEnum):
    """Files of a task's `solution` folder."""

    SOLVE = "solve.py"
    GUESS = "slips/guess.py"
    SLIP = "slips/slip.py"
    FORMULA = "slips/formula.py"
    LOOK = "look.sh"
    FLOOD = "flood.sh"
    CHECK = "check.sh"


MAIN = 0.97
"""How often a task's main trouble bites, unguided; the task's own figure lies up to 0.1 below."""
MINOR = {
    Flaw.GUESSES: 0.03,
    Flaw.FORGETS_TO_VERIFY: 0.03,
    Flaw.FORMULAS: 0.05,
    Flaw.OVERFLOWS: 0.04,
    Flaw.TEXT_CALLS: 0.01,
}
"""How often the other flaws bite, where the task invites them at all."""
HARD = 0.95
"""Share of trials of a hard task that go wrong whatever the harness says; calibrated with MAIN, MINOR and SHARES
so that the seed harness solves 0.35 to 0.5 of the starter tasks and one with every cure 0.85 to 0.9."""
EASY_MISS = 0.02
"""The same for all other tasks."""
SHARES = {
    Flaw.FORMULAS: 0.07,
    Flaw.OVERFLOWS: 0.10,
    Flaw.GUESSES: 0.175,
    Flaw.FORGETS_TO_VERIFY: 0.15,
    Flaw.TEXT_CALLS: 0.10,
}
"""Share of the tasks whose main trouble each flaw is, as far as that many tasks invite it. The others are easy, but for…"""
HARD_SHARE = 0.05
"""…these, which it nearly never solves."""


@dataclass(frozen=True)
class KnownTask:
    """A task as the model remembers it."""

    id: str
    instruction: str
    scripts: Mapping[SolutionScript, str]
    large: bool = False
    """Its inputs, printed whole, fill the context."""
    chances: Mapping[Flaw, float] = field(default_factory=dict)
    """How often each flaw bites here when nothing in the request holds it back."""
    miss: float = EASY_MISS
    """How often the model goes wrong here for no reason that a harness could mend."""

    @property
    def opening(self) -> str:
        """The instruction's first line, by which the task is known again."""
        return _opening(self.instruction)


@functools.lru_cache(maxsize=1)
def starter_tasks() -> tuple[KnownTask, ...]:
    """The starter tasks with their troubles, in order of id. Folders without the needed files are left out."""
    root = importlib.resources.files("lorimer") / "benchmarks" / "starter" / "tasks"
    if not root.is_dir():
        return ()
    folders = sorted((folder for folder in root.iterdir() if folder.is_dir()), key=lambda folder: folder.name)
    return deal([task for folder in folders if (task := read_task(folder)) is not None])


def read_task(folder: Traversable) -> KnownTask | None:
    """One task's folder as the model remembers it, without troubles; `None` where it has no solution to remember."""
    solution = folder / "solution"
    scripts = {}
    for script in SolutionScript:
        file = solution.joinpath(*script.value.split("/"))
        if file.is_file():
            scripts[script] = file.read_text(encoding="utf-8").strip("\n")
    instruction = folder / "instruction.md"
    if SolutionScript.SOLVE not in scripts or not instruction.is_file():
        return None
    text = instruction.read_text(encoding="utf-8")
    if not text.strip():
        return None
    size = _text_bytes(folder / "environment" / "workspace")
    return KnownTask(folder.name, text, scripts, large=size > CONTEXT_WINDOW * CHARS_PER_TOKEN)


def deal(tasks: Sequence[KnownTask]) -> tuple[KnownTask, ...]:
    """`tasks` with their troubles. A trouble is a task's own: the same for every seed, harness and repeat."""
    order = sorted(tasks, key=lambda task: roll("deal", task.id))
    dealt: dict[str, KnownTask] = {}
    for flaw, share in SHARES.items():
        wanted = round(share * len(order))
        inviting = [task for task in order if task.id not in dealt and _invites(task, flaw)]
        for task in inviting[:wanted]:
            dealt[task.id] = _troubled(task, flaw, EASY_MISS)
    rest = [task for task in order if task.id not in dealt]
    for place, task in enumerate(rest):
        hard = place < round(HARD_SHARE * len(order))
        dealt[task.id] = _troubled(task, None, HARD if hard else EASY_MISS)
    return tuple(dealt[task.id] for task in tasks)


def _invites(task: KnownTask, flaw: Flaw) -> bool:
    """Whether the task's folder has what the flaw needs."""
    return {
        Flaw.GUESSES: SolutionScript.GUESS in task.scripts,
        Flaw.FORGETS_TO_VERIFY: SolutionScript.SLIP in task.scripts,
        Flaw.FORMULAS: SolutionScript.FORMULA in task.scripts,
        Flaw.OVERFLOWS: SolutionScript.FLOOD in task.scripts and task.large,
        Flaw.TEXT_CALLS: True,
    }[flaw]


def _troubled(task: KnownTask, main: Flaw | None, miss: float) -> KnownTask:
    chances = {flaw: MINOR[flaw] if _invites(task, flaw) else 0.0 for flaw in Flaw}
    if main is not None:
        chances[main] = MAIN - 0.1 * roll("trouble", task.id)
    return replace(task, chances=chances, miss=miss)


def recognise(text: str, tasks: Sequence[KnownTask]) -> KnownTask | None:
    """The task whose instruction `text` holds; of several the one whose opening is longest."""
    flat = " ".join(text.split())
    found = [task for task in tasks if _opening(task.instruction) in flat]
    return max(found, key=lambda task: (len(task.opening), task.id), default=None)


@functools.lru_cache(maxsize=4096)
def _opening(instruction: str) -> str:
    return " ".join(instruction.strip().splitlines()[0].split())


def _text_bytes(folder: Traversable) -> int:
    """Size of the inputs that a careless `cat` would print; workbooks and other packed files do not print so."""
    if not folder.is_dir():
        return 0
    total = 0
    for item in folder.iterdir():
        if item.is_dir():
            total += _text_bytes(item)
        elif not item.name.endswith((".xlsx", ".zip", ".gz")):
            total += len(item.read_bytes())
    return total
