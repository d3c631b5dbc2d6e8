"""A provider that takes nothing of what a harness sends stops a study; a poisoned task or an edit of its own kind does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.kinds import Refused
from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.study.heard import REFUSED_TASKS, asks_nothing, breaks_in_all, refuses_all
from lorimer.meta_agent.study.loop import evaluate, optimize
from lorimer.meta_agent.workspace.events import HarnessNoted, Proposing
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.terminal.listing import status, status_text, studies, studies_text
from lorimer.terminal.opening import pick_study
from lorimer.traces.schema import PlannedTrial, Stage, TrialState, Used
from tests.meta_agent.test_loop import HOLDOUT, Bench, config, make_bench, script

Calls = Callable[[str, PlannedTrial], Used]
SAID = (
    "simulated/apprentice refused every call of the seed harness in 20 trials, and answers a plain question: it does not take "
    'what the harness sends: "it gave no reason"; check base_url, api, max_tokens and context_window in [providers.simulated], '
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def outcome(number: int, used: Used, reward: float | None = 0.0) -> TrialOutcome:
    planned = PlannedTrial(f"s/e/{number}/0", "s", "s/e", Stage.BASELINE, "sha", f"t{number}", 0, 0)
    state = TrialState.ERRORED if reward is None else TrialState.SCORED
    return TrialOutcome(planned, state, reward, "finished", used=used)


REFUSED, ANSWERED, SILENT = Used(3, refused=3), Used(3, refused=2), Used()


def test_a_provider_refuses_all_where_it_answered_no_call_of_any_trial() -> None:
    assert refuses_all([outcome(0, REFUSED), outcome(1, REFUSED)], of=2)
    assert not refuses_all([outcome(0, REFUSED), outcome(1, ANSWERED)], of=2)
    # What errored, or never called a model, says nothing.
    assert refuses_all([outcome(0, REFUSED), outcome(1, SILENT), outcome(2, ANSWERED, None)], of=3)
    assert not refuses_all([outcome(0, SILENT)], of=1)
    assert not refuses_all([], of=0)


def test_of_a_longer_plan_a_few_tasks_tell_nothing_and_many_do() -> None:
    many = [outcome(number, REFUSED) for number in range(REFUSED_TASKS)]
    assert not refuses_all(many[:-1], of=100)
    assert not refuses_all([*many[:-1], many[0]], of=100)
    assert refuses_all(many, of=100)
    assert not refuses_all([*many, outcome(99, ANSWERED)], of=100)


def test_a_harness_breaks_in_all_where_no_trial_ended_otherwise_or_has_a_reward() -> None:
    broke = replace(outcome(0, SILENT), cause="harness_exception")
    assert breaks_in_all([broke, replace(broke, cause="bad_return")], of=2)
    assert breaks_in_all([broke, outcome(1, SILENT, None)], of=2), "what errored says nothing"
    assert not breaks_in_all([broke, outcome(1, SILENT)], of=2)
    assert not breaks_in_all([broke, replace(broke, reward=0.5)], of=2)
    assert not breaks_in_all([broke], of=40)
    assert not breaks_in_all([], of=0)


# ---- in a study -----------------------------------------------------------------------------------------------------


def test_a_harness_asks_nothing_where_no_scored_trial_called_the_model() -> None:
    assert asks_nothing([outcome(0, SILENT), outcome(1, SILENT, 1.0), outcome(2, ANSWERED, None)])
    assert not asks_nothing([outcome(0, SILENT), outcome(1, REFUSED)])
    assert not asks_nothing([replace(outcome(0, SILENT), cause=Cause.LIMIT_CALLS)]), "its calls were ended with it"
    assert not asks_nothing([outcome(0, SILENT, None)])
    assert not asks_nothing([])


def calls(refused: Callable[[str, PlannedTrial], bool]) -> Calls:
    return lambda text, planned: Used(2, 10, refused=2 if refused(text, planned) else 0)


def nothing(text: str, planned: PlannedTrial) -> float:
    return 0.0


async def test_a_baseline_of_refused_calls_stops_the_study_and_a_resume_tries_its_trials_anew(bench: Bench) -> None:
    used = calls(lambda text, planned: True)
    with bench.parts(script("GOOD"), config(), nothing, used=used) as (parts, trials, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.state == "paused"
    assert done.reason.startswith(SAID.replace("20 trials", "28 trials"))
    assert "`lorimer traces show demo/baseline/baseline/t00/0/0` shows what was sent" in done.reason
    assert done.reason.endswith("once that is mended, these trials are tried anew; `lorimer resume demo` goes on")
    assert done.candidates == {}
    assert len(trials.ran) == 28
    # One that is stopped in the middle of it leaves no refused trial to count.
    used = calls(lambda text, planned: False)
    with (
        bench.parts(script("GOOD"), config(), used=used, fail_after=9, failure=LorimerError) as (parts, _, _),
        pytest.raises(LorimerError),
    ):
        await optimize(parts, "demo")
    with bench.parts(script("GOOD"), config(), used=used) as (parts, trials, _):
        done = await optimize(parts, "demo")
    assert done.state == "finished"
    assert done.champion_candidate == "demo/c001"
    assert done.baseline is not None
    straight = make_bench(bench.root.parent / "straight")
    with straight.parts(script("GOOD"), config(), used=used) as (parts, _, _):
        await straight.create(parts)
        other = await optimize(parts, "demo")
    assert other.baseline == done.baseline
    assert other.final == done.final
    assert bench.told() == straight.told()


async def test_a_run_of_refused_calls_stops_after_a_few_tasks(bench: Bench) -> None:
    settings = config(gate={"champion_repeats": 1})
    used = calls(lambda text, planned: True)
    with bench.parts(script(), settings, nothing, used=used) as (parts, trials, _):
        await bench.create(parts, kind="run")
        assert (await evaluate(parts, "demo")).state == "paused"
    assert len(trials.ran) == 14


async def test_one_poisoned_task_stops_no_study_and_its_share_is_told_beside_every_score(bench: Bench) -> None:
    used = calls(lambda text, planned: planned.task == "t13")
    with bench.parts(script("GOOD"), config(budget={"candidates": 1}), used=used) as (parts, _, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.state == "finished"
    assert done.champion_candidate == "demo/c001"
    share = Refused(4, 56)
    assert done.baseline is not None
    assert done.final is not None
    assert (done.baseline.refused, done.final.refused) == (share, share)
    told = "(refused: 4 of 56 calls, 7.1%)"
    reader = bench.reader()
    text = status_text(status(reader, pick_study(reader, None), bench.root))
    assert [line.split()[0] for line in text.splitlines() if told in line] == ["baseline", "champion"]
    assert '  refused     such as "it gave no reason" (demo/baseline/baseline/t13/0/0)' in text
    assert told in studies_text(studies(reader))
    log = bench.log().splitlines()
    assert [line.split()[0] for line in log if told in line] == ["Baseline", "Champion", "full:", "audit:"]
    assert "refused:" not in bench.told(), "the meta-agent reads what it always did"
    card = [line for line in evidence_card(reader, "demo").splitlines() if told in line]
    assert [line[:15] for line in card] == ["| baseline (the", "| champion (`c0", "- full: passed:", "- audit: 0.964 "]


async def test_beside_a_score_stand_the_refused_calls_of_its_own_trials(bench: Bench) -> None:
    """Under `pooled` the last champion's score is that of its final trials, and not of all that stand for it."""
    used = calls(lambda text, planned: planned.task == "t13")
    settings = config(gate={"policy": "pooled"}, budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, used=used) as (parts, _, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.champion_candidate == "demo/c001"
    assert done.final is not None
    assert (done.final.trials, done.final.refused) == (28, Refused(4, 56))
    told, reader = "(refused: 4 of 56 calls, 7.1%)", bench.reader()
    shown = [
        next(
            line
            for line in status_text(status(reader, pick_study(reader, None), bench.root)).splitlines()
            if "champion  " in line
        ),
        next(line for line in bench.log().splitlines() if line.startswith("Champion now")),
        next(line for line in studies_text(studies(reader)).splitlines() if line.startswith("demo ")),
        next(line for line in evidence_card(reader, "demo").splitlines() if line.startswith("| champion")),
    ]
    assert [line for line in shown if told not in line] == []


async def test_refused_calls_on_the_sealed_tasks_stand_beside_the_scores_there(bench: Bench) -> None:
    """The seed harness alone is refused, in both calls of each trial of some tasks: a score without answers is easily beaten."""
    used = calls(lambda text, planned: "GOOD" not in text and planned.task in (HOLDOUT[0], HOLDOUT[1], "t13"))
    settings = config(gate={"policy": "pooled"}, budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, used=used) as (parts, _, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    reader = bench.reader()
    found = status(reader, pick_study(reader, None), bench.root)
    assert found.sealed is not None
    assert found.baseline_first is not None
    trials = found.sealed[1].trials
    third = Refused(2 * trials // 3, 2 * trials)
    assert [each.refused.refused for each in found.sealed] == [0, third.refused]
    assert found.sealed[1].refused == third, "two tasks of six"
    first = found.baseline_first.trials
    assert found.baseline_first.refused == Refused(2 * first // 14, 2 * first), "one task of 14"
    share = f"(refused: {third.refused} of {third.calls} calls, 33.3%)"
    holdout = next(line for line in status_text(found).splitlines() if line.startswith("  holdout"))
    card = next(line for line in evidence_card(reader, "demo").splitlines() if line.startswith("Sealed holdout"))
    for line in (holdout, card.partition("At the study's end")[2]):
        assert line.count(share) == line.count("(refused") == 1


async def test_an_edit_whose_requests_are_refused_is_rejected_and_the_study_goes_on(bench: Bench) -> None:
    used = calls(lambda text, planned: "BAD" in text)
    settings = config(budget={"candidates": 2})
    with bench.parts(script("BAD", "GOOD"), settings, used=used) as (parts, _, _):
        await bench.create(parts)
        done = await optimize(parts, "demo")
    assert done.state == "finished"
    assert done.candidates == {"rejected": 1, "promoted": 1}
    assert "100.0%)" in bench.log()


async def test_a_harness_that_breaks_in_every_trial_stops_the_study_before_a_candidate_is_paid_for(
    bench: Bench,
) -> None:
    settings = config(budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, nothing, failed_by=lambda _: Cause.HARNESS_EXCEPTION) as (
        parts,
        trials,
        _,
    ):
        await bench.create(parts)
        done = await optimize(parts, "demo")
        assert done.state == "paused"
        assert done.reason == (
            'the seed harness broke in 28 trials of 28, so its score says nothing of how it works: "harness_exception"; '
            "`lorimer traces show demo/baseline/baseline/t00/0/0` shows one of them; mend it, commit it, and begin anew"
        )
        assert done.candidates == {}
        assert len(trials.ran) == 28
        assert (await optimize(parts, "demo")).reason == done.reason
        assert len(trials.ran) == 28


@pytest.mark.parametrize(("used", "warned"), [(SILENT, 1), (ANSWERED, 0)])
async def test_a_harness_that_asks_no_model_is_told_of_before_a_candidate_is_paid_for(
    bench: Bench, used: Used, warned: int
) -> None:
    settings = config(budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, nothing, used=lambda text, planned: used) as (parts, _, recorder):
        await bench.create(parts)
        await optimize(parts, "demo")
    said = [at for at, event in enumerate(recorder.events) if isinstance(event, HarnessNoted)]
    assert len(said) == warned
    if warned:
        proposing = next(at for at, event in enumerate(recorder.events) if isinstance(event, Proposing))
        assert said[0] < proposing
        assert recorder.events[said[0]] == HarnessNoted(
            "the seed harness asked the model nothing in 28 trials: it ended before it called llm.complete, or what it starts "
            "asks a model by itself, and such calls are neither recorded nor limited nor counted as spent"
        )


async def test_a_harness_that_breaks_in_all_but_one_trial_is_one_to_improve(bench: Bench) -> None:
    def cause(planned: PlannedTrial) -> Cause:
        return Cause.FINISHED if planned.task == "t13" else Cause.HARNESS_EXCEPTION

    settings = config(budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, nothing, failed_by=cause) as (parts, _, _):
        await bench.create(parts)
        assert (await optimize(parts, "demo")).state == "finished"
