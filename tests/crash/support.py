"""A small study, what it decided, and what it left behind."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from lorimer.meta_agent.setup import STORE
from lorimer.traces.query import Query
from tests.cli.support import configure, process

SETTINGS = (
    "benchmark.limit=6",
    "budget.candidates=2",
    "study.seed=3",
    "gate.alpha=0.4",
    "gate.repeats=1",
    "sandbox.provider=bubblewrap",
    "sandbox.concurrency=3",
)


def make_workspace(root: Path, *settings: str) -> Path:
    """A fresh workspace with a study of seconds before it."""
    assert process("init", root).code == 0
    configure(root, *SETTINGS, *settings)
    return root


def twin(root: Path, name: str) -> Path:
    """The same workspace again, under another name, with nothing run in it."""
    other = root.parent / name
    subprocess.run(["cp", "-a", str(root), str(other)], check=True)
    shutil.rmtree(other / ".lorimer", ignore_errors=True)
    return other


def outcome(root: Path) -> list[Any]:
    """All that a study decided, without the times of it."""
    query = Query(root / STORE)
    study = query.study("study-1")
    made = [(row.id, row.kind, row.reason, row.numbers) for row in query.decisions("study-1")]
    tried = [(row.id, row.state, row.harness, row.title, row.edit) for row in query.candidates("study-1")]
    log = subprocess.run(["git", "log", "--format=%s"], cwd=root, capture_output=True, text=True, check=True)
    return [study.state, study.state_reason, made, tried, log.stdout]


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
    return {trial.id: trial.started for trial in Query(root / STORE).trials(limit=None) if trial.state == "scored"}


def scored_twice(root: Path) -> list[str]:
    """Planned trials that were run again although they had their score."""
    planned = [trial.planned for trial in Query(root / STORE).trials(limit=None) if trial.state == "scored"]
    return sorted({name for name in planned if planned.count(name) > 1})
