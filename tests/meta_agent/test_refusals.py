"""Edits that were refused before anything was paid for them: which are counted, where that is kept, and how it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.dashboard.report import report
from lorimer.kinds import Fault
from lorimer.meta_agent.ledger.refusals import WORDS, Refusals, refusals
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.proposer.propose import propose
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.terminal.listing import log, status, status_text
from lorimer.terminal.words import to_json
from lorimer.traces.previews import MISCITED, RefusedEdit
from tests.meta_agent.test_loop import Bench, config, make_bench, proposal, run
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, Lab, ScriptedModel, calls

INERT = RefusedEdit("inert")


def edit(search: str, replace: str) -> dict[str, object]:
    return {**EDIT, "hunks": [{"search": search, "replace": replace}]}


# ---- in a session


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


async def test_each_refused_edit_of_a_session_counts_once_by_why_it_was_refused_last(lab: Lab) -> None:
    made_up = {"citations": [{"trial": "alpha/0", "step": 1, "quote": "words that nobody said"}]}
    found = await propose(
        lab.session(
            ScriptedModel(
                [
                    calls(("propose_edit", edit("TURNS = 30", "TURNS = 3"))),
                    calls(("propose_edit", {**edit("TURNS = 30", "TURNS = ("), **made_up})),
                    calls(("propose_edit", edit("TURNS = 30", "TURNS = ("))),
                    calls(("propose_edit", edit("TURNS = 30", "TURNS = ("))),
                    calls(("propose_edit", {**edit("TURNS = 30", "TURNS = 50"), **made_up})),
                    calls(("propose_edit", {**EDIT, **made_up})),
                    calls(("propose_edit", EDIT)),
                ]
            )
        )
    )
    assert isinstance(found, Proposal)
    assert found.refused == (RefusedEdit("tried", 1), RefusedEdit("invalid"), RefusedEdit(MISCITED))


async def test_a_session_without_a_usable_edit_tells_of_those_that_were_refused(lab: Lab) -> None:
    found = await propose(lab.session(ScriptedModel([calls(("propose_edit", edit("no such line", "")))])))
    assert isinstance(found, NoProposal)
    assert found.refused == (RefusedEdit("does_not_apply"),)


# ---- in words


def of(*refused: RefusedEdit) -> Refusals:
    return refusals([CandidateView("s/c001", 1, "failed", "p", None, refused=refused)])


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ([INERT], "1 edit refused before it cost anything: 1 inert"),
        (
            [RefusedEdit("dead_end", 4), INERT, INERT],
            "3 edits refused before they cost anything: 2 inert, 1 repeats c004",
        ),
        (
            [RefusedEdit("tried", 7), RefusedEdit("dead_end", 4), RefusedEdit("does_not_apply")],
            "3 edits refused before they cost anything: 2 repeat c004 and c007, 1 does not apply",
        ),
        (
            [RefusedEdit("tried", number) for number in (1, 2, 3)],
            "3 edits refused before they cost anything: 3 repeat 3 experiments",
        ),
        ([RefusedEdit("of_tomorrow")], "1 edit refused before it cost anything: 1 of_tomorrow"),
    ],
)
def test_they_are_told_in_one_phrase(refused: list[RefusedEdit], words: str) -> None:
    assert str(of(*refused)) == words


def test_nothing_is_said_of_none_and_each_reason_has_words() -> None:
    assert not refusals([])
    assert {*map(str, Fault), MISCITED} == {*WORDS, "tried", "dead_end"}


# ---- in a study


async def sessions(session: ProposalSession) -> Proposal | NoProposal:
    if session.number == 1:
        return NoProposal("no idea", (INERT, RefusedEdit("goes_back")))
    made = proposal(session, "NULL")
    return made if session.number == 3 else replace(made, refused=(RefusedEdit("tried", 1),))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


async def test_they_are_kept_with_the_candidate_and_told_of_the_study(bench: Bench) -> None:
    await run(bench, sessions, config(budget={"candidates": 3}))
    reader = bench.reader()
    assert [row.refused for row in reader.candidates("demo")] == [
        [{"kind": "inert"}, {"kind": "goes_back"}],
        [{"kind": "tried", "repeats": 1}],
        None,
    ]
    words = "3 edits refused before they cost anything: 1 goes back to an earlier harness, 1 inert, 1 repeats c001"
    found = status(reader, reader.study("demo"), bench.root)
    assert f"\n  not tried   {words}\n" in status_text(found)
    told = json.loads(to_json(found))["refused_edits"]
    assert told == {"edits": 3, "kinds": {"goes_back": 1, "inert": 1, "tried": 1}, "repeats": ["c001"]}
    assert f"Not tried: {words}\n" in bench.log()
    assert json.loads(to_json(log(reader, reader.study("demo"))))["refused"] == told
    assert "Not tried" not in bench.told(), "what the meta-agent reads is what was tried"
    assert f"Not tried: {words}." in report(reader, bench.root, "demo").text
