"""The tasks of a made benchmark, and how often a harness solves each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import dice as suites


def write_tasks(folder: Path, tasks: int) -> None:
    """A data set in Harbor's layout."""
    for number in range(tasks):
        task = folder / f"repair-module-{number:03}"
        for name, text in {
            "task.toml": '[metadata]\ndifficulty = "medium"\ncategory = "code"\n[agent]\ntimeout_sec = 600.0\n',
            "instruction.md": f"Module {number} of the service in /app loses records. Find out why, and repair it.\n"
            * 3,
            "environment/Dockerfile": "FROM debian:bookworm\nWORKDIR /app\n",
            "tests/test.sh": f"test -f /app/repaired-{number} && echo 1 > /logs/verifier/reward.txt\n",
            "solution/solve.sh": f"touch /app/repaired-{number}\n",
        }.items():
            path = task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def chances_of(tasks: Sequence[str], dice: random.Random) -> dict[str, float]:
    """Each task's chance to be solved: 45 of 100 tasks are stable, 40 flaky, with rates from 0.1 to 0.9, and 15 never solved."""
    found = {}
    for place, name in enumerate(dice.sample(tasks, len(tasks))):
        share = place / len(tasks)
        found[name] = 0.95 if share < 0.45 else 0.1 + 2 * (share - 0.45) if share < 0.85 else 0.0
    return found


def edited(chances: Mapping[str, float], gain: float, dice: random.Random) -> dict[str, float]:
    """After an edit that changes their mean by `gain`."""
    return dict(zip(chances, suites.edited(list(chances.values()), gain, dice), strict=True))
