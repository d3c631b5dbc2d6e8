"""A small study, what it decided, and what it left behind."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.where import store_at
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process
from tests.support.warm import Running

SETTINGS = (
    "benchmark.limit=4",
    "budget.candidates=1",
    "study.seed=5",
    "gate.alpha=0.49",
    "gate.repeats=1",
    "gate.holdout_repeats=2",
    "sandbox.provider=bubblewrap",
    "sandbox.concurrency=3",
)
"""A study of seconds that has every stage: canaries, baseline, holdout, spot, full run, audit, and a promotion's commit."""


@dataclass(frozen=True)
class Straight:
    """An undisturbed study."""

    pristine: Path
    """Its workspace before anything was run in it."""
    root: Path
    """The same afterwards."""


def run_straight(folder: Path, *settings: str) -> Straight:
    """Run the study once, undisturbed."""
    pristine = make_workspace(folder / "pristine", *settings)
    root = twin(pristine, "straight")
    said = process("optimize", "--quiet", "-C", root)
    assert said.code == 0, said
    decided = [(row.stage, row.kind) for row in StoreReader(root / STORE).decisions("study-1")]
    assert ("full", "promote") in decided
    assert decided[-1] == ("holdout", "pass"), decided  # and so it was: an audit or the sealed tasks may refuse it
    return Straight(pristine, root)


def make_workspace(root: Path, *settings: str) -> Path:
    """A fresh workspace with such a study before it."""
    assert process("init", root).code == 0
    configure(root, *SETTINGS, *settings)
    return root


def twin(pristine: Path, name: str) -> Path:
    """A workspace in which nothing was run yet again, under another name beside it."""
    other = pristine.parent / name
    shutil.copytree(pristine, other, symlinks=True)
    return other


def outcome(root: Path) -> list[Any]:
    """All that a workspace's one study decided, without the times of it, as if its name were `study-1`."""
    reader = StoreReader(store_at(root))
    (study,) = reader.studies()
    made = [(row.id, row.kind, row.reason, row.numbers) for row in reader.decisions(study.id)]
    tried = [
        (row.id, row.state, row.harness, row.title, row.edit, row.touches, preview and _previewed(preview.as_json()))
        for row in reader.candidates(study.id)
        for preview in [reader.preview(row.id)]
    ]
    log = subprocess.run(["git", "log", "--format=%s"], cwd=root, capture_output=True, text=True, check=True)
    found = json.dumps([study.state, study.state_reason, made, tried, log.stdout])
    return list(json.loads(found.replace(study.id, "study-1")))


def _previewed(preview: dict[str, Any]) -> dict[str, Any]:
    """A preview that names planned trials: which attempt at one has the record says how often the study was killed."""
    return preview | {"trials": [[trial.rpartition("/")[0], *rest] for trial, *rest in preview["trials"]]}


def evidence(root: Path) -> dict[str, tuple[Any, ...]]:
    """Every row that tells of an attempt, by table and id: steps counted by their owner."""
    path = root / STORE
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            trials = connection.execute("SELECT id, started, harness, task FROM trial").fetchall()
            steps = connection.execute("SELECT owner, count(*) FROM step GROUP BY owner").fetchall()
            spends = connection.execute("SELECT id, role, owner FROM spend").fetchall()
            chain = connection.execute("SELECT number, hash FROM chain").fetchall()
        except sqlite3.OperationalError:  # killed before its tables were made
            return {}
    found: dict[str, tuple[Any, ...]] = {f"trial {row[0]}": row[1:] for row in trials}
    found |= {f"steps of {owner}": (count,) for owner, count in steps}
    found |= {f"spend {row[0]}": row[1:] for row in spends}
    return found | {f"chain {number}": (sealed,) for number, sealed in chain}


def begun(root: Path) -> int:
    """How many trials have begun."""
    return sum(name.startswith("trial ") for name in evidence(root))


def progress(root: Path) -> int:
    """How far a study is, in steps of its trials and proposals. It never falls, and is cheap to ask for."""
    path = root / STORE
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            (steps,) = connection.execute("SELECT count(*) FROM step").fetchone()
        except sqlite3.OperationalError:  # its tables are being made
            return 0
    return int(steps)


def killed(running: Running, root: Path, after: int, seconds: float) -> None:
    """Kill a study's process once it has made so many steps, and so many seconds more have gone by; unless it has ended.

    In the middle of its steps, not of its seconds: how many of those it takes says what else the machine does.
    """
    while running.poll() is None and progress(root) < after:
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        running.wait(timeout=seconds)
    running.kill()
    running.communicate()


def kept(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> list[str]:
    """What of the evidence is gone, or has changed. Of a proposal's session that goes on there may be more steps."""
    gone = []
    for name, row in before.items():
        now = after.get(name)
        if now is None or (now != row and not (name.startswith("steps of ") and now[0] >= row[0])):
            gone.append(name)
    return gone


def finished(root: Path) -> dict[str, str]:
    """Scored trials, and when each began, which running one again would change."""
    return {
        trial.id: trial.started for trial in StoreReader(root / STORE).trials(limit=None) if trial.state == "scored"
    }


def scored_twice(root: Path) -> list[str]:
    """Planned trials that were run again although they had their score."""
    planned = [trial.planned for trial in StoreReader(root / STORE).trials(limit=None) if trial.state == "scored"]
    return sorted({name for name in planned if planned.count(name) > 1})
