"""Whether an edit fired in the trials that it is judged by, as the log tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.harness.version import Hunk, apply_edit
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.fired import fired_in, fired_in_trial
from lorimer.meta_agent.proposer.proposal import Proposal, ProposalSession
from lorimer.meta_agent.state.changes import full_runs
from lorimer.meta_agent.state.world import scan
from lorimer.terminal.trajectory import trajectory_text
from lorimer.traces.schema import LinesRan, PlannedTrial, Stage
from tests.meta_agent.test_loop import Bench, config, make_bench, run

HUNKS = (
    Hunk("    return 'plain'", "    if task == 'GOOD':\n        return 'never'\n    return 'plain'"),
    Hunk("def solve", "def unused():\n    return 1\n\n\ndef solve"),
)
RAN = {"GOOD": "1,5-6,8"}
"""The lines of the edited harness that ran: the first hunk's condition, and nothing of the second."""


async def two_hunks(session: ProposalSession) -> Proposal:
    return Proposal(
        title="Edit GOOD",
        hypothesis="It should help.",
        hunks=HUNKS,
        fixes=("t07", "t08", "t09", "t00"),
        at_risk=("t01",),
        text=apply_edit(session.harness, HUNKS),
    )


def lines(text: str, planned: PlannedTrial) -> LinesRan | None:
    """On one task the harness was ended before it had said all."""
    return (
        LinesRan.of("1,5" if planned.task == "t07" else RAN["GOOD"], planned.task != "t07") if "GOOD" in text else None
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


async def test_the_log_says_beside_each_flip_whether_the_edit_fired(bench: Bench) -> None:
    settings = config(budget={"candidates": 1})
    await run(bench, two_hunks, settings, ran_of=lines)
    reader = bench.reader()
    world = scan(reader, "demo")
    (row,) = reader.candidates("demo")
    found = fired_in(reader, [row], full_runs(reader, world, [row], 2))[1]
    first, second = found.hunks
    assert (first.fired, second.fired) == (first.told, 0)
    assert first.told == second.told > 10
    assert found.never == (2,)
    assert "t07" not in found.tasks
    assert found.tasks["t08"] == (2, 2)
    said = bench.log()
    counts = f"hunk 1 in {first.told} of {first.told} trials; hunk 2 in none of {first.told} trials"
    assert f"  fired: {counts}: what hunk 2 changes never ran" in said.splitlines()
    (better,) = [line for line in said.splitlines() if line.startswith("  did better on: ")]
    assert "t08 (fired in 2 of 2)" in better
    assert f"fired: {counts}" in bench.told(), "the meta-agent reads it too"


async def test_a_trial_says_which_hunks_fired_in_it(bench: Bench) -> None:
    await run(bench, two_hunks, config(budget={"candidates": 1}), ran_of=lines)
    reader = bench.reader()
    told = {trial.task: trial for trial in reader.outcomes("demo/c001/full")}
    whole, ended = (fired_in_trial(reader, told[task]) for task in ("t08", "t07"))
    assert whole is not None
    assert ended is not None
    assert whole[0].id == "demo/c001"
    assert ([each.fired for each in whole[1]], [each.fired for each in ended[1]]) == ([True, False], [None, None])
    assert [each.step for each in whole[1]] == [None, None], "dice make no calls"
    shown = trajectory_text(reader, told["t08"], 0, None, full=False).splitlines()
    assert "  lines of agent.py that ran: 1,5-6,8" in shown
    assert "  of the edit of c001 hunk 1 fired; hunk 2 did not fire" in shown
    shown = trajectory_text(reader, told["t07"], 0, None, full=False).splitlines()
    ended_early = "it was ended before it said the last, so others may have run"
    assert f"  lines of agent.py that ran: 1,5; {ended_early}" in shown
    assert "  of the edit of c001 hunk 1 cannot be told; hunk 2 cannot be told" in shown
    forged = told["t07"].model_copy(update={"detail": "\x1b[2Jboom", "answer": "\x1b]0;own\x07\n\u202eb"})
    shown = trajectory_text(reader, forged, 0, None, full=False).splitlines()
    assert shown[1].endswith(r": \x1b[2Jboom")
    at = shown.index("answer:")
    assert shown[at + 1 : at + 3] == [r"    \x1b]0;own\x07", r"    \u202eb"], "no terminal obeys what a harness wrote"
    baseline = scan(reader, "demo").decided("", Stage.BASELINE)
    assert baseline is not None
    (seed, *_) = reader.outcomes(baseline.id)
    assert fired_in_trial(reader, seed) is None


async def test_of_trials_that_told_nothing_the_log_says_nothing(bench: Bench) -> None:
    await run(bench, two_hunks, config(budget={"candidates": 1}))
    assert "fired" not in experiments.render(experiments.read(bench.reader(), scan(bench.reader(), "demo"), 2))
