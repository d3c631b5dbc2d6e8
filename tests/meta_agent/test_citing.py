"""A hypothesis rests on words of traces: what is cited is looked up before an edit is checked or paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorimer.config.settings import MetaSettings
from lorimer.meta_agent.proposer.diagnosis.reading import WHOLE, step_text
from lorimer.meta_agent.proposer.proposal import Citation, Diagnosis, Proposal
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.proposer.tools import ToolAnswer, Toolbox
from lorimer.meta_agent.study.candidates.briefing import cases_of
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, SECRETS, Lab, ScriptedModel, calls, says


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


async def proposed(lab: Lab, citations: Any, **changes: Any) -> ToolAnswer:
    box = Toolbox(lab.session(ScriptedModel([says("")]), **changes))
    return await box.call("propose_edit", {**EDIT, "citations": citations}, 20_000)


def cite(trial: Any = "alpha/0", step: Any = 1, quote: Any = "KeyError needle") -> list[dict[str, Any]]:
    return [{"trial": trial, "step": step, "quote": quote}]


async def test_a_citation_that_is_right_is_kept_with_the_proposal(lab: Lab) -> None:
    answer = await proposed(lab, cite(quote=" KeyError\n   needle "))
    assert answer.proposal is not None
    assert answer.proposal.diagnosis == Diagnosis(
        "prompt", "wrote-blind", "It looks first.", (Citation("alpha/0", 1, "KeyError needle"),)
    )


@pytest.mark.parametrize("form", ['[{"trial": "alpha#0", "step": "1", "quote": "KeyError needle"}]', cite()[0]])
async def test_a_form_that_can_be_understood_is_taken(lab: Lab, form: Any) -> None:
    assert (await proposed(lab, form)).proposal is not None


@pytest.mark.parametrize(
    ("citations", "words"),
    [
        (
            [],
            "the hypothesis cites nothing. Read a failed trial (read_trace with trial alpha/0), and call propose_edit again with "
            '`citations` that show the cause, such as [{"trial": "alpha/0", "step": 1, "quote": "words copied from that step"}].',
        ),
        ("it fails", "`citations` must be a list such as"),
        (["alpha/0"], "citation 1 is not of this form"),
        ([*cite(), {"trial": "alpha/0"}], "citation 2 is not of this form"),
        (cite() * 11, "there are 11 citations; give the 10 that show the cause best, or fewer."),
        (
            cite("alpha/7"),
            "citation 1: there is no trial alpha/7. There is, for example, alpha/0, alpha/1. Cite what you",
        ),
        (
            cite("omega/0"),
            "citation 1: there is no trial omega/0. There is, for example, alpha/0, gamma/0. Cite what you",
        ),
        (
            cite(step="last"),
            "citation 1: `step` must be the number in [brackets] before a step of trial alpha/0, 0 to 1.",
        ),
        (cite(step=2), "citation 1: trial alpha/0 has no step 2; its steps are 0 to 1."),
        (cite(step=-1), "citation 1: trial alpha/0 has no step -1; its steps are 0 to 1."),
        (cite(quote="needle"), "citation 1: 'needle' is too short a quote to say anything; copy a line of the step."),
        (
            cite(quote="KeyError: needle in a haystack"),
            "citation 1: step 1 of trial alpha/0 does not say 'KeyError: needle in a haystack'. The nearest there: "
            "'KeyError needle'. Copy the words exactly, without leaving any out.",
        ),
        (
            cite(quote="Segmentation fault (core dumped)"),
            "It begins: '[1] command, exit code 0: cat alpha.txt KeyError needle'.",
        ),
        (cite(quote="I will run cat on alpha."), "Step 0 of trial alpha/0 does."),
        (cite(quote="cat gamma.txt no such file"), "Step 1 of trial gamma/0 does."),
    ],
)
async def test_a_made_up_citation_goes_back_with_what_is_there(lab: Lab, citations: Any, words: str) -> None:
    answer = await proposed(lab, citations)
    assert answer.is_error
    assert words in answer.text


async def test_nothing_is_paid_for_a_made_up_citation(lab: Lab) -> None:
    started = []

    async def starts(text: str) -> str:
        started.append(text)
        return ""

    checks = replace(lab.session(ScriptedModel([says("")])).checks, dry_start=starts)
    await proposed(lab, cite(quote="something that nobody said"), checks=checks)
    assert not started
    await proposed(lab, cite(), checks=checks)
    assert started


async def test_without_failures_or_without_traces_nothing_has_to_be_cited(lab: Lab) -> None:
    nothing = cases_of(lab.reader, "s", ())
    assert (await proposed(lab, None, cases=nothing)).proposal is not None
    blind = MetaSettings(traces=False)
    assert (await proposed(lab, "anything", settings=blind)).proposal is not None
    offered = Toolbox(lab.session(ScriptedModel([says("")]), settings=blind)).tools
    assert "citations" not in offered[-1].parameters["properties"]


async def test_a_kind_that_there_is_not_is_dropped_and_the_edit_is_of_the_kind_that_it_shows(lab: Lab) -> None:
    box = Toolbox(lab.session(ScriptedModel([says("")])))
    answer = await box.call("propose_edit", {**EDIT, "kind": "magic"}, 20_000)
    assert answer.proposal is not None
    assert answer.proposal.diagnosis.kind == "prompt"
    assert "Its kind is prompt: it changes nothing but texts." in answer.text
    assert "Dropped is `kind` magic; kinds are tool, middleware, routing, sub-agent, prompt." in answer.text


async def test_a_model_that_cites_what_it_did_not_read_can_mend_it(lab: Lab) -> None:
    model = ScriptedModel(
        [
            calls(("propose_edit", {**EDIT, "citations": cite("alpha/9")})),
            calls(("read_trace", {"trial": "alpha/0"})),
            calls(("propose_edit", EDIT)),
        ]
    )
    assert isinstance(await propose(lab.session(model)), Proposal)
    assert "there is no trial alpha/9" in model.heard()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    trial=st.sampled_from(["alpha/0", "alpha/1", "beta/0", "gamma/0", "omega/0", "psi-of-the-test/0", "s/c1", ""]),
    step=st.integers(-2, 4),
    quote=st.one_of(st.text(max_size=60), st.sampled_from([*SECRETS.values(), "KeyError needle", "all fine needle"])),
)
async def test_a_quote_is_taken_only_where_it_is_said(lab: Lab, trial: str, step: int, quote: str) -> None:
    answer = await proposed(lab, cite(trial, step, quote))
    if answer.proposal is None:
        for secret in SECRETS.values():
            assert secret not in answer.text.replace(" ".join(quote.split()), "")
        return
    recorded = lab.session(ScriptedModel([says("")])).cases.recorded
    text = " ".join(step_text(recorded.steps(trial, step, step)[0], WHOLE).split())
    assert " ".join(quote.split()) in text
