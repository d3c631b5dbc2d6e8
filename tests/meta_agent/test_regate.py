"""A finished study decided again under another gate, from what it stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Literal

import pytest

from lorimer.config.settings import parse
from lorimer.errors import ConfigError, UserError
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.reports.replay import DecidedAgain, GateReplay, replay
from lorimer.meta_agent.study.loop import evaluate, optimize
from lorimer.meta_agent.workspace.parts import create
from lorimer.terminal.regated import text
from lorimer.traces.reading.bulk import TrialCost
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, TrialEnd
from lorimer.traces.tables import Candidate, DecisionRow
from tests.meta_agent.test_loop import HOLDOUT, MARKS, SEED, TASKS, Bench, config, make_bench, rate, run, script, suite


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def again(bench: Bench, **overrides: Any) -> GateReplay:
    return replay(bench.reader(), "demo", {f"gate.{key}": value for key, value in overrides.items()})


def of(found: GateReplay, number: int) -> DecidedAgain:
    return next(each for each in found.candidates if each.candidate == f"demo/c{number:03}")


@pytest.mark.parametrize(
    "gate",
    [
        {},
        {"policy": "eprocess", "repeats": 4, "champion_repeats": 4},
        {"futility": 0.4, "error": "study", "alpha": 0.3},
        {"champion": "interleaved"},
        {"champion_every": 1},
        {"policy": "strict", "max_cost_increase": 0.5, "cost": "tokens"},
        {"simplify_margin": 0.1, "tie_break": "tokens"},
    ],
)
async def test_under_its_own_gate_a_study_comes_out_as_it_did(bench: Bench, gate: dict[str, Any]) -> None:
    await run(bench, script(*MARKS), config(gate=gate), width=3, order=1)
    found = again(bench)
    assert (found.changed, found.open, found.skipped) == (0, 0, 1)
    assert found.gate == found.was
    assert [each.after for each in found.candidates] == [each.before for each in found.candidates]
    full = {row.id: row for row in bench.reader().decisions("demo")}
    for each in found.candidates:
        row = full.get(f"{each.candidate}/full")
        if row is not None:
            assert each.reason == row.reason
            assert each.level == row.policy["alpha"]
    assert not any(each.counterfactual for each in found.candidates)


async def test_another_policy_says_which_decisions_change_and_why(bench: Bench) -> None:
    """A study at a high bar, whose runs go to their end since a tie might have been broken."""
    high = {"alpha": 3e-5, "tie_break": "tokens", "tie_margin": 0.9}
    await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2}, gate=high))
    assert of(again(bench), 1).before == "rejected"
    found = again(bench, alpha=0.1, tie_break="none")
    first = of(found, 1)
    assert (first.before, first.after, first.changed) == ("rejected", "open", False)
    assert first.reason.startswith("passed: ")
    assert first.reason.endswith("; its audit and the holdout, which could veto it, were never run")
    assert first.was.startswith("rejected: ")
    assert "needs p <= 3e-05" in first.was
    assert not first.counterfactual
    assert of(found, 2).counterfactual
    said = text(found)
    assert "demo under policy paired, alpha 0.1 per candidate, futility 0, 2 trials per task" in said
    assert "c001 Edit GOOD: rejected -> cannot be told" in said
    assert "c002" not in said
    assert "as before: 1 rejected; of 1 of them another champion may have held" in said
    assert said.endswith("; --all tells of each")
    whole = text(found, whole=True)
    assert "c002 Edit NULL: rejected, as before" in whole
    assert "from here on another champion may have held" in whole
    assert "--all" not in whole


def decided(
    number: int, reason: str, was: str, *, trials: int, read: int, counterfactual: bool = False
) -> DecidedAgain:
    """A candidate that comes out as it did."""
    state: Literal["promoted", "rejected"] = "promoted" if number == 1 else "rejected"
    return DecidedAgain(
        f"demo/c{number:03}", number, "Edit", state, state, False, reason, was, trials, read, 0.1, counterfactual
    )


def test_candidates_that_come_out_as_before_are_a_line_unless_all_are_asked_for() -> None:
    words = ["passed: well", *["rejected: no"] * 675]
    same = [decided(number, said, said, trials=12, read=7) for number, said in enumerate(words, 1)]
    found = GateReplay("demo", "policy paired", "policy paired", tuple(same), 0)
    assert text(found).splitlines()[2:] == [
        "  0 decisions change of 676, 0 cannot be told from the stored trials; nothing was run",
        "as before: 1 promoted, 675 rejected; --all tells of each",
    ]
    assert len(text(found, whole=True).splitlines()) == 3 + 2 * 676


def test_that_a_gate_reads_fewer_trials_is_said_only_where_it_decided_otherwise() -> None:
    """The study's own gate read 7 of 12 as well: the other five were under way when the run ended."""
    veto = "passed: well; then vetoed by the sealed holdout"
    own = (decided(1, veto, "passed: well", trials=12, read=7), decided(2, "rejected", "rejected", trials=9, read=8))
    other = (*own, decided(3, "rejected: sooner", "rejected: later", trials=30, read=10))
    for each, said in ((own, ""), (other, "; this gate reads 25 of the 51 trials of their full runs that are stored")):
        found = GateReplay("demo", "policy paired", "policy paired", each, 0)
        assert f"rejected{said}; --all" in text(found)
        whole = text(found, whole=True)
        assert "of the 12 trials" not in whole
        assert ("this gate reads 10 of the 30 trials that are stored" in whole) is bool(said)


class Stopped(StoreReader):
    """A store as it was before these decisions about a candidate, which was under way then."""

    def __init__(self, path: Path, *missing: str) -> None:
        super().__init__(path)
        self._missing = missing

    def decisions(self, study: str, after: int = 0) -> list[DecisionRow]:
        return [row for row in super().decisions(study, after) if row.id not in self._missing]

    def candidates(self, study: str, since: int = 0) -> list[Candidate]:
        return [row.model_copy(update={"state": "proposed"}) for row in super().candidates(study, since)]


@pytest.mark.parametrize("policy", ["paired", "pooled"])
async def test_of_a_candidate_under_way_that_is_said_to_be_missing_which_is(bench: Bench, policy: str) -> None:
    await run(bench, script("GOOD"), config(budget={"candidates": 1}, gate={"policy": policy}))
    path = bench.root / bench.store
    found = of(replay(Stopped(path, "demo/c001/holdout"), "demo", {}), 1)
    assert found.after == "open"
    assert found.reason.endswith("; the holdout, which could veto it, is not over")
    both = Stopped(path, "demo/c001/holdout", "demo/c001/audit")
    assert of(replay(both, "demo", {}), 1).reason.endswith(
        "; its audit and the holdout, which could veto it, are not over"
    )


async def test_what_no_trial_left_could_have_changed_is_told(bench: Bench) -> None:
    """The study's bar fell out of reach with a failure near the end; the plain rule's was cleared by then."""

    def nearly(text: str, planned: PlannedTrial) -> float:
        failed = planned.task == "t05" and planned.repeat == 1 and planned.stage == "full"
        return float(int(planned.task[1:]) % 14 < 6 or "GOOD" in text) * (not failed)

    train = sorted(set(TASKS) - set(HOLDOUT))
    seed = next(n for n in range(1_000) if sorted(train, key=lambda task: Luck(n, 1).place(task))[-3] == "t05")
    settings = config(budget={"candidates": 1}, gate={"alpha": 1e-6}, study={"seed": seed})
    await run(bench, script("GOOD"), settings, rate_of=nearly)
    found = of(again(bench, policy="strict"), 1)
    assert found.before == "rejected"
    assert found.trials < 28
    assert (
        f", even had all {28 - found.trials} trials that were not run failed; its audit and the holdout" in found.reason
    )


async def test_a_stricter_level_takes_a_promotion_away(bench: Bench) -> None:
    await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2}))
    found = again(bench, alpha=1e-9)
    assert (of(found, 1).after, of(found, 1).changed, found.changed) == ("rejected", True, 1)
    assert "needs p <= 1e-09" in of(found, 1).reason
    assert of(found, 2).counterfactual
    assert "1 decision changes of 2" in text(found)
    # Its first champion is the seed harness in both; which trials stood for it does not depend on the other gate.
    assert of(again(bench, futility=0.4), 1).after == "promoted"


async def test_a_run_that_ended_early_is_open_where_the_other_gate_would_have_gone_on(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}))
    ended = of(again(bench), 1)
    assert ended.read is not None
    assert ended.read < 28
    found = of(again(bench, alpha=0.49), 1)
    assert (found.after, found.read) == ("open", None)
    assert found.reason == (f"the first {ended.trials} of 28 planned trials are stored; this gate would have gone on")


async def test_fewer_repeats_are_the_first_of_those_stored_and_more_are_not_there(bench: Bench) -> None:
    await run(bench, script("GOOD"), config(budget={"candidates": 1}))
    fewer = of(again(bench, repeats=1), 1)
    assert fewer.trials <= 14
    assert fewer.after == "promoted"
    more = of(again(bench, repeats=3), 1)
    assert (more.after, more.reason) == ("open", "only 2 trials per task were planned, not 3")
    other = of(again(bench, champion="interleaved"), 1)
    assert other.reason == "the champion's trials were cached, not interleaved"


async def test_another_margin_of_the_holdout_is_judged_by_what_it_measured(bench: Bench) -> None:
    def overfitted(text: str, planned: PlannedTrial) -> float:
        return 0.4 if "GOOD" in text and planned.stage == "holdout" else rate(text, planned)

    await run(bench, script("GOOD"), config(budget={"candidates": 1}), rate_of=overfitted)
    same = of(again(bench), 1)
    assert (same.before, same.after) == ("rejected", "rejected")
    assert same.reason.endswith("; then vetoed by the sealed holdout, with a margin of 0.1")
    wide = of(again(bench, holdout_margin=0.99), 1)
    assert wide.after == "rejected"
    said = "what it gains over the champion on train tasks is not there"
    assert wide.reason.endswith(f"; then vetoed by the sealed holdout: {said}")


async def test_no_other_margin_of_the_holdout_is_tried_while_the_study_goes_on(bench: Bench) -> None:
    """By a few margins a candidate's score on the sealed tasks could be told, and none of these queries would be counted."""
    await run(bench, script("GOOD"), config(budget={"candidates": 1}))
    for state, refused in (("paused", True), ("running", True), ("finished", False)):
        with closing(sqlite3.connect(bench.root / bench.store)) as store, store:
            store.execute("UPDATE study SET state = ?", (state,))
        assert again(bench, holdout_margin=0.1).candidates, "this is the study's own"
        with pytest.raises(UserError, match="told when the study has finished") if refused else nullcontext():
            assert again(bench, holdout_margin=0.99).candidates


async def test_what_cannot_be_replayed_is_said(bench: Bench) -> None:
    with bench.parts(script(), config()) as (parts, _, _):
        await create(parts.store, study="r", kind="run", suite=suite(), holdout=(), config=parts.config, harness=SEED)
        await evaluate(parts, "r")
        await bench.create(parts)
    with pytest.raises(UserError, match="r is a run, which decides nothing"):
        replay(bench.reader(), "r", {})
    with pytest.raises(UserError, match="no candidate of demo has been decided yet; `lorimer resume demo` goes on"):
        again(bench)
    with bench.parts(script("NULL"), config(budget={"candidates": 1})) as (parts, _, _):
        await optimize(parts, "demo")
    with pytest.raises(UserError, match=r"--set budget\.usd: a replay runs nothing"):
        replay(bench.reader(), "demo", {"budget.usd": 3})
    with pytest.raises(ConfigError, match=r"--set gate\.alpha=0\.7: should be less than 0\.5"):
        again(bench, alpha=0.7)
    assert parse(bench.reader().study("demo").config).gate.alpha == 0.1


class Asked(StoreReader):
    """A store that notes which evaluations it is asked for, and by which question."""

    def __init__(self, source: Path) -> None:
        super().__init__(source)
        self.questions: list[tuple[str, tuple[str, ...]]] = []

    def scored(self, evaluations: Sequence[str]) -> list[tuple[str, str, int, float]]:
        self.questions.append(("scored", tuple(evaluations)))
        return super().scored(evaluations)

    def plans(self, evaluations: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        self.questions.append(("plans", tuple(evaluations)))
        return super().plans(evaluations)

    def trial_costs(self, evaluations: Sequence[str]) -> list[TrialCost]:
        self.questions.append(("trial_costs", tuple(evaluations)))
        return super().trial_costs(evaluations)

    def ends(self, evaluation: str) -> list[tuple[str, TrialEnd]]:
        self.questions.append(("ends", (evaluation,)))
        return super().ends(evaluation)


async def test_a_replay_reads_every_trial_once_and_no_cost_that_nothing_asks_for(bench: Bench) -> None:
    await run(bench, script(*MARKS), config(), width=3, order=1)
    reader = Asked(bench.root / "traces.db")
    found = replay(reader, "demo", {"gate.max_cost_increase": "none"})
    assert len(found.candidates) > 3
    assert [question for question, _ in reader.questions] == ["scored", "plans"]
    for _, evaluations in reader.questions:
        assert len(set(evaluations)) == len(evaluations)
    reader.questions.clear()
    replay(reader, "demo", {"gate.alpha": 0.05})
    # What a promotion cost is asked, and of nothing else.
    assert [each for each in reader.questions if each[0] not in ("scored", "plans")] == [
        ("trial_costs", ("demo/c004/full", "demo/baseline/baseline"))
    ]
