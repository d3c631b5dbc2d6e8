"""What the sealed tasks veto: a candidate that is worse there, and a gain that does not carry over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.transfer import VETO, Met, carried, not_carried, sealed_verdict, sentence
from lorimer.meta_agent.gate.verdicts import too_errored
from lorimer.terminal import listing
from lorimer.traces.schema import PlannedTrial
from tests.meta_agent.test_champion import decisions
from tests.meta_agent.test_loop import HOLDOUT, Bench, config, make_bench, run, script

POLICY = Policy()
Arm = list[Result]


def arm(side: str, *rewards: Sequence[float | None]) -> Arm:
    return [Result(f"{side}{task}", reward) for task, own in enumerate(rewards) for reward in own]


def verdict(mine: Arm, theirs: Arm, train: tuple[Arm, Arm] = ([], []), query: int = 1) -> Decision:
    met = Met(train, (mine, theirs))
    return sealed_verdict(Evidence(mine, theirs, [each.task for each in mine]), POLICY, met, met, query)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def test_what_is_worse_than_the_margin_is_vetoed() -> None:
    champion = arm("h", *[(1, 0)] * 10)
    within = verdict(arm("h", *[(1, 0)] * 8, *[(0, 0)] * 2), champion)
    beyond = verdict(arm("h", *[(1, 0)] * 7, *[(0, 0)] * 3), champion, query=2)
    assert within.kind == "pass"
    assert beyond.kind == "reject"
    assert beyond.reason == (
        "vetoed: 7/20 against 10/20 on the holdout, a difference of -0.150, allowed down to -0.100"
    )
    assert sentence(beyond, 2) == (
        "vetoed by the sealed holdout: worse than the champion by more than the 0.1 that is allowed (query 2 of the holdout)"
    )


def test_a_gain_that_is_not_there_is_vetoed() -> None:
    train = (arm("t", *[(1, 1)] * 20), arm("t", *[(1, 0)] * 10, *[(1, 1)] * 10))
    same = arm("h", *[(1, 0)] * 12)
    found = verdict(same, same, train)
    assert found.kind == "reject"
    assert found.reason == (
        "vetoed: +0.250 over the champion on train tasks and +0.000 on the holdout: 0.250 did not carry over, which is more than "
        "1.645 standard errors of 0.078"
    )
    assert sentence(found, 1) == (
        "vetoed by the sealed holdout: what it gains over the champion on train tasks is not there (query 1 of the holdout)"
    )
    there = arm("h", *[(1, 1)] * 6, *[(1, 0)] * 6)
    assert verdict(there, same, train).kind == "pass"


def test_a_small_loss_that_adds_up_is_vetoed_against_the_seed() -> None:
    train = (arm("t", *[(1, 1, 0, 0)] * 30), arm("t", *[(1, 1, 0, 0)] * 30))
    sealed = arm("h", *[(1, 0)] * 12)
    gained = Met((train[0], arm("t", *[(1, 0, 0, 0)] * 30)), (sealed, sealed))
    planned = [each.task for each in sealed]
    found = sealed_verdict(Evidence(sealed, sealed, planned), POLICY, Met(train, (sealed, sealed)), gained, 3)
    assert found.numbers["vetoed_by"] == "since_seed"
    assert "over the seed harness on train tasks" in found.reason
    assert "what it gains over the seed harness on train tasks is not there" in sentence(found, 3)


def test_where_nothing_is_left_to_win_nothing_is_missed() -> None:
    train = (arm("t", *[(1, 1)] * 20), arm("t", *[(0, 0)] * 20))
    solved = arm("h", *[(1, 1)] * 12)
    found = carried(Met(train, (solved, solved)))
    assert found is not None
    assert (found.train, found.sealed, found.lost) == (1.0, 0.0, 0.0)
    assert verdict(solved, solved, train).kind == "pass"


def test_too_few_tasks_tell_nothing_of_a_transfer() -> None:
    assert carried(Met((arm("t", (1,)), arm("t", (0,))), (arm("h", (0,), (0,)), arm("h", (0,), (0,))))) is None
    assert carried(Met((arm("t", (1,), (1,)), arm("t", (0,), (0,))), (arm("h", (0,)), arm("h", (0,))))) is None


def test_an_errored_holdout_is_undecided() -> None:
    decision = verdict(arm("h", *[(1, None)] * 2), arm("h", *[(1, 1)] * 2))
    assert decision.kind == "undecided"
    assert "on the holdout errored" in decision.reason
    assert sentence(decision, 1) == decision.reason
    assert too_errored(arm("h", *[(1, None)] * 2), POLICY)
    assert not too_errored(arm("h", *[(1, 0)] * 2), POLICY)


rates = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(rates, rates, st.integers(0, 99))
def test_a_harness_that_changes_nothing_loses_nothing(train: list[float], sealed: list[float], seed: int) -> None:
    dice = random.Random(seed)
    mine = arm("t", *[[float(dice.random() < each) for _ in range(3)] for each in train])
    theirs = arm("t", *[[float(dice.random() < each) for _ in range(3)] for each in train])
    held = arm("h", *[[each] for each in sealed])
    none = carried(Met((mine, mine), (held, held)))
    assert none is not None
    assert (none.lost, not_carried(none.numbers("step"))) == (0.0, "")
    found = carried(Met((mine, theirs), (held, held)))
    assert found is not None
    assert not_carried(found.numbers("since_seed")) == (
        "since_seed" if found.lost > max(1e-9, VETO * found.error) else ""
    )


async def test_an_edit_that_gains_on_train_tasks_alone_is_vetoed_and_the_end_measures_the_champion(
    bench: Bench,
) -> None:
    def rates_of(text: str, planned: PlannedTrial) -> float:
        better = "TRUE" in text if planned.task in HOLDOUT else "GOOD" in text
        return 0.95 if better else 0.05

    gate = {"policy": "pooled", "repeats": 4, "champion_repeats": 4, "holdout_repeats": 6}
    settings = config(budget={"candidates": 2}, gate=gate)
    done, _ = await run(bench, script("GOOD", "GOOD TRUE"), settings, rate_of=rates_of)
    found, reader = decisions(bench), bench.reader()
    assert found["demo/c001/audit"].kind == "pass"
    assert found["demo/c001/holdout"].kind == "reject"
    assert found["demo/c001/holdout"].numbers["vetoed_by"] == "step"
    assert "the sealed holdout vetoed it, so its gain does not hold on unseen tasks" in bench.log()
    assert found["demo/c002/holdout"].kind == "pass"
    assert done.champion_candidate == "demo/c002"
    last = found["demo/c002/holdout-final-00003"]
    assert last.reason.endswith("of the seed harness, side by side over 36 trials each, which decided nothing")
    assert last.numbers["score"] > last.numbers["seed_score"] + 0.3
    status = listing.status(reader, reader.study("demo"), bench.root)
    assert status.sealed is not None
    assert [round(each.mean, 6) for each in status.sealed] == [
        round(last.numbers["score"], 6), round(last.numbers["seed_score"], 6)
    ]  # fmt: skip
    assert "side by side in trials that decided nothing; 2 queries" in listing.status_text(status)
