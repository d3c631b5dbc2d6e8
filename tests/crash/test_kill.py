"""`kill -9` at any moment, then `lorimer resume`: the same decisions, no trial twice, nothing left, nothing lost."""

from __future__ import annotations

import random

import pytest

from tests.cli.support import process, start
from tests.cli.test_stopping import left_behind
from tests.crash.support import Straight, evidence, finished, kept, killed, outcome, progress, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap]

RUNS = 50


@pytest.mark.parametrize("seed", range(RUNS))
@pytest.mark.timeout(1800)
def test_killed_at_a_random_moment_it_ends_the_same(straight: Straight, seed: int) -> None:
    dice = random.Random(seed)
    root = twin(straight.pristine, f"killed-{seed}")
    temp = root.parent / f"temp-{seed}"
    temp.mkdir()
    command = ["optimize"]
    before: dict[str, tuple[object, ...]] = {}
    done: dict[str, str] = {}
    steps = progress(straight.root)
    for _ in range(dice.choice((1, 1, 2))):
        running = start(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
        # From before there is a store to after the last trial.
        killed(running, root, dice.randint(0, steps), dice.uniform(0, 1))
        assert not kept(before, evidence(root))
        before = evidence(root)
        if any(name.startswith("chain ") for name in before):  # the study is in the store
            command = ["resume"]
            done |= finished(root)
    said = process(*command, "--quiet", "-C", root, environment={"TMPDIR": str(temp)})
    assert said.code == 0, said
    assert outcome(root) == outcome(straight.root)
    assert not kept(before, evidence(root))
    assert done.items() <= finished(root).items()
    assert scored_twice(root) == []
    assert left_behind(temp) == []
    assert process("verify", "-C", root).code == 0
