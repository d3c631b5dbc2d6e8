"""The loop on dice: a real store, the real gate and a real git workspace; only agents and models are left out."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Script, Suite, Task
from lorimer.config.settings import Config, parse
from lorimer.errors import BudgetExhausted, LorimerError, ProviderOutage, UserError, VerifierOutage
from lorimer.harness.version import Hunk, sha
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.commands import Evaluate, FinishStudy, Promote, Propose, next_command
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.result import StudyResult, result
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.loop import evaluate, optimize
from lorimer.meta_agent.workspace.events import Decided, Event, Promoted, StageStarted, StudyEnded
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.models.base import ModelReply
from lorimer.sandbox.base import PulledImage
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.tables import DecisionRow
from lorimer.traces.writing.store import Store
from tests.support.dice_trials import DiceTrials, Killed, Sigkill

SEED = "def solve(task, env, llm):\n    return 'plain'\n"
TASKS = tuple(f"t{number:02}" for number in range(20))
HOLDOUT = TASKS[14:]


def suite() -> Suite:
    def task(name: str) -> Task:
        verifier = Script(Path("/nowhere"), "/tests", "true", 10.0)
        return Task(name, f"Do {name}.", PulledImage("none"), verifier, digest=name)

    return Suite("dice", tuple(task(name) for name in TASKS))


def rate(text: str, planned: PlannedTrial) -> float:
    """The seed solves the first tasks always and the others seldom; `GOOD` lifts those, `BAD` breaks the first."""
    number = int(planned.task[1:])
    easy = number % 14 < 6
    if "BAD" in text:
        return 0.0 if easy else 0.1
    if "GOOD" in text:
        return 1.0 if easy else 0.9
    return 1.0 if easy else 0.1


def proposal(session: ProposalSession, mark: str) -> Proposal:
    text = session.harness + f"# {mark} {session.number}\n"
    fixes = ("t07", "t08", "t09", "t00")
    return Proposal(
        title=f"Edit {mark}",
        hypothesis=f"{mark} should help.",
        hunks=(Hunk(search="return", replace=mark),),
        fixes=fixes,
        at_risk=("t01",),
        text=text,
    )


Proposer = Callable[[ProposalSession], Awaitable[Proposal | NoProposal]]


def script(*marks: str) -> Proposer:
    """A proposer that makes these edits in order, then null ones. An empty mark is a failure."""

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        mark = marks[session.number - 1] if session.number <= len(marks) else "NULL"
        return proposal(session, mark) if mark else NoProposal("the model answered with a poem")

    return propose


async def no_model(*arguments: Any, **named: Any) -> ModelReply:
    raise AssertionError("these proposers ask no model")


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def config(**overrides: Any) -> Config:
    gate = {"policy": "paired", "repeats": 2, "champion_repeats": 2, "holdout_repeats": 2, "futility": 0.0}
    overrides["gate"] = gate | overrides.get("gate", {})
    return parse({"budget": {"candidates": 5}, **overrides})


@dataclass
class Bench:
    """One workspace and its store, which may be opened again after a crash."""

    root: Path
    store: Path = Path("traces.db")
    seed: str = SEED

    @contextmanager
    def parts(
        self,
        propose: Proposer,
        settings: Config,
        rate_of: Callable[[str, PlannedTrial], float | None] = rate,
        width: int = 1,
        **dice: Any,
    ) -> Iterator[tuple[StudyParts, DiceTrials, Recorder]]:
        with Store.open(self.root / self.store) as store:
            trials, recorder = DiceTrials(store, rate_of, **dice), Recorder()
            yield (
                StudyParts(
                    store=store,
                    reader=StoreReader(store),
                    trials=trials.scheduler(width=width),
                    complete=no_model,
                    config=settings,
                    workspace=Workspace(self.root),
                    progress=recorder,
                    propose=propose,
                ),
                trials,
                recorder,
            )

    async def create(self, parts: StudyParts, kind: str = "optimize") -> None:
        await create(
            parts.store, study="demo", kind=kind, suite=suite(), holdout=HOLDOUT, config=parts.config, harness=self.seed
        )

    def reader(self) -> StoreReader:
        return StoreReader(self.root / self.store)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def log(self) -> str:
        """What came of everything, without what may differ between runs (commit ids hold times)."""
        text = experiments.render(experiments.read(self.reader(), scan(self.reader(), "demo"), 2))
        return re.sub(r"commit: \w+", "commit", text)

    def told(self) -> str:
        """What the meta-agent is told of the experiments."""
        return experiments.for_meta_agent(experiments.read(self.reader(), scan(self.reader(), "demo"), 2)).everything


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def make_bench(root: Path) -> Bench:
    (root / "harness").mkdir(parents=True)
    (root / "harness" / "agent.py").write_text(SEED)
    (root / ".gitignore").write_text("traces.db*\n")
    made = Bench(root)
    made.git("init", "--quiet", "-b", "main")
    made.git("add", ".")
    made.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "start")
    return made


async def run(bench: Bench, propose: Proposer, settings: Config, **dice: Any) -> tuple[StudyResult, Recorder]:
    with bench.parts(propose, settings, **dice) as (parts, _, recorder):
        await bench.create(parts)
        return await optimize(parts, "demo"), recorder


MARKS = ("BAD", "NULL", "", "GOOD", "NULL")


@dataclass(frozen=True)
class Finished:
    """A study of these edits that nothing disturbed. It is read alone."""

    bench: Bench
    result: StudyResult
    recorder: Recorder


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    made = make_bench(tmp_path_factory.mktemp("straight") / "work")
    return Finished(made, *asyncio.run(run(made, script(*MARKS), config())))


async def test_a_good_edit_is_promoted_and_the_others_are_not(straight: Finished) -> None:
    bench, done, recorder = straight.bench, straight.result, straight.recorder
    assert done.state == "finished"
    assert done.reason.startswith("budget.candidates: 5 of 5 tried")
    assert done.champion_candidate == "demo/c004"
    assert done.candidates == {"rejected": 3, "failed": 1, "promoted": 1}
    assert done.baseline is not None
    assert done.final is not None
    assert done.final.mean > done.baseline.mean + 0.2
    assert [event.candidate for event in recorder.events if isinstance(event, Promoted)] == ["demo/c004"]
    assert isinstance(recorder.events[-1], StudyEnded)
    assert bench.reader().study("demo").holder == ""

    trailers = bench.git("log", "-1", "--format=%(trailers)").splitlines()
    assert trailers[:2] == ["Lorimer-Study: demo", "Lorimer-Candidate: demo/c004"]
    assert trailers[2] == f"Lorimer-Score: {done.final.mean:.3f}"
    assert trailers[4] == f"Lorimer-Harness: {done.champion}"
    assert sha((bench.root / "harness" / "agent.py").read_text()) == done.champion
    assert bench.git("rev-list", "--count", "HEAD") == "2"


async def test_every_candidate_meets_its_stages_in_order(straight: Finished) -> None:
    events = straight.recorder.events
    decided = [(event.candidate, event.stage.value) for event in events if isinstance(event, Decided)]
    assert decided[:2] == [("", "baseline"), ("", "holdout")]
    good = [stage for candidate, stage in decided if candidate == "demo/c004"]
    assert good == ["spot", "full", "audit", "holdout"]
    assert [stage for candidate, stage in decided if candidate == "demo/c001"] == ["spot"]


async def test_the_champion_is_compared_by_its_audit_alone(bench: Bench) -> None:
    """The trials that won the promotion are fresh ones beside those that stand for it."""
    await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2}))
    reader = bench.reader()
    world = scan(reader, "demo")
    assert world.standing == "demo/c001/audit"
    audit = {(trial.task, trial.repeat): trial.reward for trial in reader.outcomes("demo/c001/audit")}
    full = {(trial.task, trial.repeat): trial.reward for trial in reader.outcomes("demo/c001/full")}
    assert audit.keys() == full.keys()
    assert audit != full
    row = reader.candidate("demo/c002")
    assert row is not None
    assert row.parent == world.champion_harness


@pytest.mark.parametrize(("width", "order"), [(5, 1)])
async def test_concurrency_changes_no_decision(bench: Bench, straight: Finished, width: int, order: int) -> None:
    one, many = straight.bench, bench
    await run(many, script(*MARKS), config(), width=width, order=order)
    assert one.log() == many.log()
    assert one.told() == many.told()


@pytest.mark.parametrize("step", [9, 31])
async def test_a_killed_study_resumes_without_repeating_a_trial(bench: Bench, straight: Finished, step: int) -> None:
    """Killed again and again, always after `step` more trials, it ends with the same words as one left alone."""
    killed = bench
    ran: list[str] = []
    for attempt in range(100):
        with killed.parts(script(*MARKS), config(), width=4, order=attempt, fail_after=step) as (parts, trials, _):
            if attempt == 0:
                await killed.create(parts)
            try:
                await optimize(parts, "demo")
                finished = True
            except Killed:
                finished = False
            ran += trials.ran
        if finished:
            break
    assert finished
    assert attempt > 0
    assert len(ran) == len(set(ran))
    assert killed.log() == straight.bench.log()
    assert killed.git("log", "--format=%s") == straight.bench.git("log", "--format=%s")


def child(root: str, after: int) -> None:
    """What the process that is killed runs."""

    async def work() -> None:
        bench = Bench(Path(root))
        with bench.parts(script(*MARKS), config(), width=4, fail_after=after, failure=Sigkill) as (parts, _, _):
            if not parts.reader.studies():
                await bench.create(parts)
            await optimize(parts, "demo")

    asyncio.run(work())


async def test_a_study_killed_by_the_system_resumes_with_the_same_decisions(bench: Bench, straight: Finished) -> None:
    killed = bench
    for after in (20, 45):
        code = f"from tests.meta_agent.test_loop import child; child({str(killed.root)!r}, {after})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        assert await process.wait() == -signal.SIGKILL
        row = killed.reader().study("demo")
        assert row.state == "running"
        assert row.holder
    with killed.parts(script(*MARKS), config()) as (parts, trials, _):
        before = {trial.planned for trial in parts.reader.trials(study="demo", state="scored", limit=None)}
        await optimize(parts, "demo")
    assert len(before) == 65
    assert not before & set(trials.ran)
    assert killed.log() == straight.bench.log()


@pytest.mark.parametrize("where", ["proposing", "promoting"])
async def test_a_crash_between_two_writes_is_made_good(bench: Bench, where: str) -> None:
    """The two places where more than one thing must change: a proposal's session, and git with the store."""

    async def crash(session: ProposalSession) -> Proposal | NoProposal:
        raise Killed

    if where == "proposing":
        with bench.parts(crash, config()) as (parts, _, _):
            await bench.create(parts)
            with pytest.raises(Killed):
                await optimize(parts, "demo")
        assert [row.state for row in bench.reader().candidates("demo")] == ["proposing"]
    else:
        with bench.parts(script("GOOD"), config(budget={"candidates": 1})) as (parts, _, _):
            await bench.create(parts)
            await optimize(parts, "demo")
            # As if the process had died after the commit and before the row.
            await parts.store.update_candidate("demo/c001", "promoted", state="proposed", commit="")
    with bench.parts(script("GOOD"), config(budget={"candidates": 1})) as (parts, _, _):
        done = await optimize(parts, "demo")
    assert done.champion_candidate == "demo/c001"
    assert bench.git("rev-list", "--count", "HEAD") == "2"
    row = bench.reader().candidate("demo/c001")
    assert row is not None
    assert row.commit == bench.git("rev-parse", "HEAD")


async def test_a_candidate_is_closed_with_the_decision_that_ends_it(bench: Bench) -> None:
    """Whoever hears of a decision finds the candidate in the state that follows from it."""
    seen: list[tuple[str, str]] = []

    class Looking(Recorder):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            row = bench.reader().candidate(event.candidate) if isinstance(event, Decided) and event.candidate else None
            if row is not None and isinstance(event, Decided):
                seen.append((event.decision.kind, row.state))

    with bench.parts(script(*MARKS), config()) as (parts, _, _):
        await bench.create(parts)
        await optimize(replace(parts, progress=Looking()), "demo")
    assert set(seen) == {("reject", "rejected"), ("pass", "proposed"), ("promote", "proposed")}


async def test_a_spent_budget_finishes_the_study_and_a_larger_one_goes_on(bench: Bench) -> None:
    with bench.parts(script(*MARKS), config(), fail_after=50, failure=BudgetExhausted) as (parts, first, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.state == "finished"
    assert done.reason == "budget.trials: 50 of 50 used; `lorimer resume demo --set budget.trials=100` goes on"
    with bench.parts(script(*MARKS), config()) as (parts, second, _):
        assert (await optimize(parts, "demo")).champion_candidate == "demo/c004"
    assert not set(first.ran) & set(second.ran)


async def test_more_candidates_may_be_asked_for_later(bench: Bench) -> None:
    await run(bench, script(*MARKS), config(budget={"candidates": 2}))
    with bench.parts(script(*MARKS), config()) as (parts, _, _):
        done = await optimize(parts, "demo")
    assert sum(done.candidates.values()) == 5


async def test_a_bound_below_what_was_tried_is_told_as_it_is_and_with_one_that_goes_on(bench: Bench) -> None:
    """Twice the bound of 1 would be fewer than were tried already."""
    await run(bench, script(*MARKS), config(budget={"candidates": 3}))
    reasons = []
    for asked in (1, 6):
        with bench.parts(script(*MARKS), config(budget={"candidates": asked})) as (parts, _, _):
            reasons.append((await optimize(parts, "demo")).reason)
    assert reasons[0] == (
        "budget.candidates: 3 tried, and 1 asked for; `lorimer resume demo --set budget.candidates=6` goes on"
    )
    assert reasons[1].startswith("budget.candidates: 6 of 6 tried; `lorimer resume demo --set budget.candidates=12` ")


async def test_an_outage_pauses_the_study(bench: Bench) -> None:
    done, recorder = await run(bench, script(*MARKS), config(), fail_after=5, failure=ProviderOutage)
    assert done.state == "paused"
    assert done.reason == "provider the dice were taken away; `lorimer resume demo` goes on when it answers"
    assert recorder.events[-1] == StudyEnded("demo", "paused", done.reason, "provider")


async def test_verifiers_that_cannot_download_pause_the_study(bench: Bench) -> None:
    done, recorder = await run(bench, script(*MARKS), config(), fail_after=5, failure=VerifierOutage)
    assert done.state == "paused"
    assert done.reason == "the dice were taken away; once that is put right, `lorimer resume demo` goes on"
    assert recorder.events[-1] == StudyEnded("demo", "paused", done.reason, "verifier")


async def test_an_outage_of_the_meta_model_pauses_and_the_proposal_is_made_again(bench: Bench) -> None:
    async def out(session: ProposalSession) -> Proposal | NoProposal:
        raise ProviderOutage("anthropic: overloaded for 600 s")

    done, _ = await run(bench, out, config())
    assert done.state == "paused"
    with bench.parts(script(*MARKS), config()) as (parts, _, _):
        assert (await optimize(parts, "demo")).champion_candidate == "demo/c004"


async def test_cancelling_stops_cleanly_and_lets_go(bench: Bench) -> None:
    started = asyncio.Event()

    async def wait(session: ProposalSession) -> Proposal | NoProposal:
        started.set()
        await asyncio.sleep(60)
        raise AssertionError

    with bench.parts(wait, config()) as (parts, _, recorder):
        await bench.create(parts)
        task = asyncio.create_task(optimize(parts, "demo"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        row = parts.reader.study("demo")
    assert (row.state, row.holder) == ("paused", "")
    assert row.state_reason == "stopped by the user; `lorimer resume demo` goes on"
    assert recorder.events[-1] == StudyEnded("demo", "paused", row.state_reason, "stopped")


async def test_errors_that_need_the_user_pause_the_study_with_their_words(bench: Bench) -> None:
    async def bad_key(session: ProposalSession) -> Proposal | NoProposal:
        raise UserError("providers.x.key_env: X_KEY is not set")

    with bench.parts(bad_key, config()) as (parts, _, _):
        await bench.create(parts)
        with pytest.raises(UserError, match="X_KEY") as caught:
            await optimize(parts, "demo")
    assert caught.value.paused == "demo"
    row = bench.reader().study("demo")
    assert row.state == "paused"
    assert row.state_reason.startswith("providers.x.key_env: X_KEY is not set; ")


async def test_proposals_without_an_edit_end_the_study_when_patience_does(bench: Bench) -> None:
    done, _ = await run(bench, script("", "", "", "GOOD"), config())
    assert done.reason == "the last 3 proposals held no usable edit (meta.patience is 3)"
    assert done.candidates == {"failed": 3}
    assert [row.failure for row in bench.reader().candidates("demo")] == ["the model answered with a poem"] * 3


async def test_the_same_harness_is_not_run_twice(bench: Bench) -> None:
    async def stubborn(session: ProposalSession) -> Proposal | NoProposal:
        return replace(proposal(session, "BAD"), text=SEED + "# BAD\n")

    done, _ = await run(bench, stubborn, config())
    assert done.candidates == {"rejected": 1, "failed": 3}
    assert "the same harness as c001, which was rejected" in bench.reader().candidates("demo")[1].failure


async def test_a_baseline_that_errors_pauses_the_study_and_is_tried_anew_on_resume(bench: Bench) -> None:
    def broken(text: str, planned: PlannedTrial) -> float | None:
        return None if planned.task in ("t02", "t03", "t04") else rate(text, planned)

    done, _ = await run(bench, script("GOOD"), config(budget={"candidates": 1}), rate_of=broken)
    assert done.state == "paused"
    assert (
        "6 of 28 trials of the seed harness errored (6 engine_failure; such as: t02: the engine is down)" in done.reason
    )
    with bench.parts(script("GOOD"), config(budget={"candidates": 1})) as (parts, trials, _):
        assert (await optimize(parts, "demo")).champion_candidate == "demo/c001"
    assert len([name for name in trials.ran if name.startswith("demo/baseline/baseline/")]) == 6


async def test_a_candidate_whose_trials_error_is_undecided_and_the_loop_goes_on(bench: Bench) -> None:
    def fragile(text: str, planned: PlannedTrial) -> float | None:
        return (
            None
            if "GOOD 1" in text and planned.task in ("t02", "t03", "t13") and planned.stage is Stage.FULL
            else rate(text, planned)
        )

    marks = script("GOOD", "GOOD")
    done, _ = await run(bench, marks, config(budget={"candidates": 2}), rate_of=fragile)
    assert done.candidates == {"undecided": 1, "promoted": 1}
    reason = bench.reader().decisions("demo")
    assert "6 of the candidate's 28 trials errored" in next(row.reason for row in reason if row.id == "demo/c001/full")


async def test_the_holdout_vetoes_what_only_fits_the_train_tasks(bench: Bench) -> None:
    def overfitted(text: str, planned: PlannedTrial) -> float:
        return 0.0 if "GOOD" in text and planned.task in HOLDOUT else rate(text, planned)

    done, _ = await run(bench, script("GOOD"), config(budget={"candidates": 1}), rate_of=overfitted)
    assert done.champion_candidate == ""
    sealed = bench.told()
    assert "  holdout: vetoed by the sealed holdout" in sealed.splitlines()
    assert "query 1" not in sealed
    assert "query 1 of the holdout" in bench.log()
    line = (
        "c001 [rejected] Edit GOOD: it beat the champion on train tasks, but the sealed holdout vetoed it, so its gain does not "
        "hold on unseen tasks"
    )
    assert line in sealed.splitlines()
    assert line in bench.log().splitlines()


async def test_a_worn_out_holdout_ends_the_study(bench: Bench) -> None:
    done, _ = await run(bench, script("GOOD", "NULL"), config(gate={"holdout_queries": 1}))
    assert done.reason == "gate.holdout_queries: the sealed holdout has answered 1 of 1 times; it is worn out"
    assert done.champion_candidate == "demo/c001"


async def test_the_level_of_a_study_and_a_bound_on_cost_reach_the_decision(bench: Bench) -> None:
    gate = {"error": "study", "max_cost_increase": 0.0, "cost_increase_per_point": 0.0}
    settings = config(budget={"candidates": 1}, gate=gate)
    await run(bench, script("GOOD"), settings)
    row = next(row for row in bench.reader().decisions("demo") if row.id == "demo/c001/full")
    assert row.policy["alpha"] < 0.1
    assert row.kind == "promote"
    assert row.reason.endswith("; a trial costs 10 tokens against 10 tokens (+0%), allowed up to 10 tokens (+0%)")


async def test_the_proposer_is_given_what_it_may_see(bench: Bench) -> None:
    sessions: list[ProposalSession] = []
    logs: list[str] = []

    async def look(session: ProposalSession) -> Proposal | NoProposal:
        sessions.append(session)
        logs.append(bench.log())
        return await script(*MARKS)(session)

    await run(bench, look, config())
    last = sessions[-1]
    assert set(last.cases.tasks) == set(TASKS) - set(HOLDOUT)
    told = last.log.everything
    assert not any(task in told for task in HOLDOUT)
    assert "c001 [rejected] Edit BAD: in the spot-check it broke" in told
    assert "c003 [failed] no usable edit: the model answered with a poem" in told.splitlines()
    assert "did better on: t0" in told
    assert "commit" not in told
    # The proposal under way is the session's own: people are told of it, and of no failure.
    assert "c005" not in told
    assert "c005 [proposing] a proposal is under way" in logs[-1].splitlines()
    assert [each.number for each in last.checks.earlier] == [1, 2, 3, 4]
    assert all(each.reason in told for each in last.checks.earlier)
    assert last.number == 5
    assert "GOOD" in last.harness
    audit = bench.reader().outcomes("demo/c004/audit")
    assert len(last.cases.cases) == len(audit) == 28
    assert sum(case.reward for case in last.cases.cases) == sum(trial.reward or 0.0 for trial in audit)
    assert await last.checks.dry_start("anything") == ""


async def test_a_hopeless_full_run_ends_early(bench: Bench) -> None:
    _, recorder = await run(
        bench, script("BAD"), config(budget={"candidates": 1}, gate={"spot_fixes": 0, "spot_guards": 0})
    )
    decision = next(event for event in recorder.events if isinstance(event, Decided) and event.stage is Stage.FULL)
    assert decision.decision.numbers["early"] is True
    run_, planned = decision.decision.numbers["run"], decision.decision.numbers["planned"]
    assert isinstance(run_, int)
    assert planned == 28
    assert run_ < 28
    assert len(bench.reader().outcomes("demo/c001/full")) == run_


async def test_a_champion_that_solves_everything_ends_the_study(bench: Bench) -> None:
    done, _ = await run(bench, script(), config(), rate_of=lambda text, planned: 1.0)
    assert done.reason == "the champion solves every train task in every trial; there is nothing left to win"


async def test_a_user_who_edits_the_harness_meanwhile_keeps_it(bench: Bench) -> None:
    async def meddle(session: ProposalSession) -> Proposal | NoProposal:
        (bench.root / "harness" / "agent.py").write_text("# mine\n")
        return proposal(session, "GOOD")

    _, recorder = await run(bench, meddle, config(budget={"candidates": 1}))
    promoted = next(event for event in recorder.events if isinstance(event, Promoted))
    assert "on the branch lorimer/demo" in promoted.note
    assert (bench.root / "harness" / "agent.py").read_text() == "# mine\n"


async def test_a_plain_run_measures_the_harness_on_all_tasks_once(bench: Bench) -> None:
    with bench.parts(script(), config(gate={"champion_repeats": 3})) as (parts, trials, recorder):
        await create(
            parts.store, study="demo", kind="run", suite=suite(), holdout=(), config=parts.config, harness=SEED
        )
        done = await evaluate(parts, "demo")
        again = await evaluate(parts, "demo")
    assert done.state == "finished"
    assert done.baseline is not None
    assert done.baseline.trials == 60
    assert again.baseline == done.baseline
    assert len(trials.ran) == 60
    assert [event.stage for event in recorder.events if isinstance(event, StageStarted)] == [Stage.BASELINE]


async def test_a_study_needs_a_task_and_a_name_of_its_own(bench: Bench) -> None:
    with bench.parts(script(), config()) as (parts, _, _):
        with pytest.raises(UserError, match="no task is left to work on"):
            await create(
                parts.store, study="x", kind="run", suite=suite(), holdout=TASKS, config=parts.config, harness=SEED
            )
        await bench.create(parts)
        with pytest.raises(UserError, match="there is a study demo already"):
            await bench.create(parts)
        with pytest.raises(LorimerError, match="there is no study other"):
            await optimize(parts, "other")
        assert result(parts.reader, "demo").baseline is None


async def test_a_study_that_lives_elsewhere_is_not_touched(bench: Bench) -> None:
    with bench.parts(script(), config()) as (parts, _, _):
        await bench.create(parts)
        await parts.store.claim("demo", "another-host:1:1")
        with pytest.raises(UserError, match="another-host"):
            await optimize(parts, "demo")
        assert parts.reader.study("demo").state == "paused"


# ---- the pure part


def decision(subject: str, stage: Stage, kind: str, score: float = 0.5) -> DecisionRow:
    return DecisionRow(
        id=f"{subject or 's/baseline'}/{stage}",
        study="s",
        subject=subject,
        stage=stage.value,
        kind=kind,
        reason="",
        numbers={"score": score},
        policy={},
        made="",
    )


def world(*decisions: DecisionRow, candidates: tuple[CandidateView, ...] = ()) -> World:
    return World("s", 0, "seed", ("a", "b"), ("c",)).with_all(candidates, decisions)


BASE = (decision("", Stage.BASELINE, "pass"), decision("", Stage.HOLDOUT, "pass"))


def candidate(state: str, number: int = 1) -> CandidateView:
    return CandidateView(f"s/c{number:03}", number, state, "seed", "better")


def test_what_comes_next_follows_from_the_world_alone() -> None:
    settings, one = config(), candidate("proposed")
    spot = decision(one.id, Stage.SPOT, "pass")
    full = decision(one.id, Stage.FULL, "promote")
    holdout = decision(one.id, Stage.HOLDOUT, "pass")
    audit = decision(one.id, Stage.AUDIT, "pass")
    assert next_command(world(), settings) == Evaluate(Stage.BASELINE)
    assert next_command(world(BASE[0]), settings) == Evaluate(Stage.HOLDOUT)
    assert next_command(world(*BASE), settings) == Propose(1)
    assert next_command(world(*BASE, candidates=(candidate("proposing"),)), settings) == Propose(1)
    assert next_command(world(*BASE, candidates=(one,)), settings) == Evaluate(Stage.SPOT, one)
    assert next_command(world(*BASE, spot, candidates=(one,)), settings) == Evaluate(Stage.FULL, one)
    assert next_command(world(*BASE, spot, full, candidates=(one,)), settings) == Evaluate(Stage.AUDIT, one)
    assert next_command(world(*BASE, spot, full, audit, candidates=(one,)), settings) == Evaluate(Stage.HOLDOUT, one)
    assert next_command(world(*BASE, spot, full, holdout, audit, candidates=(one,)), settings) == Promote(one)
    rejected = decision(one.id, Stage.FULL, "reject")
    assert next_command(world(*BASE, spot, rejected, candidates=(one,)), settings) == Propose(2)
    undecided = decision(one.id, Stage.FULL, "undecided")
    assert next_command(world(*BASE, spot, undecided, candidates=(one,)), settings) == Propose(2)
    assert next_command(world(*BASE, candidates=(candidate("rejected"),)), settings) == Propose(2)
    five = tuple(candidate("rejected", number) for number in range(1, 6))
    assert isinstance(next_command(world(*BASE, candidates=five), settings), FinishStudy)
