"""`lorimer ab` is killed before each of its writes in turn: what is in the store then can always be gone on with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import process
from tests.crash.support import finished, make_workspace, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap, pytest.mark.timeout(900)]

DIES = """
import os, re, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine

from lorimer.cli import main

pattern, left = re.compile(sys.argv.pop(1)), int(sys.argv.pop(1))

def seen(text):
    global left
    left -= pattern.match(text) is not None
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "commit", lambda connection: seen("COMMIT"))
event.listen(Engine, "before_cursor_execute", lambda connection, cursor, statement, *rest: seen(statement))
main()
"""
"""The command, killed before the n-th statement that begins as a pattern says. A commit comes before what it makes true."""

BEGINNING = 11
"""Commits until trials are under way: the store's tables, the study with both files, who holds it, the plan."""
WRITES = [
    *(("COMMIT", number) for number in range(1, BEGINNING + 1)),
    ("INSERT INTO decision", 1),
    ("UPDATE candidate", 1),
    ("UPDATE study SET state=", 2),
]
NOTHING = "def solve(task, env, llm):\n    return ''\n"
EXPERT = ("models.task=simulated/expert", "gate.max_cost_increase=none")


@pytest.fixture(scope="module")
def straight(bubblewrap: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a comparison went undisturbed; `pristine` beside it is as it was before."""
    pristine = make_workspace(tmp_path_factory.mktemp("ab") / "pristine", *EXPERT)
    (pristine / "a.py").write_text(NOTHING)
    root = twin(pristine, "straight")
    assert process(*asked(root)).code == 0
    return root


def asked(root: Path) -> tuple[object, ...]:
    return ("ab", root / "a.py", root / "harness" / "agent.py", "-C", root, "--yes", "--quiet")


def came_to(root: Path) -> object:
    """What the comparison decided, and the state in which it left its study and its candidate."""
    reader = StoreReader(root / STORE)
    (study,), (candidate,) = reader.studies(), reader.candidates("ab-1")
    decisions = [(row.id, row.kind, row.reason, row.numbers) for row in reader.decisions("ab-1")]
    return study.state, study.state_reason, candidate.state, candidate.harness, decisions


def begun(root: Path) -> bool:
    """Whether the study is in the store."""
    return (root / STORE).is_file() and "ab-1" in process("studies", "-C", root).out


@pytest.mark.parametrize(("pattern", "number"), WRITES)
def test_a_comparison_killed_before_any_write_can_be_gone_on_with(straight: Path, pattern: str, number: int) -> None:
    root = straight.parent / f"killed-{pattern.split()[0]}-{pattern.split()[-1]}-{number}"
    shutil.copytree(straight.parent / "pristine", root, symlinks=True)
    died = subprocess.run(
        [sys.executable, "-c", DIES, pattern, str(number), *map(str, asked(root))], capture_output=True, check=False
    )
    assert died.returncode < 0, "it came to its end before that write"
    there = begun(root)
    before = finished(root) if there else {}
    again = process("resume", "--quiet", "-C", root) if there else process(*asked(root))
    assert again.code == 0, again
    assert came_to(root) == came_to(straight)
    assert before.items() <= finished(root).items()
    assert scored_twice(root) == []
    assert process("verify", "-C", root).code == 0


def test_a_comparison_that_was_won_says_so_of_its_candidate(straight: Path) -> None:
    assert came_to(straight)[2] == "better"  # type: ignore[index]
