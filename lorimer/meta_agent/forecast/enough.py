"""Whether a champion's trials are enough to forecast a study from, and what they lack. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lorimer.wording import count

FEWEST_TASKS = 8
"""Tasks with a trial (or the whole suite, where it is smaller) under which those without are not known from those with."""
FEWEST_TRIALS = 24
"""Scored trials. Measured on six made suites of 28 tasks, from bimodal to flat: with 3 trials of 8 tasks the noise that
`panel` finds lies within a third of the true one in 76 to 99 of 100 samples, with 3 trials of 5 tasks in 68 to 96, with one trial
of 5 tasks in 13 to 95. Suites of 2 to 6 tasks tried whole get there with 24 trials too (65 to 100)."""
SURE = 0.95


@dataclass(frozen=True)
class Lacking:
    """Why noise, false promotions, gains and what follows from them are not known."""

    kind: Literal["few", "alike"]
    """`few` trials, or trials that are all `alike`."""
    said: str
    tasks: int
    """Those with a scored trial."""
    trials: int
    """Scored ones."""
    needs_tasks: int
    needs_trials: int
    remedy: str
    """What to do; commands stand in backticks."""


def needed(tasks: int) -> tuple[int, int]:
    """Tasks of a suite of so many that a forecast takes, and trials of each."""
    wanted = min(FEWEST_TASKS, tasks)
    return wanted, math.ceil(FEWEST_TRIALS / max(1, wanted))


def lacking(seen: Mapping[str, tuple[float, ...]], more: str = "", study: str = "") -> Lacking | None:
    """What the scored rewards of a suite's tasks lack; `None` where they are enough.

    Args:
        seen: each train task's rewards; a task may have none.
        more: the command that gets enough of them.
        study: whose trials they are; the latest's where it is not said.
    """
    tried = [rewards for rewards in seen.values() if rewards]
    trials, tasks = sum(map(len, tried)), len(tried)
    wanted, each = needed(len(seen))
    of = f"{count(trials, 'trial')} of {tasks} of {count(len(seen), 'train task')}"
    if tasks < wanted or trials < FEWEST_TRIALS:
        said = (
            f"{of} {'is' if trials == 1 else 'are'} too few to tell; it takes {FEWEST_TRIALS} scored trials or more, of "
            f"{'every task' if wanted == len(seen) else f'{wanted} tasks or more'}"
        )
        command = more or f"`lorimer run --repeats {each}`"
        return Lacking("few", said, tasks, trials, wanted, FEWEST_TRIALS, f"run: {command}, then `lorimer power`")
    values = {reward for rewards in tried for reward in rewards}
    if len(values) > 1:
        return None
    (value,) = values
    said = f"all {of} scored {value:g}, so by how much a score varies is not known"
    if value in (0.0, 1.0):
        # Exact and binomial. Trials of one task are alike, so tasks are counted; equal rates give the largest noise.
        rate = 1 - (1 - SURE) ** (1 / tasks)
        said += f" ({SURE:.0%} sure: by less than {100 * math.sqrt(rate * (1 - rate) / len(seen)):.1f} points)"
    listing = f"lorimer traces ls --study {study}" if study else "lorimer traces ls"
    remedy = {
        0.0: f"`{listing} --failed` lists what to look at; a forecast takes a harness or a model that solves some",
        1.0: "add harder tasks: the harness solves these",
    }.get(value, f"a forecast takes trials that differ: `{listing}` lists these")
    return Lacking("alike", said, tasks, trials, wanted, FEWEST_TRIALS, remedy)
