"""`kill -9` at any moment, then `lorimer resume`: the same decisions, no trial twice, nothing left, nothing lost."""

from __future__ import annotations

import random
import signal
import subprocess

import pytest

from tests.cli.support import process, start
from tests.cli.test_stopping import left_behind
from tests.crash.support import Straight, evidence, finished, kept, outcome, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap]

BLOCKS, RUNS = 10, 5
"""Fifty runs, in blocks so that each stays under a test's time limit."""


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.timeout(3600)
def test_killed_at_a_random_moment_it_ends_the_same(straight: Straight, block: int) -> None:
    for seed in range(block * RUNS, (block + 1) * RUNS):
        dice = random.Random(seed)
        root = twin(straight.pristine, f"killed-{seed}")
        temp = root.parent / f"temp-{seed}"
        temp.mkdir()
        command = ["optimize"]
        before: dict[str, tuple[object, ...]] = {}
        done: dict[str, str] = {}
        for _ in range(dice.choice((1, 1, 2))):
            running = start(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
            try:
                running.wait(timeout=dice.uniform(0.3, straight.seconds))
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
            running.communicate(timeout=200)
            assert not kept(before, evidence(root)), seed
            before = evidence(root)
            if any(name.startswith("chain ") for name in before):  # the study is in the store
                command = ["resume"]
                done |= finished(root)
        said = process(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
        assert said.code == 0, (seed, said)
        assert outcome(root) == outcome(straight.root), seed
        assert not kept(before, evidence(root)), seed
        assert done.items() <= finished(root).items(), seed
        assert scored_twice(root) == [], seed
        assert left_behind(temp) == [], seed
        assert process("verify", "-C", root).code == 0, seed
