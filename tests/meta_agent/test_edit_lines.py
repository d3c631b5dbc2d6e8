"""How many lines an edit may change, and that it is told alike to a model and to a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.search import SearchSettings
from lorimer.config.settings import parse, parse_stored
from lorimer.errors import ConfigError, UserError
from lorimer.harness.version import Hunk
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer.accept import Accepted, EditRefusal, LineAllowance, accept
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.state.descent import promotions_behind
from lorimer.meta_agent.state.world import scan
from tests.meta_agent.test_accept import CHECKS
from tests.meta_agent.test_edits import candidate, put, settings, studied
from tests.meta_agent.test_loop import SEED, Bench, config, make_bench, script
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, HARNESS, ScriptedModel, calls


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def most(promotions: int, **chosen: int | str) -> int | None:
    found = LineAllowance.allowed(SearchSettings.model_validate(chosen), promotions)
    return found.most if found else None


def test_each_promotion_halves_what_an_edit_may_change_down_to_the_least() -> None:
    assert [most(count) for count in range(4)] == [80, 40, 20, 20]
    assert [most(count, edit_lines=9, edit_lines_least=2) for count in range(5)] == [9, 4, 2, 2, 2]
    assert most(0, edit_lines=10) == 10, "who asks for less than the least gets that"
    assert most(7, edit_lines=10) == 10
    assert most(3, edit_lines="none") is None


@given(st.integers(1, 10_000), st.integers(1, 500), st.integers(0, 2_000))
def test_it_never_grows_and_never_ends(first: int, least: int, promotions: int) -> None:
    now, then = (most(count, edit_lines=first, edit_lines_least=least) for count in (promotions, promotions + 1))
    assert now is not None
    assert then is not None
    assert first >= now >= then >= min(first, least) >= 1


MORE = "".join(f"A{number} = {number}\n" for number in range(4))


async def test_an_edit_that_changes_too_many_lines_is_refused_with_both_numbers() -> None:
    checks = replace(CHECKS, lines=LineAllowance.allowed(SearchSettings(edit_lines=9, edit_lines_least=3), 2))
    refusal = await accept(HARNESS, [Hunk("TURNS = 30\n", f"TURNS = 30\n{MORE}")], checks)
    assert refusal == EditRefusal(
        Fault.TOO_LARGE,
        "the edit changes 4 lines, and may change 3, as the harness rests on 2 promotions: [search] edit_lines is 9, and is "
        "halved with each, to 3 at least",
    )
    assert isinstance(await accept(HARNESS, [Hunk("TURNS = 30\n", f"{MORE}\n\n")], replace(checks)), EditRefusal)
    three = MORE.partition("\n")[2]
    assert isinstance(await accept(HARNESS, [Hunk("TURNS = 30\n", three)], checks), Accepted)


async def test_the_meta_agent_knows_it_before_and_may_make_the_edit_smaller(tmp_path: Path) -> None:
    lab = await make.open_lab(tmp_path)
    large = {**EDIT, "hunks": [{"search": "TURNS = 30\n", "replace": f"TURNS = 30\n{MORE}"}]}
    model = ScriptedModel([calls(("propose_edit", large)), calls(("propose_edit", EDIT))])
    session = lab.session(model)
    lines = LineAllowance.allowed(SearchSettings(edit_lines=3), 0)
    found = await propose(replace(session, checks=replace(session.checks, lines=lines)))
    lab.store.close()
    assert "nothing else, and 3 lines at most." in (model.requests[0].system or "")
    (answer,) = model.last_results()
    assert answer.is_error
    assert answer.text.startswith(
        "Error: the edit changes 4 lines, and may change 3, as the harness rests on 0 promotions"
    )
    assert answer.text.endswith("the rest can follow once that is promoted.")
    assert "Look at the inputs" in getattr(found, "text", "")


async def test_without_a_bound_none_is_stated(tmp_path: Path) -> None:
    lab = await make.open_lab(tmp_path)
    model = ScriptedModel([calls(("propose_edit", EDIT))])
    await propose(lab.session(model))
    lab.store.close()
    assert "nothing else. Never rewrite the file." in (model.requests[0].system or "")


async def test_a_person_is_refused_in_the_same_words(bench: Bench) -> None:
    chosen = config(budget={"candidates": 1}, search={"edit_lines": 3})
    await studied(bench, script("NULL"), chosen)
    with pytest.raises(UserError) as refused:
        await put(bench, SEED + MORE, chosen)
    assert str(refused.value).startswith(
        "the edit changes 4 lines, and may change 3, as the harness rests on 0 promotions"
    )


async def test_an_edit_that_was_made_for_an_earlier_champion_keeps_what_it_might_change_then(bench: Bench) -> None:
    chosen = config(budget={"candidates": 1}, search={"edit_lines": 4, "edit_lines_least": 1})
    await studied(bench, script("NULL"), chosen)
    await put(bench, SEED.replace("llm):", "llm):  # GOOD"), chosen)
    await put(bench, SEED.replace("    return", "    a = 1\n    b = 2\n    c = a + b\n    return c and"), chosen)
    await studied(bench, script("NULL"), chosen)
    assert candidate(bench, 2).state == "promoted"
    assert not candidate(bench, 3).failure
    assert (candidate(bench, 3).state, candidate(bench, 3).parent) == ("rejected", candidate(bench, 2).harness)
    with pytest.raises(
        UserError, match=r"^the edit changes 3 lines, and may change 2, as the harness rests on 1 promotion:"
    ):
        await put(
            bench, (bench.reader().harness(candidate(bench, 2).harness or "").text) + "A = 1\nB = 2\nC = 3\n", chosen
        )


async def test_a_champion_rests_on_the_promotions_of_its_own_line(bench: Bench) -> None:
    await studied(bench, script("GOOD"), settings(1))
    world = scan(bench.reader(), "demo")
    first = world.champion
    assert first is not None
    assert promotions_behind(world, world.champion_harness) == 1
    second = replace(first, id="demo/c002", number=2, parent=first.harness or "", harness="another")
    assert promotions_behind(world.with_all([second], ()), "another") == 2
    aside = replace(second, parent=first.parent)
    assert promotions_behind(world.with_all([aside], ()), "another") == 1, "it was made from the seed harness"


def test_a_wrong_number_is_named() -> None:
    for wrong in (0, -1, 2.5, True, "many"):
        with pytest.raises(
            ConfigError, match=r'search.edit_lines: .*should be a whole number >= 1, or "none" for no bound'
        ):
            parse({"search": {"edit_lines": wrong}})


def test_a_study_from_before_this_setting_has_no_bound() -> None:
    assert parse_stored({}, "s").search.edit_lines == "none"
    assert parse_stored({"search": {"edit_lines": 7}}, "s").search.edit_lines == 7
