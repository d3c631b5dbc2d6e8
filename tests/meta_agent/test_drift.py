"""Late trials of harnesses that did not change, against early ones: shown to people, and decides nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.meta_agent.gate.reported.drift import drift
from lorimer.meta_agent.gate.statistics.scores import Rewards
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.drifting import drift_of, run_again
from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.world import World, scan
from lorimer.terminal import listing
from lorimer.terminal.words import to_json
from lorimer.traces.schema import PlannedTrial, Purpose, Stage
from lorimer.traces.tables import DecisionRow
from tests.meta_agent.test_loop import Bench, config, make_bench, run, script

HALF = (0.0, 1.0)


def alike(rewards: Sequence[float], tasks: int = 20) -> dict[str, Sequence[float]]:
    return {f"t{n}": rewards for n in range(tasks)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def test_a_change_of_what_did_not_change_is_said_with_its_interval() -> None:
    found = drift([[alike(HALF), alike((1.0, 1.0))]])
    assert found is not None
    assert (found.change.value, found.tasks, found.trials) == (0.5, 20, (40, 40))
    assert found.change.low > 0
    assert str(found) == (
        f"{found.change} in 40 late trials of the same harness against 40 early ones, on 20 tasks: what did not change scores "
        "higher late in the study"
    )
    worse = drift([[alike((1.0,)), alike((0.0,))], [alike((1.0,)), alike((0.0,))]])
    assert "of the same 2 harnesses against" in str(worse)
    assert str(worse).endswith("what did not change scores lower late in the study")


def test_what_is_within_chance_is_not_told_from_it() -> None:
    dice = random.Random(1)
    times = [{f"t{n}": [float(dice.random() < 0.5) for _ in range(4)] for n in range(20)} for _ in range(2)]
    assert str(drift([times])).endswith("on 20 tasks: it cannot be told from chance")
    one = drift([[{"a": (1.0,)}, {"a": (0.0,)}]])
    assert one is not None
    assert (one.change.low, one.change.high) == (-1.0, 1.0)
    assert str(one).endswith("on 1 task: it cannot be told from chance")


def test_without_two_times_of_the_same_task_there_is_nothing_to_tell() -> None:
    assert drift([]) is None
    assert drift([[alike(HALF)]]) is None
    assert drift([[{"a": HALF}, {"b": HALF}], [{"a": HALF}]]) is None


rewards = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(0, 1), min_size=1, max_size=4), max_size=6)


@given(st.lists(st.lists(rewards, max_size=4), max_size=3))
def test_time_that_runs_backwards_turns_the_sign_and_nothing_changed_is_no_drift(
    harnesses: list[list[Rewards]],
) -> None:
    even = [times[: len(times) // 2 * 2] for times in harnesses]
    found, back = drift(even), drift([times[::-1] for times in even])
    assert (found is None) == (back is None)
    if found is not None and back is not None:
        assert found.change.value == pytest.approx(-back.change.value, abs=1e-12)
        assert found.trials == back.trials[::-1]
        assert found.change.low <= found.change.value <= found.change.high
    same = drift([[times[0], times[0]] for times in harnesses if times])
    assert same is None or same.change.value == 0


def decided(subject: str, stage: Stage, purpose: Purpose = Purpose.FIRST, met: int | None = None) -> DecisionRow:
    made = evaluation_id("demo", About(subject, stage, purpose, met))
    return DecisionRow(
        id=made, study="demo", subject=subject, stage=stage, purpose=purpose, met=met, kind="pass", reason="", made=""
    )


def test_what_stood_for_a_champion_when_it_lost_is_not_told_as_it_lost_by_its_bad_luck() -> None:
    added, refreshed = Purpose.ADDED, Purpose.REFRESHED
    seed = World("demo", 0, "s" * 64, ("a",), ()).with_all(
        [],
        [
            decided("", Stage.BASELINE),
            decided("", Stage.AUDIT, added, 1),
            decided("", Stage.AUDIT, refreshed, 3),
            decided("", Stage.AUDIT, added, 4),
        ],
    )
    superseded, standing = (
        ["demo/baseline/baseline", "demo/baseline/audit+00001"],
        ["demo/baseline/audit-00003", "demo/baseline/audit+00004"],
    )
    assert run_again(seed) == [[*superseded, *standing]]
    winner = CandidateView("demo/c005", 5, "promoted", "s" * 64, "h" * 64)
    later = seed.with_all([winner], [decided("demo/c005", Stage.AUDIT), decided("demo/c005", Stage.AUDIT, added, 7)])
    assert run_again(later) == [superseded, ["demo/c005/audit+00007"]]


async def test_a_study_in_which_the_world_became_easier_says_so_to_people_alone(bench: Bench) -> None:
    def easier(text: str, planned: PlannedTrial) -> float:
        return 0.7 if planned.evaluation.startswith("demo/baseline/audit+") else 0.2

    await run(bench, script(), config(gate={"champion_every": 1}, budget={"candidates": 3}), rate_of=easier)
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    assert not world.promoted
    (times,) = run_again(world)
    assert times[:2] == ["demo/baseline/baseline", "demo/baseline/audit+00002"]
    found = drift_of(reader, world)
    assert found is not None
    assert found.change.value > 0.2
    assert str(found).endswith("what did not change scores higher late in the study")
    status = listing.status(reader, reader.study("demo"), bench.root)
    assert f"  drift       {found}" in listing.status_text(status).splitlines()
    assert '"drift"' in to_json(status)
    log = listing.log(reader, reader.study("demo"))
    assert f"Drift: {found}" in experiments.render(log).splitlines()
    assert f"Drift: {found}. Nothing is decided by it." in evidence_card(reader, "demo").splitlines()
    assert "rift" not in bench.told()
