"""`kill -9` at any moment, then `lorimer resume`: the same decisions, no trial twice, nothing left, nothing lost."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.support import process, start
from tests.cli.test_stopping import left_behind
from tests.crash.support import evidence, finished, kept, make_workspace, outcome, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap]

BLOCKS, RUNS = 10, 5
"""Fifty runs, in blocks so that each stays under a test's time limit."""


@pytest.fixture(scope="module")
def straight(bubblewrap: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An undisturbed study, and the seconds that it took."""
    root = make_workspace(tmp_path_factory.mktemp("kill") / "straight")
    began = time.monotonic()
    said = process("optimize", "--quiet", "-C", root)
    assert said.code == 0, said
    return root, time.monotonic() - began


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.timeout(900)
def test_killed_at_a_random_moment_it_ends_the_same(straight: tuple[Path, float], block: int) -> None:
    reference, seconds = straight
    for seed in range(block * RUNS, (block + 1) * RUNS):
        dice = random.Random(seed)
        root = twin(reference, f"killed-{seed}")
        subprocess.run(["git", "reset", "-q", "--hard", first_commit(root)], cwd=root, check=True)
        temp = root.parent / f"temp-{seed}"
        temp.mkdir()
        command = ["optimize"]
        before: dict[str, tuple[object, ...]] = {}
        done: dict[str, str] = {}
        for _ in range(dice.choice((1, 1, 2))):
            running = start(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
            try:
                running.wait(timeout=dice.uniform(0.3, seconds))
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
            running.communicate(timeout=60)
            assert not kept(before, evidence(root)), seed
            before = evidence(root)
            if any(name.startswith("chain ") for name in before):  # the study is in the store
                command = ["resume"]
                done |= finished(root)
        said = process(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
        assert said.code == 0, (seed, said)
        assert outcome(root) == outcome(reference), seed
        assert not kept(before, evidence(root)), seed
        assert done.items() <= finished(root).items(), seed
        assert scored_twice(root) == [], seed
        assert left_behind(temp) == [], seed
        assert process("verify", "-C", root).code == 0, seed


def first_commit(root: Path) -> str:
    command = ["git", "rev-list", "--max-parents=0", "HEAD"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
