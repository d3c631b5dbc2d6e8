"""A proposal session with models good and bad."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorimer.config.settings import MetaSettings
from lorimer.errors import BudgetExhausted
from lorimer.harness.api import Completion, Message, ToolCall, Usage, assistant
from lorimer.harness.text import text_calls
from lorimer.harness.version import sha
from lorimer.meta_agent.proposer.log import Log, ToldExperiment
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.proposer.tools import TOOLS
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, HARNESS, TOOL_NAMES, Lab, ScriptedModel, calls, says

SMALL = MetaSettings(context_tokens=8_192, max_tokens=1_024)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
async def wordy(tmp_path: Path) -> AsyncIterator[Lab]:
    """A study whose traces are far longer than a small context."""
    made = await make.open_lab(tmp_path, long_output=200_000)
    yield made
    made.store.close()


def text_call(name: str, arguments: dict[str, Any]) -> str:
    return json.dumps({"name": name, "arguments": arguments})


def well_formed(messages: tuple[Message, ...]) -> None:
    """As every provider wants it: each call answered right after it, and nothing answered that was not called."""
    open_calls: set[str] = set()
    assert messages[0].role == "user"
    for message in messages:
        if message.role == "tool":
            open_calls.remove(message.tool_call_id)
            continue
        assert not open_calls
        assert message.text or message.tool_calls
        open_calls = {call.id for call in message.tool_calls}
    assert not open_calls


# ---- models that can call tools ------------------------------------------------------------------------------------


async def test_a_session_looks_around_and_ends_with_the_edit(lab: Lab) -> None:
    model = ScriptedModel(
        [
            calls(("list_failures", {}), ("experiment_log", {})),
            calls(("read_trace", {"trial": "alpha/0"})),
            calls(("read_harness", {})),
            calls(("propose_edit", EDIT)),
        ]
    )
    proposal = await propose(lab.session(model))
    assert isinstance(proposal, Proposal)
    assert (proposal.title, proposal.fixes) == ("Look first", ("alpha",))
    assert "Look at the inputs" in proposal.text
    heard = make.texts(model.requests[-1].messages)
    assert "2 of 4 trials failed" in heard
    assert "KeyError needle" in heard
    assert len(model.requests) == 4
    for request in model.requests:
        well_formed(request.messages)
        assert {tool.name for tool in request.tools} == TOOL_NAMES - {"preview_edit"}, "nothing is previewed here"


async def test_calls_tell_where_they_come_from_and_nothing_that_changes_between_runs(lab: Lab) -> None:
    model = ScriptedModel([calls(("list_failures", {})), calls(("propose_edit", EDIT))])
    await propose(lab.session(model))
    assert model.contexts == [CallContext("meta", 7, sha(HARNESS), "c3", 3, index) for index in range(2)]


async def test_a_failed_check_goes_back_and_the_corrected_edit_is_taken(lab: Lab) -> None:
    wrong = {**EDIT, "hunks": [{"search": "PROMPT = 'Solve'", "replace": ""}]}
    model = ScriptedModel([calls(("propose_edit", wrong)), calls(("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model)), Proposal)
    (result,) = model.last_results()
    assert result.is_error
    assert "`search` is not in agent.py" in result.text


async def test_the_last_refusal_is_the_reason_where_no_edit_came(lab: Lab) -> None:
    def refused(request: ModelRequest) -> Completion:
        search = "zq" * len(request.messages)
        return calls(("propose_edit", {**EDIT, "hunks": [{"search": search, "replace": ""}]}))

    outcome = await propose(lab.session(ScriptedModel([refused]), settings=MetaSettings(calls=4)))
    assert isinstance(outcome, NoProposal)
    assert outcome.reason.startswith(
        "the meta-agent used up its 4 calls without a usable edit; its last edit was refused: the"
    )


async def test_the_last_answers_are_announced(lab: Lab) -> None:
    trials = ["alpha/0", "alpha/1", "beta/0", "gamma/0"]
    model = ScriptedModel([calls(("read_trace", {"trial": trial})) for trial in trials])
    await propose(lab.session(model, settings=MetaSettings(calls=4)))
    assert "[1 answer left: call propose_edit now.]" in model.last_results()[-1].text
    assert "answers left" not in make.texts(model.requests[1].messages)


async def test_a_model_in_a_circle_is_stopped(lab: Lab) -> None:
    model = ScriptedModel([calls(("read_harness", {}))])
    outcome = await propose(lab.session(model))
    assert outcome == NoProposal("the meta-agent repeated the same call 3 times (read_harness)")
    (result,) = model.last_results()
    assert result.is_error
    assert result.text == (
        "Error: you made this very call just before, and it gives the very same answer, which stands above. Make another call, "
        "or propose an edit now."
    )


async def test_a_circle_of_several_calls_is_stopped(lab: Lab) -> None:
    around = [calls((name, {})) for name in ("read_harness", "list_failures", "experiment_log")]
    model = ScriptedModel([around[n % 3] for n in range(20)])
    outcome = await propose(lab.session(model, settings=MetaSettings(calls=20)))
    assert outcome == NoProposal("the meta-agent goes in circles: 8 of its calls it had made before")
    assert len(model.requests) == 12
    (result,) = model.last_results()
    assert result.text.startswith("(You made this very call before. Do something else: propose an edit.)\n")
    assert not result.is_error


async def test_a_native_call_that_is_no_json_is_answered_as_an_error(lab: Lab) -> None:
    broken = Completion(assistant("", [ToolCall("1", "propose_edit", malformed='{"title": ')]), "tool_calls")
    model = ScriptedModel([broken, calls(("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model)), Proposal)
    (result,) = model.last_results()
    assert (result.role, result.is_error) == ("tool", True)
    assert 'not a JSON object: {"title":' in result.text
    well_formed(model.requests[-1].messages)


# ---- models that cannot ----------------------------------------------------------------------------------------------

FORMS = [
    "{call}",
    "I will look.\n```json\n{call}\n```",
    "<tool_call>\n{call}\n</tool_call>",
    '{{"type": "function", "function": {call}}}',
    "Sure!\n```\n{call}\n```\nThis lists the failures. {{braces}}",
]


@pytest.mark.parametrize("form", FORMS)
async def test_calls_in_text_are_answered_in_text(lab: Lab, form: str) -> None:
    model = ScriptedModel(
        [
            says(form.format(call=text_call("list_failures", {}))),
            says(form.format(call=text_call("propose_edit", EDIT))),
        ]
    )
    assert isinstance(await propose(lab.session(model, settings=SMALL)), Proposal)
    (result,) = model.last_results()
    assert result.role == "user"
    assert result.text.startswith("Result of list_failures:\n2 of 4 trials failed")


async def test_a_text_call_that_is_no_json_gets_a_short_precise_correction(lab: Lab) -> None:
    broken = '```json\n{"name": "propose_edit", "arguments": {"title": "A "quoted" title", "hunks": []}}\n```'
    model = ScriptedModel([says(broken), says(text_call("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model, settings=SMALL)), Proposal)
    (nudge,) = model.last_results()
    assert nudge.text.startswith(
        "Your tool call `propose_edit` could not be read: not valid JSON: Expecting ',' delimiter"
    )
    assert "near" in nudge.text
    assert '"hunks": [{"search": "old lines"' in nudge.text
    assert len(nudge.text) < 600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "I think the agent should try harder.",
            "That was no tool call, so nothing happened. Answer with one JSON object",
        ),
        (f"```python\n{HARNESS}\n```", "A rewritten file or a diff is not accepted. Call propose_edit"),
        ("--- a/agent.py\n+++ b/agent.py\n@@ -1 +1 @@\n-a\n+b", "A rewritten file or a diff is not accepted."),
        ("", "That was no tool call"),
    ],
)
async def test_an_answer_without_a_call_is_nudged_and_the_session_goes_on(lab: Lab, text: str, words: str) -> None:
    model = ScriptedModel([says(text), says(text_call("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model, settings=SMALL)), Proposal)
    (nudge,) = [message for message in model.last_results() if message.text.startswith(words)]
    assert nudge.role == "user"
    well_formed(model.requests[-1].messages)


async def test_an_answer_that_was_cut_off_is_told_so(lab: Lab) -> None:
    long = Completion(assistant("Let me think. " * 50), "max_tokens", Usage(1, 1))
    model = ScriptedModel([long, says(text_call("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model, settings=SMALL)), Proposal)
    assert model.last_results()[0].text.startswith("Your answer was cut off at the output limit.")


async def test_a_model_that_only_talks_is_stopped_with_its_words(lab: Lab) -> None:
    model = ScriptedModel([says("I have nothing to propose.")])
    outcome = await propose(lab.session(model))
    assert outcome == NoProposal(
        "the meta-agent answered 4 times without a readable tool call; at last: I have nothing to propose."
    )
    assert len(model.requests) == 4
    # It is not shown its own repetition, and what it is shown to copy changes: first a look, then an edit.
    assert [make.texts(request.messages).count("I have nothing to propose.") for request in model.requests] == [
        0,
        1,
        1,
        1,
    ]
    nudges = [request.messages[-1].text for request in model.requests[1:]]
    assert [("read_trace" in nudge, "propose_edit" in nudge) for nudge in nudges] == [
        (True, False),
        (False, True),
        (False, True),
    ]


@pytest.mark.parametrize("reason", ["rejected", "refusal"])
async def test_a_provider_that_refuses_ends_the_session_with_its_words(lab: Lab, reason: Any) -> None:
    refused = Completion(Message("assistant"), reason, error="tools are not supported by this model")
    outcome = await propose(lab.session(ScriptedModel([refused])))
    assert outcome == NoProposal("the meta model's provider refused the request: tools are not supported by this model")


async def test_a_spent_budget_is_not_swallowed(lab: Lab) -> None:
    async def spent(request: ModelRequest, context: CallContext) -> ModelReply:
        raise BudgetExhausted("budget.usd", 1.0, 1.0)

    with pytest.raises(BudgetExhausted):
        await propose(lab.session(ScriptedModel([says("")]), complete=spent))


# ---- small contexts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [2_000, 4_096, 8_192, 100_000])
async def test_every_request_fits_the_context_however_long_the_traces_are(wordy: Lab, context: int) -> None:
    looks = [
        calls(("read_trace", {"trial": trial, "first": first}), ("search_traces", {"query": f"needle {first}"}))
        for first in range(4)
        for trial in ("alpha/0", "gamma/0")
    ]
    model = ScriptedModel(
        [calls(("list_failures", {})), *looks, calls(("read_harness", {})), calls(("propose_edit", EDIT))]
    )
    settings = MetaSettings(context_tokens=context, max_tokens=1_024)
    texts = {
        "log": Log("The baseline", (ToldExperiment("c001", "c001: rejected\n  why", "rejected", "An idea"),) * 3_000),
        "program": "Be general. " * 2_000,
    }
    assert isinstance(await propose(wordy.session(model, settings=settings, **texts)), Proposal)
    for request in model.requests:
        assert request.max_tokens is not None
        assert ScriptedModel.size(request) + request.max_tokens <= context
        well_formed(request.messages)


async def test_a_small_context_begins_with_little_and_a_large_one_with_the_harness(wordy: Lab) -> None:
    async def first(settings: MetaSettings) -> str:
        model = ScriptedModel([calls(("propose_edit", EDIT))])
        await propose(wordy.session(model, settings=settings, harness=long))
        return model.requests[0].messages[0].text

    long = HARNESS + "# a remark\n" * 300

    little, much = await first(MetaSettings(context_tokens=2_000, max_tokens=256)), await first(MetaSettings())
    assert long.strip() in much
    assert "read_harness shows it" in little
    assert "2 of 4 trials failed" in little
    assert len(little) < 1_500


async def test_old_results_are_dropped_first_and_the_task_stays(wordy: Lab) -> None:
    looks = [calls(("read_trace", {"trial": "alpha/0", "first": 1, "last": last})) for last in range(1, 9)]
    model = ScriptedModel([*looks, calls(("propose_edit", EDIT))])
    assert isinstance(await propose(wordy.session(model, settings=SMALL)), Proposal)
    messages = model.requests[-1].messages
    assert messages[0] == model.requests[0].messages[0]
    assert any(message.text.startswith("[result dropped to save room") for message in messages)
    assert "KeyError" in messages[-1].text


async def test_a_context_overflow_shrinks_the_conversation_and_goes_on(wordy: Lab) -> None:
    looks = [calls(("read_trace", {"trial": "alpha/0", "first": 1, "last": last})) for last in range(1, 5)]
    # The setting promises more than the server has.
    model = ScriptedModel([*looks, calls(("propose_edit", EDIT))], window=5_000)
    settings = MetaSettings(context_tokens=20_000, max_tokens=1_024)
    assert isinstance(await propose(wordy.session(model, settings=settings)), Proposal)
    assert any(ScriptedModel.size(request) > 5_000 for request in model.requests)
    for request in model.requests:
        well_formed(request.messages)


async def test_a_context_that_is_too_small_for_anything_is_told(lab: Lab) -> None:
    outcome = await propose(lab.session(ScriptedModel([says("")], window=300)))
    assert outcome == NoProposal(
        "the meta model's context is too small even after shrinking: maximum context length is 300 tokens"
    )


# ---- any answer at all -----------------------------------------------------------------------------------------------


async def test_a_session_is_the_same_every_time(lab: Lab) -> None:
    async def run() -> str:
        model = ScriptedModel(
            [
                says("hm"),
                calls(("list_failures", {}), ("search_traces", {"query": "needle"})),
                calls(("propose_edit", EDIT)),
            ]
        )
        await propose(lab.session(model))
        return model.heard()

    assert await run() == await run()


WHOLE = [
    '{"name": "read_trace", "arguments": ',
    '{"trial": "alpha/0"}',
    '{"name": 5, "arguments": []}',
    "{}" * 300,
    "[" * 50,
]
PARTS = [
    "}",
    "{",
    "```json\n",
    "\n```",
    "<tool_call>",
    '"',
    "\\",
    '{"name": "propose_edit"',
    ', "hunks": [',
    "null",
    "]",
    "text ",
]
pieces = st.sampled_from(WHOLE + PARTS)


@given(st.lists(pieces, max_size=12).map("".join))
@example('{"name": "read_trace", "arguments": {"')  # once closed, a set in Python
def test_no_text_breaks_the_reader_of_calls(text: str) -> None:
    for call in text_calls(text, TOOLS):
        assert isinstance(call.arguments, dict)
        assert isinstance(call.name, str)


@given(st.lists(pieces, max_size=12).map("".join), st.sampled_from(sorted(TOOL_NAMES)))
def test_a_good_call_is_found_after_text_without_braces(text: str, name: str) -> None:
    before = text.replace("{", "").replace("}", "")
    assert text_calls(f"{before}\n{text_call(name, {'a': [1]})}", TOOLS)[-1].arguments == {"a": [1]}


async def test_the_newest_experiments_outlast_a_context_that_was_promised_and_is_not_there(lab: Lab) -> None:
    """The first message is written anew for less room: a cut would take the experiments, which stand in its middle."""
    looks = [calls(("read_trace", {"trial": "alpha/0", "first": 1, "last": last})) for last in range(1, 5)]
    model = ScriptedModel([*looks, calls(("propose_edit", EDIT))], window=5_500)
    names = {f"c{number:03}": f"idea number {number}" for number in range(1, 900)}
    tried = tuple(
        ToldExperiment(name, f"{name} [rejected] {title}", "rejected", title) for name, title in names.items()
    )
    log = Log("The baseline", tried)
    settings = MetaSettings(context_tokens=100_000, max_tokens=1_024)
    program = "Be general. " * 2_000
    assert isinstance(await propose(lab.session(model, settings=settings, log=log, program=program)), Proposal)
    first = [request.messages[0].text for request in model.requests]
    assert len(first[0]) > 20_000 > len(first[-1])
    for text in first:
        assert "c899 [rejected] idea number 899" in text, "the newest is always there"
        assert "c898 [rejected] idea number 898" in text
        assert text.startswith("Direction, from the people who own this agent:\nBe general.")
        assert text.endswith("Begin with a tool call.")


async def test_what_was_sent_is_sent_again_unchanged_so_that_a_cache_can_serve_it(lab: Lab) -> None:
    looks = [calls((name, {})) for name in ("list_failures", "tool_stats", "read_harness", "experiment_log")]
    model = ScriptedModel([*looks, calls(("propose_edit", EDIT))])
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert len(model.requests) == 5
    for before, after in itertools.pairwise(model.requests):
        assert (after.system, after.tools) == (before.system, before.tools)
        assert after.messages[: len(before.messages)] == before.messages
