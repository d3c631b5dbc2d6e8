"""A person's edit before the gate: a candidate like any other, whoever is at work when it comes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.config.settings import Config
from lorimer.errors import UserError
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.candidates.edits import Jails, PutForward, put_forward
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import ProgramChanged
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.traces.tables import Candidate
from tests.meta_agent.test_loop import SEED, Bench, Proposer, config, make_bench, proposal, script

WHY = "The plain answer is not enough.\nI tried it by hand."
BETTER = SEED.replace("'plain'", "'GOOD'")
NULLS = script("NULL", "NULL", "NULL", "NULL")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def settings(candidates: int) -> Config:
    return config(budget={"candidates": candidates})


async def studied(bench: Bench, propose: Proposer, chosen: Config) -> StudyResult:
    with bench.parts(propose, chosen) as (parts, _, _):
        if not parts.reader.studies():
            await bench.create(parts)
        return await optimize(parts, "demo")


async def entered(parts: StudyParts, text: str, why: str = WHY, fixes: tuple[str, ...] = ()) -> PutForward:
    jails = Jails(parts.trials.dry_start, None, parts.scrub)
    return await put_forward(parts.store, parts.reader, "demo", parts.config, jails, text, why, fixes=fixes)


async def put(
    bench: Bench, text: str, chosen: Config | None = None, why: str = WHY, fixes: tuple[str, ...] = ()
) -> PutForward:
    with bench.parts(NULLS, chosen or settings(1)) as (parts, _, _):
        return await entered(parts, text, why, fixes)


def candidate(bench: Bench, number: int) -> Candidate:
    found = bench.reader().candidate(f"demo/c{number:03}")
    assert found is not None
    return found


async def test_a_persons_edit_is_tried_like_any_other_and_promoted(bench: Bench) -> None:
    await studied(bench, NULLS, settings(1))
    assert await put(bench, BETTER, fixes=("t07",)) == PutForward(
        "c002", "The plain answer is not enough. I tried it by hand.", ""
    )
    done = await studied(bench, NULLS, settings(1))  # past the budget of candidates: it was put forward by hand
    assert done.champion_candidate == "demo/c002"
    found = candidate(bench, 2)
    assert (found.origin, found.state, found.fixes) == ("human", "promoted", ["t07"])
    assert found.edit == [{"search": SEED.splitlines()[1] + "\n", "replace": BETTER.splitlines()[1] + "\n"}]
    assert (bench.root / "harness" / "agent.py").read_text() == BETTER


async def test_one_that_is_worse_is_rejected_and_remembered(bench: Bench) -> None:
    await studied(bench, NULLS, settings(1))
    await put(bench, SEED.replace("'plain'", "'BAD'"))
    await studied(bench, NULLS, settings(1))
    assert candidate(bench, 2).state == "rejected"
    with pytest.raises(UserError, match=r"this very edit was tried as experiment 2 .* and is rejected"):
        await put(bench, SEED.replace("'plain'", "'BAD'"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SEED, "the edit changes nothing: the file is the same as the harness"),
        ("def solve(task, env, llm:\n", "the edited agent.py is not valid: agent.py line 1"),
        ("def other():\n    pass\n", "the edited agent.py is not valid"),
    ],
)
async def test_it_is_refused_in_the_words_that_the_meta_agent_reads(bench: Bench, text: str, words: str) -> None:
    await studied(bench, NULLS, settings(1))
    with pytest.raises(UserError) as refused:
        await put(bench, text)
    assert words in str(refused.value)
    assert len(bench.reader().candidates("demo")) == 1


async def test_a_task_that_is_sealed_is_none(bench: Bench) -> None:
    await studied(bench, NULLS, settings(1))
    with pytest.raises(
        UserError, match=r"^t15, nowhere: no train task of demo; `lorimer traces ls --study demo` names"
    ):
        await put(bench, BETTER, fixes=("t07", "t15", "nowhere"))


async def test_a_holdout_that_is_worn_out_takes_no_more(bench: Bench) -> None:
    worn = config(budget={"candidates": 2}, gate={"holdout_queries": 1})
    await studied(bench, script("GOOD", "NULL"), worn)
    champion = (bench.root / "harness" / "agent.py").read_text()
    with pytest.raises(UserError, match=r"gate.holdout_queries: the sealed holdout of demo has answered 1 of 1 times"):
        await put(bench, champion + "# more\n", worn)


async def test_one_that_comes_while_the_study_runs_waits_for_its_turn(bench: Bench) -> None:
    """And it is applied to the champion of that time."""
    came: list[PutForward] = []

    async def work(parts: StudyParts) -> None:
        async def propose(session: ProposalSession) -> Proposal | NoProposal:
            if session.number == 1:
                came.append(await entered(parts, BETTER.replace("GOOD", "other")))
                return proposal(session, "GOOD")
            return proposal(session, "NULL")

        await optimize(replace(parts, propose=propose), "demo")

    with bench.parts(NULLS, settings(3)) as (parts, _, _):
        await bench.create(parts)
        await work(parts)
    assert [each.candidate for each in came] == ["c002"]
    first, second = candidate(bench, 1), candidate(bench, 2)
    assert (first.state, second.state, second.origin) == ("promoted", "rejected", "human")
    assert second.parent == first.harness, "it met the new champion"
    assert "'other'" in bench.reader().harness(second.harness or "").text
    assert "# GOOD 1" in bench.reader().harness(second.harness or "").text
    assert candidate(bench, 3).origin == "meta"


async def test_one_that_does_not_fit_the_new_champion_says_so(bench: Bench) -> None:
    await studied(bench, NULLS, settings(1))
    await put(bench, BETTER)
    await put(bench, BETTER.replace("GOOD", "other"))
    done = await studied(bench, NULLS, settings(1))
    assert done.champion_candidate == "demo/c002"
    assert candidate(bench, 3).state == "failed"
    assert candidate(bench, 3).failure.startswith(
        "it was made for an earlier champion, and for c002 the edit was not applied: hunk 1 of 1: `search` is not in agent.py"
    )


async def test_a_number_that_the_study_takes_in_the_same_moment_is_given_once(bench: Bench) -> None:
    await studied(bench, NULLS, settings(1))
    with bench.parts(NULLS, settings(1)) as (parts, _, _):
        texts = [BETTER.replace("GOOD", f"other {number}") for number in range(4)]
        found = await asyncio.gather(*(entered(parts, text) for text in texts))
    assert sorted(each.candidate for each in found) == ["c002", "c003", "c004", "c005"]
    assert len(scan(bench.reader(), "demo").candidates) == 5


async def test_the_direction_is_read_for_every_proposal_and_its_changes_are_kept(bench: Bench) -> None:
    directions: list[str | UserError] = [
        "Be short.",
        "Be short.",
        UserError("program.md: no such file"),
        "Be thorough.",
    ]
    read: list[str] = []

    def program() -> str:
        found = directions.pop(0)
        if isinstance(found, UserError):
            raise found
        return found

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        read.append(session.program)
        return proposal(session, "NULL")

    with bench.parts(propose, settings(4)) as (parts, _, recorder):
        await bench.create(parts)
        await optimize(replace(parts, program=program), "demo")
    assert read == ["Be short.", "Be short.", "Be short.", "Be thorough."]
    kept = [(row.body["text"], row.body["before"]) for row in bench.reader().chain("demo", "program")]
    assert kept == [("Be short.", "demo/c001"), ("Be thorough.", "demo/c004")]
    assert [(each.candidate, each.said) for each in recorder.events if isinstance(each, ProgramChanged)] == [
        ("demo/c003", "program.md: no such file; the direction of before holds"),
        ("demo/c004", "the direction is another one now (study.program), and holds from here on"),
    ]


async def test_a_direction_that_cannot_be_read_at_first_stops_the_study(bench: Bench) -> None:
    def program() -> str:
        raise UserError("program.md: no such file")

    with bench.parts(NULLS, settings(1)) as (parts, _, _):
        await bench.create(parts)
        with pytest.raises(UserError, match=r"program.md: no such file"):
            await optimize(replace(parts, program=program), "demo")
