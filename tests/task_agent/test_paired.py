"""Trials that are answered from a record until their harness asks for something else: real harnesses, jails and sandboxes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lorimer.config.settings import BudgetSettings
from lorimer.errors import EngineOutage
from lorimer.harness.api import Completion, Reasoning, Usage, assistant
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import ExecOutput, SandboxProvider
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.paired.carried import Carried, as_json, carried, from_json
from lorimer.task_agent.spec import Harness
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import NOTHING, PlannedTrial, Replayed, Stage, StepKind, TrialState
from lorimer.traces.wired import Gap, Record
from tests.support.trials import (
    REAL,
    Answer,
    Played,
    Remembering,
    ScriptedModel,
    local_scheduler,
    make_task,
    play,
    reply,
    solve,
)
from tests.task_agent.conftest import Try
from tests.task_agent.test_record import record_of, stored

BODY = """
    first = llm.complete([user("Plan: " + task.instruction)], max_tokens=50)
    env.write("/app/a.txt", "one\\n")
    out = env.exec("cat /app/a.txt; date; echo two >> /app/a.txt").stdout
    note("halfway")
    second = llm.complete([user("Go on"), first.message, user("and now")])
    out = env.exec("cat /app/a.txt").stdout
    third = llm.complete([user("Last"), first.message, second.message, user("end")])
    return "|".join([first.text, second.text, third.text, out])
"""


def numbered(request: ModelRequest, context: CallContext) -> ModelReply:
    return reply(f"answer {context.call_index}")


def fresh(request: ModelRequest, context: CallContext) -> ModelReply:
    return reply(f"live {context.call_index}")


async def record(attempt: Try, tmp_path: Path, agent: Harness, answer: Answer = numbered) -> Carried:
    found = await record_of(await attempt(agent, answer=answer), tmp_path)
    assert isinstance(found, Record), found
    return carried(found)


def told(played: Played) -> Replayed:
    assert played.end.replayed is not None
    return played.end.replayed


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_what_the_record_holds_is_not_paid_for_again_and_the_rest_is_live(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    edited = solve(BODY.replace('user("Last")', 'user("Very last")'))
    played = await attempt(edited, answer=fresh, record=held)
    assert played.end.answer == "answer 0|answer 1|live 2|one\ntwo\n"
    assert [context.call_index for context in played.model.contexts] == [2], "the others come from the record"
    assert (played.end.state, played.end.reward, played.end.cause) == (TrialState.SCORED, 1.0, "finished")
    assert (played.end.used.calls, played.end.used.tokens) == (3, 45), "limits count as if all had been live"
    assert (told(played).trial, told(played).touch, told(played).whole) == ("s/e/task/0/0", 7, "")
    assert (told(played).saved.calls, told(played).saved.tokens) == (2, 30)
    assert told(played).saved.usd == pytest.approx(0.03)
    assert len(played.sink.reservations) == len(played.sink.settlements) == 1
    assert [call.recorded for call in played.sink.calls] == [True, True, False]
    marks = [(step.kind, bool(step.data.get("recorded"))) for step in played.sink.steps]
    assert marks == [
        (StepKind.WRITE, True),
        (StepKind.EXEC, True),
        (StepKind.NOTE, True),
        (StepKind.EXEC, True),
    ]


@pytest.mark.bubblewrap
async def test_an_unchanged_harness_ends_as_in_the_record(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    played = await attempt(solve(BODY), answer=fresh, record=held)
    assert played.end.answer == "answer 0|answer 1|answer 2|one\ntwo\n"
    assert (played.model.requests, told(played).touch, told(played).saved.calls) == ([], None, 3)


@pytest.mark.bubblewrap
async def test_a_command_that_is_edited_runs_in_a_sandbox_that_is_in_step(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    edited = solve(BODY.replace('out = env.exec("cat /app/a.txt")', 'out = env.exec("wc -l < /app/a.txt")'))
    played = await attempt(edited, answer=fresh, record=held)
    assert (told(played).touch, played.end.answer) == (6, "answer 0|answer 1|live 2|2\n")


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("date; date +%Y-%m-%dT%H:%M:%S.%N; ls -l --time-style=full-iso /app/a.txt", ""),
        ("echo took 0.$(date +%N)s", ""),
        ("cat /proc/sys/kernel/random/uuid", "its output was "),
        # A second lies between the two times, so the codes differ; microseconds were the same once in 250 runs.
        ("sleep 1; exit $(( $(date +%s) % 250 ))", "its exit code was "),
        ("mktemp -d", "its output was "),
    ],
)
async def test_dates_may_differ_and_names_may_not(attempt: Try, tmp_path: Path, command: str, whole: str) -> None:
    body = f"""
        env.write("/app/a.txt", "one")
        out = env.exec({command!r})
        return llm.complete([user("It said " + out.stdout)]).text
    """
    held = await record(attempt, tmp_path, solve(body))
    played = await attempt(solve(body.replace("It said", "So it said")), answer=fresh, record=held)
    if not whole:
        assert (played.end.cause, told(played).touch, played.end.answer) == ("finished", 3, "live 0")
        return
    assert (played.end.state, played.end.cause) == (TrialState.ERRORED, Cause.RECORD_PARTED)
    assert f"`$ {command}` at step 2: {whole}" in played.end.detail
    assert told(played) == Replayed("s/e/task/0/0", None, NOTHING, 0.0, played.end.detail)
    assert played.model.requests == [], "nothing was paid before it was known"


@pytest.mark.bubblewrap
async def test_a_date_that_is_used_again_as_a_name_parts_too(attempt: Try, tmp_path: Path) -> None:
    body = """
        day = env.exec("date +%Y-%m-%dT%H:%M:%S.%N").stdout.strip()
        env.exec("touch /app/$(ls /app | wc -l)")
        env.exec("cat /app/" + day)
        return llm.complete([user("done")]).text
    """
    held = await record(attempt, tmp_path, solve(body))
    played = await attempt(solve(body), answer=fresh, record=held)
    assert played.end.cause == Cause.RECORD_PARTED
    assert 'it names "2' in played.end.detail


def thinking(request: ModelRequest, context: CallContext) -> ModelReply:
    message = assistant(f"answer {context.call_index}", (), [Reasoning("hm", {"signature": "x"})])
    return ModelReply(Completion(message, "end", Usage(10, 5)), 0.01, answered="model-1")


def refusing(request: ModelRequest, context: CallContext) -> ModelReply:
    return reply("", stop="rejected", error="Invalid signature in thinking block")


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (refusing, "the provider does not take the recorded answers back: "),
        (
            lambda request, context: dataclasses.replace(reply(), answered="model-2"),
            "model-2 answers, where model-1 did",
        ),
    ],
)
async def test_another_model_and_refused_reasoning_part_at_the_first_live_call(
    attempt: Try, tmp_path: Path, answer: Answer, why: str
) -> None:
    held = await record(attempt, tmp_path, solve(BODY), thinking)
    assert held.models == ("model-1",)
    edited = solve(BODY.replace('user("and now")', 'user("and then")'))
    played = await attempt(edited, answer=answer, record=held)
    assert played.end.cause == Cause.RECORD_PARTED
    assert why in played.end.detail
    assert len(played.model.requests) == 1


@pytest.mark.bubblewrap
async def test_a_refusal_after_the_recorded_answers_were_taken_is_the_harness_own(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY), thinking)

    def later(request: ModelRequest, context: CallContext) -> ModelReply:
        return thinking(request, context) if context.call_index == 1 else refusing(request, context)

    played = await attempt(solve(BODY.replace('user("and now")', 'user("and then")')), answer=later, record=held)
    assert (played.end.cause, told(played).touch) == ("finished", 5)


@pytest.mark.bubblewrap
async def test_limits_count_recorded_calls_and_their_seconds(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    edited = solve(BODY.replace('user("Last")', 'user("Very last")'))
    played = await attempt(edited, answer=fresh, record=held, limits={"calls": 2})
    assert (played.end.cause, played.end.used.calls) == (Cause.LIMIT_CALLS, 2)
    played = await attempt(edited, answer=fresh, record=held, limits={"tokens": 30})
    assert (played.end.cause, played.end.used.tokens) == (Cause.LIMIT_TOKENS, 30)
    calls = held.parts[0].calls
    late = tuple(dataclasses.replace(call, asked=call.asked + 90, answered=call.answered + 90) for call in calls[-2:])
    slow = Carried(held.trial, held.models, (dataclasses.replace(held.parts[0], calls=(*calls[:-2], *late)),))
    played = await attempt(solve(BODY + "\n    "), answer=fresh, record=slow, limits={"seconds": 60})
    assert (played.end.cause, played.end.active_seconds > 60) == (Cause.LIMIT_SECONDS, True)


CLOCKS = """
    began = time.monotonic()
    llm.complete([user("one")])
    asked = time.monotonic() - began
    llm.complete([user("two")])
    time.sleep(0.3)
    last = time.monotonic() - began
    return f"{asked:.3f} {last:.3f}"
"""


@pytest.mark.bubblewrap
async def test_the_jails_clock_follows_the_record_and_goes_on_by_itself_after_it(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(CLOCKS))
    part = held.parts[0]
    first = dataclasses.replace(part.calls[0], answered=40.0)
    slow = Carried(held.trial, (), (dataclasses.replace(part, calls=(first, *part.calls[1:])),))
    played = await attempt(solve(CLOCKS.replace("two", "zwei")), answer=fresh, record=slow)
    asked, last = map(float, played.end.answer.split())
    assert 39.9 < asked < 40.1
    assert 40.3 <= last < 60
    assert played.end.active_seconds > 40


@pytest.mark.bubblewrap
async def test_threads_are_answered_as_they_were(attempt: Try, tmp_path: Path) -> None:
    body = """
        waits = "touch /app/begun; until [ -e /app/go ]; do sleep 0.05; done; echo a"
        first = threading.Thread(target=lambda: env.exec(waits))
        first.start()
        while env.exec("[ -e /app/begun ]").exit_code:
            time.sleep(0.05)
        env.exec("touch /app/go")
        first.join()
        return llm.complete([user("end")]).text
    """
    held = await record(attempt, tmp_path, solve(body))
    played = await attempt(solve(body.replace("end", "the end")), answer=fresh, record=held)
    assert played.end.state in (TrialState.SCORED, TrialState.ERRORED)
    assert played.end.cause in ("finished", Cause.RECORD_PARTED), "how often it looked depends on the time"


async def test_a_record_is_carried_as_json_and_back(attempt: Try, tmp_path: Path) -> None:
    body = """
        env.write("/app/in.bin", bytes(range(256)))
        env.read("/app/in.bin")
        for wrong in (lambda: env.read("/app/none"), lambda: llm.complete([user("x")], temperature=9)):
            try:
                wrong()
            except (EnvError, ValueError):
                pass
        return llm.complete([user("x")]).text
    """
    held = await record(attempt, tmp_path, solve(body), thinking)
    assert from_json(as_json(held)) == held
    with pytest.raises(ValueError, match="no record"):
        from_json({"trial": "t"})


@pytest.mark.bubblewrap
async def test_a_trial_that_was_answered_from_a_record_has_none_of_its_own(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    played = await attempt(solve(BODY), answer=fresh, record=held)
    with await stored(played, tmp_path / "other.db") as store:
        reader = StoreReader(store)
        row, found = reader.trial(played.end.id), reader.records([played.end.id])[played.end.id]
        assert isinstance(found, Gap)
        assert (found.kind, found.why) == ("continued", "it was answered in part from the record of another trial")
        assert (row.recorded_trial, row.touch, row.ran_whole) == (held.trial, None, "")
        assert (row.model_calls, row.saved_calls, row.saved_tokens) == (3, 3, 45)
        assert row.saved_usd == row.cost_usd == pytest.approx(0.045)
        steps = reader.steps(played.end.id)
        assert all(step.data.get("recorded") for step in steps)
        assert len(steps) == 7


@pytest.mark.bubblewrap
async def test_a_trial_that_parts_from_its_record_is_run_whole_and_says_why(
    provider: SandboxProvider, attempt: Try, tmp_path: Path
) -> None:
    body = """
        out = env.exec("cat /proc/sys/kernel/random/uuid").stdout
        return llm.complete([user("say")]).text
    """
    agent, task = solve(body), make_task(tmp_path)
    found = await record_of(await attempt(agent, task, answer=numbered), tmp_path)
    assert isinstance(found, Record)
    sink, model = Remembering(), ScriptedModel(fresh)
    planned = PlannedTrial("s/c1/spot/task/0", "s", "s/c1/spot", Stage.SPOT, "sha", task.id, 0, 7)
    scheduler = local_scheduler(provider, [task], sink, model=model)
    (outcome,) = await scheduler.run([planned], agent.text, records={planned.id: found})
    assert (outcome.state, outcome.reward, outcome.attempts, outcome.used.calls) == (TrialState.SCORED, 1.0, 2, 1)
    parted, whole = sink.ends.values()
    assert (parted.cause, whole.cause, whole.answer) == (Cause.RECORD_PARTED, "finished", "live 0")
    assert whole.replayed == Replayed(found.trial, whole=parted.detail)
    assert "its output was" in parted.detail
    # A study that was killed between the two goes on with the whole one.
    again = Remembering()
    scheduler = local_scheduler(provider, [task], again, model=ScriptedModel(fresh))
    (same,) = await scheduler.run([planned], agent.text, past={planned.id: [parted]}, records={planned.id: found})
    (end,) = again.ends.values()
    assert (same.reward, end.id, end.replayed) == (outcome.reward, whole.id, whole.replayed)


@pytest.mark.bubblewrap
async def test_a_record_saves_nothing_of_a_budget_and_spends_nothing_of_it(attempt: Try, tmp_path: Path) -> None:
    held = await record(attempt, tmp_path, solve(BODY))
    edited = solve(BODY.replace('user("Last")', 'user("Very last")'))
    (only,) = (await attempt(edited, answer=fresh, record=held)).sink.reservations
    played = await attempt(edited, answer=fresh, record=held, budget=BudgetSettings(tokens=only.tokens))
    assert (played.end.cause, len(played.model.requests)) == ("finished", 1), (
        "the budget is no larger than the live call"
    )


async def test_an_engine_that_dies_while_commands_are_made_again_says_nothing_of_the_record(tmp_path: Path) -> None:
    body = """
        out = env.exec("look").stdout
        return llm.complete([user("say")]).text + out
    """
    dies = {"now": False}

    def shell(command: str, sandbox: FakeSandbox) -> ExecOutput:
        if command == "look" and dies["now"]:
            raise EngineOutage("the engine does not answer")
        if command.startswith("sh /tests/"):
            sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"seen", b"", 0)

    provider, task = FakeProvider(shell, allow_unsandboxed_jail=True), make_task(tmp_path)
    found = await record_of(await play(provider, task, solve(body), answer=numbered), tmp_path)
    assert isinstance(found, Record), found
    dies["now"] = True
    played = await play(provider, task, solve(body), answer=fresh, record=carried(found))
    assert (played.end.state, played.end.cause) == (TrialState.ERRORED, Cause.ENGINE_OUTAGE)
    dies["now"] = False
    again = await play(provider, task, solve(body), answer=fresh, record=carried(found))
    assert (again.end.answer, told(again).saved.calls) == ("answer 0seen", 1)


@pytest.mark.bubblewrap
async def test_a_record_with_a_gap_leaves_the_trial_whole_and_says_why(
    provider: SandboxProvider, tmp_path: Path
) -> None:
    agent, task, sink = solve('return llm.complete([user("say")]).text'), make_task(tmp_path), Remembering()
    planned = PlannedTrial("s/c1/spot/task/0", "s", "s/c1/spot", Stage.SPOT, "sha", task.id, 0, 7)
    scheduler = local_scheduler(provider, [task], sink, model=ScriptedModel(fresh))
    gap = Gap("s/e/task/0/0", "masked", "call 1 (llm.complete) held a secret, which is not kept")
    await scheduler.run([planned], agent.text, records={planned.id: gap})
    (end,) = sink.ends.values()
    assert (end.state, end.answer, end.replayed) == (TrialState.SCORED, "live 0", Replayed(gap.trial, whole=gap.why))
