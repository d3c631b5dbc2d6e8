"""Which kind of edit a proposal is asked for, that an edit is held to it, and what a stalled search is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.search import SearchSettings
from lorimer.config.settings import parse, parse_stored
from lorimer.errors import ConfigError
from lorimer.harness.changed import components, words_alone
from lorimer.harness.version import Hunk
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer.accept import Accepted, EditRefusal, accept
from lorimer.meta_agent.proposer.asked import Asked
from lorimer.meta_agent.proposer.proposal import Diagnosis, NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.candidates.steering import asked
from lorimer.meta_agent.study.loop import optimize
from tests.meta_agent.test_accept import CHECKS
from tests.meta_agent.test_edits import put, studied
from tests.meta_agent.test_loop import Bench, config, make_bench, proposal
from tests.support import meta_model as make
from tests.support.dice_trials import Killed
from tests.support.meta_model import EDIT, HARNESS, ScriptedModel, calls

CAPABILITY = ("tool", "middleware", "routing", "sub-agent")
FOR_CODE = Asked(CAPABILITY)
AFTER = 'PROMPT = "Look at the inputs, then solve the task."'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


# ---- the phase


def world(*candidates: tuple[str, str]) -> World:
    """A study with these states and kinds of candidates."""
    views = [
        CandidateView(f"s/c{n:03}", n, state, "seed", None if state == "failed" else f"h{n}", kind=kind)
        for n, (state, kind) in enumerate(candidates, 1)
    ]
    return World("s", 0, "seed", ("t",), ()).with_all(views, ())


CODE, WORDS, FAILED, WON = ("rejected", "tool"), ("rejected", "prompt"), ("failed", ""), ("promoted", "tool")


@pytest.mark.parametrize(
    ("candidates", "kinds"),
    [
        ([], CAPABILITY),
        ([CODE] * 3, CAPABILITY),
        ([CODE] * 4, ()),
        ([CODE, ("undecided", "routing"), ("rejected", ""), CODE], ()),
        ([CODE] * 3 + [WORDS] * 3, CAPABILITY),
        ([FAILED, CODE, FAILED], CAPABILITY),
        ([FAILED, FAILED], ()),
        ([FAILED, FAILED, WORDS], ()),
        ([CODE] * 4 + [WON], CAPABILITY),
        ([CODE] * 4 + [WON] + [CODE] * 4, ()),
        ([CODE] * 3 + [("proposed", "tool")], CAPABILITY),
    ],
)
def test_code_is_asked_for_until_four_such_edits_were_tested_in_vain(
    candidates: Sequence[tuple[str, str]], kinds: tuple[str, ...]
) -> None:
    assert asked(world(*candidates), SearchSettings()).kinds == kinds


def test_other_orders_and_lengths_can_be_asked_for() -> None:
    tried = world(CODE, WORDS, WORDS)
    assert asked(tried, SearchSettings(phases=())).kinds == ()
    assert asked(tried, SearchSettings(phases=("capability",), phase_edits=1)).kinds == CAPABILITY
    assert asked(tried, SearchSettings(phases=("prompt", "capability"))).kinds == ("prompt",)
    assert asked(tried, SearchSettings(phases=("prompt", "capability"), phase_edits=2)).kinds == ()


STATES = st.sampled_from([CODE, WORDS, FAILED, WON, ("rejected", ""), ("undecided", "middleware")])


@given(st.lists(STATES, max_size=12), st.lists(STATES, max_size=4))
def test_what_comes_later_changes_nothing_of_what_was_asked(before: list[Any], later: list[Any]) -> None:
    number = len(before) + 1
    at_the_time = asked(world(*before, ("proposing", "")), SearchSettings(), number)
    beside = [("proposed", kind) for _, kind in later]
    assert at_the_time == asked(world(*before, ("proposing", ""), *beside), SearchSettings(), number)
    assert at_the_time == asked(world(*before), SearchSettings())


async def test_a_study_asks_alike_after_a_kill_and_names_what_nobody_changed(bench: Bench) -> None:
    heard: dict[int, Asked] = {}

    async def scripted(session: ProposalSession) -> Proposal | NoProposal:
        assert session.checks.asked is not None
        assert heard.setdefault(session.number, session.checks.asked) == session.checks.asked
        made = proposal(session, "NULL")
        return replace(made, diagnosis=Diagnosis("middleware"))

    chosen = config(budget={"candidates": 6}, search={"phase_edits": 3})
    done = False
    while not done:
        with bench.parts(scripted, chosen, fail_after=60) as (parts, _, _):
            if not parts.reader.studies():
                await bench.create(parts)
            try:
                await optimize(parts, "demo")
                done = True
            except Killed:
                pass
    assert [heard[number].kinds for number in range(1, 7)] == [CAPABILITY] * 3 + [()] * 3
    assert [heard[number].judged for number in range(1, 7)] == [0, 1, 2, 3, 4, 5]
    assert heard[3].lines() == [
        "Asked for now: an edit of kind tool or middleware or routing or sub-agent; an edit that changes nothing but texts is a "
        "prompt edit, and refused for now."
    ]
    assert heard[4].lines() == [
        "Of the last 3 edits that were tested none was promoted.",
        "No edit has changed these parts of agent.py yet: solve.",
        "No edit of these kinds was tested yet: tool, routing, sub-agent, prompt.",
    ]


# ---- an edit is held to it


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('A = "a"\n', 'A = "b"\n', True),
        ('A = "a"\n', 'A = "a" "b"\n', True),
        ('A = "a"\n', 'A = "a" + "b"\n', True),
        ('A = f"{b}"\n', 'A = f"of {b}: "\n', True),
        ('def f():\n    return g("a")\n', 'def f():\n    """It."""\n    return g("b")\n', True),
        ('A = "a"\n', 'A = "a"  # b\n', False),
        ('A = "a"\n', 'A = "b".strip()\n', False),
        ('A = "a"\nB = 1\n', 'A = "b"\nB = 2\n', False),
        ('A = "a"\n', 'A = "b"\nB = "c"\n', False),
        ('A = f"{b}"\n', 'A = f"{c}"\n', False),
        ('A = "a"\n', 'A = b"a"\n', False),
        ('A = "a"\n', "A = (\n", False),
    ],
)
def test_an_edit_of_nothing_but_texts_is_known_by_its_syntax_trees(before: str, after: str, words: bool) -> None:
    assert words_alone(before, after) is words
    assert words_alone(after, before) is words


def test_the_parts_of_a_harness_are_its_top_level() -> None:
    assert list(components(HARNESS)) == ["PROMPT", "TURNS", "solve"]
    assert components(HARNESS) == components(HARNESS.replace("TURNS = 30", "TURNS = 30  # many"))
    assert components("def (") == {}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (
            "",
            "it changes nothing but texts, so it is a prompt edit, and for now edits of these kinds are asked for: tool, ",
        ),
        (
            "prompt",
            "it changes nothing but texts, so it is a prompt edit, and for now edits of these kinds are asked for: tool, ",
        ),
        (
            "tool",
            "it changes nothing but texts, so it is a prompt edit, though it is stated as tool, and for now edits of ",
        ),
    ],
)
async def test_an_edit_of_texts_is_a_prompt_edit_whatever_it_is_stated_as(kind: str, why: str) -> None:
    hunks = [Hunk('PROMPT = "Solve the task."', AFTER)]
    refusal = await accept(HARNESS, hunks, replace(CHECKS, asked=FOR_CODE), kind)
    assert isinstance(refusal, EditRefusal)
    assert refusal.fault is Fault.OTHER_KIND
    assert refusal.why.startswith(why)
    found = await accept(HARNESS, hunks, CHECKS, kind)
    assert isinstance(found, Accepted)
    assert found.kind == "prompt"


async def test_an_edit_of_code_is_what_it_is_stated_as() -> None:
    hunks = [Hunk("TURNS = 30", "TURNS = 40")]
    for kind in ("", "routing"):
        found = await accept(HARNESS, hunks, replace(CHECKS, asked=FOR_CODE), kind)
        assert isinstance(found, Accepted)
        assert found.kind == kind
    refusal = await accept(HARNESS, hunks, replace(CHECKS, asked=FOR_CODE), "prompt")
    assert isinstance(refusal, EditRefusal)
    assert refusal.why.startswith(
        "its kind is prompt, and for now edits of these kinds are asked for: tool, middleware, "
    )


async def test_the_meta_agent_is_told_at_its_start_and_may_propose_something_else(tmp_path: Path) -> None:
    lab = await make.open_lab(tmp_path)
    code = {**EDIT, "hunks": [{"search": "TURNS = 30", "replace": "TURNS = 40"}], "kind": "routing"}
    model = ScriptedModel([calls(("propose_edit", {**EDIT, "kind": "tool"})), calls(("propose_edit", code))])
    session = lab.session(model)
    found = await propose(replace(session, checks=replace(session.checks, asked=FOR_CODE)))
    lab.store.close()
    assert "\n\nAsked for now: an edit of kind tool or middleware or " in model.requests[0].messages[0].text
    (answer,) = model.last_results()
    assert answer.is_error
    assert answer.text.startswith(
        "Error: it changes nothing but texts, so it is a prompt edit, though it is stated as tool, "
    )
    assert answer.text.endswith("so that the failures need no better wording.")
    assert isinstance(found, Proposal)
    assert found.diagnosis.kind == "routing"


async def test_a_kind_that_is_stated_wrongly_is_put_right(tmp_path: Path) -> None:
    lab = await make.open_lab(tmp_path)
    model = ScriptedModel([calls(("propose_edit", {**EDIT, "kind": "middleware"}))])
    found = await propose(lab.session(model))
    lab.store.close()
    assert isinstance(found, Proposal)
    assert found.diagnosis.kind == "prompt"


async def test_a_person_may_change_texts_at_any_time(bench: Bench) -> None:
    async def null(session: ProposalSession) -> Proposal | NoProposal:
        return proposal(session, "NULL")

    chosen = config(budget={"candidates": 1})
    await studied(bench, null, chosen)
    made = await put(bench, "def solve(task, env, llm):\n    return 'GOOD'\n", chosen)
    assert made.candidate == "c002"
    row = bench.reader().candidate("demo/c002")
    assert row is not None
    assert row.kind == "prompt", "so that it is counted as one"


# ---- settings


def test_what_is_no_phase_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"search.phases.0: .*'capability' or 'prompt'"):
        parse({"search": {"phases": ["tools"]}})
    with pytest.raises(ConfigError, match=r"search.phases: .*names a phase twice"):
        parse({"search": {"phases": ["prompt", "prompt"]}})


def test_a_study_from_before_this_setting_is_asked_for_any_kind() -> None:
    assert parse_stored({}, "s").search.phases == ()
