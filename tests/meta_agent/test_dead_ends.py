"""Edits that were rejected before, whole or in nearly the same words, and edits that only look like them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lorimer
from lorimer.errors import UserError
from lorimer.harness.version import Hunk, sha
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer.accept import Accepted, EditRefusal, accept
from lorimer.meta_agent.proposer.dead_ends import ALIKE, EarlierExperiment, dead_end
from lorimer.models.simulated.ideas import HARMFUL, HONEST, NEUTRAL, USELESS
from lorimer.models.simulated.source import read_source
from tests.meta_agent.test_accept import CHECKS
from tests.meta_agent.test_edits import candidate, put, settings, studied
from tests.meta_agent.test_loop import SEED, Bench, make_bench, script
from tests.support.behaviours import GOOD, RETURNED, SLOWLY
from tests.support.meta_model import HARNESS

SEEDS = Path(lorimer.__file__).parent / "harness" / "seeds"


def prompt(said: str) -> tuple[Hunk, ...]:
    return (Hunk('PROMPT = "Solve the task."', f'PROMPT = "Solve the task.\\n{said}"'),)


def before(hunks: tuple[Hunk, ...], kind: str = "prompt") -> EarlierExperiment:
    return EarlierExperiment(7, "An idea", "rejected", "it was no better", "other", "elsewhere", hunks, kind)


CHECKED = "Before you finish, check that the result is what the task asks for, and correct it."
SAME = [
    (CHECKED, "Before you finish, check that the result is what the task asks for and correct it."),
    (CHECKED, "Before finishing, check that the result is what the task asks for, and correct it."),
    ("Before you write any code, look at the input files.", "Look at the input files before you write any code."),
    (
        "Verify your output with a separate command before the final answer; repair what is wrong.",
        "Verify your output with a separate command before the final answer, and repair what is wrong.",
    ),
    (
        "Keep the output of commands short: use `head` or `wc` on large files.",
        "Keep the output of commands short: use `head`, `tail` or `wc` on large files.",
    ),
]
OTHER = [
    (CHECKED, f"Never do this: {CHECKED}"),
    (CHECKED, "Before you finish, check that the result is not what the task asks for, and correct it."),
    (CHECKED, CHECKED.replace("result", "plan")),
    ("Keep the output of commands under 200 lines.", "Keep the output of commands under 2000 lines."),
    ("Use python for all work on files.", "Use the shell for all work on files."),
    (
        "In spreadsheets write computed values, never formulas.",
        "In spreadsheets write formulas, never computed values.",
    ),
    (
        "Read every input file once, so that you know its format.",
        "Read every output file once, so that you know its format.",
    ),
    ("Be brief.", "Be brief!"),
]


@pytest.mark.parametrize(("tried", "now"), SAME)
def test_the_same_idea_in_nearly_the_same_words_is_named(tried: str, now: str) -> None:
    for one, other in ((tried, now), (now, tried)):
        found = dead_end(HARNESS, prompt(other), "prompt", [before(prompt(one))])
        assert found is not None
        assert found.number == 7
        assert found.why.startswith(
            "this is experiment 7 (An idea) again, which was rejected: it was no better; both change the "
        )


@pytest.mark.parametrize(("tried", "now"), OTHER)
def test_another_number_negation_or_noun_makes_another_idea(tried: str, now: str) -> None:
    for one, other in ((tried, now), (now, tried)):
        assert not dead_end(HARNESS, prompt(other), "prompt", [before(prompt(one))])


def test_another_kind_or_place_makes_another_idea() -> None:
    tried, now = (prompt(each) for each in SAME[1])
    assert not dead_end(HARNESS, now, "tool", [before(tried)])
    elsewhere = (Hunk('NUDGE = "Go on with what you have begun."', now[0].replace),)
    assert not dead_end(HARNESS, elsewhere, "prompt", [before(tried)])


CALL = "    result = env.exec(command)\n"


@pytest.mark.parametrize(
    ("tried", "now"),
    [("result.timed_out", "result.exit_code"), ("len(output) > 4_000", "len(output) > 400"), ("not result", "result")],
)
def test_another_condition_makes_another_idea(tried: str, now: str) -> None:
    one, other = (
        (Hunk(CALL, f"{CALL}    if {each}:\n        result = env.exec(command, timeout=9)\n"),) for each in (tried, now)
    )
    assert not dead_end(HARNESS, other, "middleware", [before(one, "middleware")])


def test_one_that_was_better_in_its_full_run_may_be_tried_in_another_form() -> None:
    tried, now = (prompt(each) for each in SAME[1])
    promising = replace(before(tried), promising=True)
    assert not dead_end(HARNESS, now, "prompt", [promising])
    assert not dead_end(HARNESS, tried, "prompt", [promising])
    here = replace(promising, parent=sha(HARNESS))
    found = dead_end(HARNESS, tried, "prompt", [here])
    assert found is not None
    assert "was rejected on this very harness" in found.why


def test_what_was_not_rejected_is_no_dead_end() -> None:
    for state in ("promoted", "undecided", "failed", "proposed"):
        assert not dead_end(HARNESS, prompt(CHECKED), "prompt", [replace(before(prompt(CHECKED)), state=state)])


async def test_the_same_hunks_are_refused_on_any_champion() -> None:
    refusal = await accept(HARNESS, prompt(CHECKED), replace(CHECKS, earlier=[before(prompt(CHECKED))]))
    assert refusal == EditRefusal(
        Fault.DEAD_END,
        "the edit is that of experiment 7 (An idea), which was rejected on another harness of this study: it was no better",
        7,
    )


@pytest.mark.parametrize("seed", ["plain", "react", "blocks", "oneshot"])
async def test_no_two_edits_of_the_simulated_model_are_taken_for_one(seed: str) -> None:
    text = (SEEDS / f"{seed}.py").read_text(encoding="utf-8")
    source = read_source(text)
    assert source is not None
    found = [
        tuple(Hunk(each.search, each.replace) for each in idea.hunks(source))
        for idea in (*HONEST, *USELESS, *HARMFUL, *NEUTRAL)
    ]
    edits = [hunks for hunks in found if hunks]
    assert len(edits) > 30
    for one, other in itertools.permutations(edits, 2):
        assert not dead_end(text, other, "prompt", [before(one)])


async def test_nor_are_the_edits_of_the_sixteen_sessions() -> None:
    for one, other in itertools.permutations((GOOD, SLOWLY, RETURNED), 2):
        assert not dead_end(HARNESS, (Hunk(**other),), "prompt", [before((Hunk(**one),))])


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_an_edit_is_its_own_dead_end_and_nothing_raises(search: str, replace_: str, other: str) -> None:
    tried = (Hunk(search, replace_),)
    assert dead_end(HARNESS, tried, "", [before(tried, "")])
    dead_end(HARNESS, (Hunk(search, other),), "", [before(tried, "")])
    assert 0 < ALIKE <= 1


async def test_an_edit_too_large_to_compare_is_compared_whole_alone() -> None:
    large = prompt("word " * 4_000)
    assert dead_end(HARNESS, large, "prompt", [before(large)])
    assert not dead_end(HARNESS, prompt("word " * 4_001), "prompt", [before(large)])


async def test_a_person_is_told_in_the_same_words(tmp_path: Path) -> None:
    bench: Bench = make_bench(tmp_path / "work")
    await studied(bench, script("NULL"), settings(1))
    await put(bench, SEED.replace("'plain'", "'BAD'"))
    await put(bench, SEED.replace("llm):", "llm):  # GOOD"))
    await studied(bench, script("NULL"), settings(1))
    assert (candidate(bench, 2).state, candidate(bench, 3).state) == ("rejected", "promoted")
    champion = bench.reader().harness(candidate(bench, 3).harness or "").text
    with pytest.raises(
        UserError, match=r"^the edit is that of experiment 2 .* rejected on another harness of this study: "
    ):
        await put(bench, champion.replace("'plain'", "'BAD'"))


async def test_what_is_new_passes() -> None:
    assert isinstance(
        await accept(HARNESS, prompt(CHECKED), replace(CHECKS, earlier=[before(prompt("Go."))])), Accepted
    )
