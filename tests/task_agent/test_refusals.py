"""A harness whose requests are refused, and a provider that refuses everybody's."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Task
from lorimer.errors import CallFailed, ProviderOutage, ProviderRefusal
from lorimer.harness.api import Completion, StopReason, Tool, assistant, user
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import ExecOutput
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.serving.refusals import QUESTION, RefusalWatch
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.wording import LONGEST_WORDS
from tests.support.trials import Answer, Remembering, ScriptedModel, local_scheduler, make_task, reply, solve

SHELL = Tool("shell", "Run.", {"type": "object"})
REQUEST = ModelRequest(
    (user("long"), assistant("and"), user("poisoned")), "Be good.", (SHELL,), 77, ("END",), 0.5, "low"
)
WORDS = "max_tokens is too large: 4096"


def completion(reason: StopReason, error: str = "") -> Completion:
    return Completion(assistant(""), reason, error=error)


# ---- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["rejected", "context_overflow", "refusal"])
def test_the_question_has_the_form_of_what_was_refused_or_none_at_all(reason: StopReason) -> None:
    for own_form, question in (
        (True, dataclasses.replace(REQUEST, messages=(user(QUESTION),))),
        (False, ModelRequest((user(QUESTION),))),
    ):
        refusals = RefusalWatch("local/m", own_form=own_form)
        refusals.heard(ModelRequest((user("first"),)), completion(reason))
        refusals.heard(REQUEST, completion(reason))
        assert refusals.question == question


def test_nothing_is_asked_where_no_call_was_made_or_any_was_answered() -> None:
    assert RefusalWatch("local/m", own_form=True).question is None
    for answered in ("end", "tool_calls", "max_tokens", "stop"):
        refusals = RefusalWatch("local/m", own_form=True)
        refusals.heard(REQUEST, completion("rejected"))
        refusals.heard(REQUEST, completion(answered))
        refusals.heard(REQUEST, completion("rejected"))
        assert refusals.question is None


@pytest.mark.parametrize("reason", ["rejected", "context_overflow", "refusal"])
def test_a_refused_question_is_told_in_the_providers_words_and_with_what_to_check(reason: StopReason) -> None:
    refusals = RefusalWatch("local/m", own_form=False)
    with pytest.raises(ProviderRefusal) as told:
        refusals.raise_if_refused(completion(reason, f"{WORDS}\nsee the manual"))
    assert str(told.value) == (
        f'local/m refuses every request: "{WORDS} see the manual"; check base_url, api, max_tokens and context_window in '
        "[providers.local], and whether this model takes what the harness sends, such as tools"
    )
    refusals.raise_if_refused(completion("end"))


@pytest.mark.parametrize(
    "words",
    [
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "tools param requires --jinja flag",
        "registry.ollama.ai/library/gemma:2b does not support tools",
        "No endpoints found that support tool use.",
        "deepseek-reasoner does not support Function Calling",
        "`tool calling` is not supported with this model",
        "Function calling is not enabled for models/gemma-3-27b-it",
        "Unrecognized request argument supplied: tools",
    ],
)
def test_a_server_that_takes_no_tools_is_told_so_with_what_helps(words: str) -> None:
    with pytest.raises(ProviderRefusal) as told:
        RefusalWatch("local/m", own_form=True).raise_if_refused(completion("rejected", words))
    assert str(told.value) == (
        f'local/m refuses every request: "{words}"; it takes no tools for this model: start vLLM with --enable-auto-tool-choice '
        "and --tool-call-parser, or llama-server with --jinja; or take a model that has tools, or a harness that asks for "
        "commands in text (docs/models.md)"
    )


def test_a_refusal_without_a_word_and_one_of_a_whole_page_are_a_line_too() -> None:
    refusals = RefusalWatch("local/m", own_form=False)
    with pytest.raises(ProviderRefusal, match='refuses every request: "it gave no reason"'):
        refusals.raise_if_refused(completion("rejected"))
    with pytest.raises(ProviderRefusal) as told:
        refusals.raise_if_refused(completion("rejected", "<p>\n" * 1000))
    assert len(str(told.value)) < LONGEST_WORDS + 300


# ---- in trials ------------------------------------------------------------------------------------------------------

ASKS = solve(
    "return llm.complete([user(task.instruction)], tools=[Tool('shell', 'Run.', {'type': 'object'})]).text"
).text
BREAKS = solve("llm.complete([user('x')], max_tokens=7)\nraise RuntimeError('nothing came')").text


async def play(
    folder: Path,
    answer: Answer,
    *,
    stage: Stage = Stage.BASELINE,
    harness: str = ASKS,
    names: Sequence[str] = "ab",
    retries: int = 0,
) -> tuple[Remembering, ScriptedModel, list[TrialOutcome]]:
    """Trials of these tasks one after the other, each scored 1 once it is verified."""

    def verify(command: str, sandbox: FakeSandbox) -> ExecOutput:
        if command.startswith("sh /tests/"):
            sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"", b"", 0)

    tasks: list[Task] = [make_task(folder, name=name, instruction=f"task {name}") for name in names]
    sink, model = Remembering(), ScriptedModel(answer)
    scheduler = local_scheduler(
        FakeProvider(verify, allow_unsandboxed_jail=True), tasks, sink, model=model, concurrency=1, retries=retries
    )
    plan = [PlannedTrial(f"s/e/{task.id}/0", "s", "s/e", stage, "sha", task.id, 0, 7) for task in tasks]
    try:
        return sink, model, await scheduler.run(plan, harness)
    except ProviderRefusal as error:
        refused = error
    assert WORDS in str(refused)
    return sink, model, []


def refused(words: str = WORDS) -> ModelReply:
    return reply("", stop="rejected", error=words, tokens=(0, 0))


@pytest.mark.parametrize("stage", [Stage.BASELINE, Stage.SPOT])
@pytest.mark.parametrize("harness", [ASKS, BREAKS], ids=["goes on", "breaks"])
async def test_where_everything_is_refused_the_run_stops_and_nothing_is_scored(
    tmp_path: Path, stage: Stage, harness: str
) -> None:
    sink, model, outcomes = await play(tmp_path, lambda request, context: refused(), stage=stage, harness=harness)
    assert outcomes == []
    ((name, end),) = sink.ends.items()
    assert (name, end.state.value, end.cause, end.reward) == ("s/e/a/0/0", "errored", "provider_refusal", None)
    assert WORDS in end.detail
    assert len(model.requests) == 2
    assert len(sink.calls) == 1  # the question is no step of the trial,
    assert len(sink.settlements) == 2  # and paid for


async def test_one_poisoned_conversation_is_scored_like_any_other_also_where_it_is_the_first(tmp_path: Path) -> None:
    def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        return refused() if request.messages[0].text == "task a" else reply()

    sink, model, outcomes = await play(tmp_path, answer)
    assert [(outcome.cause, outcome.reward) for outcome in outcomes] == [("finished", 1.0), ("finished", 1.0)]
    assert [request.messages[0].text for request in model.requests] == ["task a", QUESTION, "task b"]
    assert model.requests[1].tools == (SHELL,)
    # What the question took is the study's, not the trial's.
    assert sink.ends["s/e/a/0/0"].used.tokens == 0


async def test_the_form_of_the_seed_harness_is_the_users_to_mend_and_of_an_edited_one_the_edits_fault(
    tmp_path: Path,
) -> None:
    def no_tools(request: ModelRequest, context: CallContext) -> ModelReply:
        return refused(f"{WORDS}, and m does not support tools") if request.tools else reply()

    sink, _, outcomes = await play(tmp_path / "seed", no_tools, names="a")
    assert outcomes == []
    assert "does not support tools" in sink.ends["s/e/a/0/0"].detail
    _, _, outcomes = await play(tmp_path / "edited", no_tools, stage=Stage.FULL, names="a")
    assert [(outcome.cause, outcome.reward) for outcome in outcomes] == [("finished", 1.0)]


async def test_nothing_is_asked_of_a_model_that_answered_or_was_never_called(tmp_path: Path) -> None:
    _, model, _ = await play(tmp_path / "one", lambda request, context: reply())
    assert len(model.requests) == 2
    _, model, _ = await play(tmp_path / "two", lambda request, context: reply(), harness=solve("return ''").text)
    assert model.requests == []


async def test_a_run_that_is_stopped_while_the_question_is_asked_stops(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        if request.messages[0].text == QUESTION:
            asked.set()
            await asyncio.sleep(60)
        return refused()

    running = asyncio.create_task(play(tmp_path, answer, names="a"))
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# ---- conversations that a provider fails at --------------------------------------------------------------------------


def fails_at(task: str, question: ModelReply) -> Answer:
    """A model's client whose provider fails at one task's conversation, and what it answers to the question."""

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        if request.messages[0].text == QUESTION:
            assert context.once
            return question
        if request.messages[0].text != f"task {task}":
            return reply()
        assert context.answers is not None
        if await context.answers():
            raise CallFailed("scripted/model: failed 5 times at this conversation")
        raise ProviderOutage("scripted/model: down")

    return answer


async def test_a_conversation_that_the_provider_fails_at_errors_its_trial_and_the_others_go_on(tmp_path: Path) -> None:
    sink, model, outcomes = await play(tmp_path, fails_at("a", reply()), retries=2)
    assert [(outcome.cause, outcome.reward) for outcome in outcomes] == [("provider_call", None), ("finished", 1.0)]
    # It is retried as often as any errored trial.
    assert [end.cause for name, end in sink.ends.items() if "/a/" in name] == ["provider_call"] * outcomes[0].attempts
    assert outcomes[0].attempts == 3
    # The question is paid for, and no step of the trial.
    assert sum(request.messages[0].text == QUESTION for request in model.requests) == outcomes[0].attempts
    assert all(call.messages[0].text != QUESTION for call in sink.calls)


async def test_where_the_question_is_refused_a_request_that_was_answered_before_tells_as_much(tmp_path: Path) -> None:
    _, model, outcomes = await play(tmp_path, fails_at("b", refused()))
    assert [(outcome.cause, outcome.reward) for outcome in outcomes] == [("finished", 1.0), ("provider_call", None)]
    assert [request.messages[0].text for request in model.requests][:4] == ["task a", "task b", QUESTION, "task a"]


async def test_a_provider_that_answers_neither_is_down(tmp_path: Path) -> None:
    with pytest.raises(ProviderOutage, match="down"):
        await play(tmp_path, fails_at("a", refused()))
