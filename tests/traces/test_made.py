"""What a candidate's session came to is kept until its turn comes, and nobody is told of it before."""

from __future__ import annotations

from typing import Any

import pytest

from lorimer.errors import InternalError
from lorimer.meta_agent.state.world import scan
from lorimer.traces import made
from lorimer.traces.previews import CandidatePreview
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import MASK, scrubber
from lorimer.traces.tables import Candidate, HarnessRow
from lorimer.traces.writing.store import Store

from . import support as make
from .conftest import Where

HARNESS = HarnessRow(sha="b" * 64, text="def solve(task, env, llm): ...\n")
PREVIEW = CandidatePreview("a" * 64, (), "there was no jail for it")
HUNKS = [{"search": "a", "replace": "b"}]
OUTCOME: dict[str, Any] = {
    "title": "Better",
    "hypothesis": "It should help.",
    "edit": HUNKS,
    "fixes": ["t1"],
    "at_risk": ["t2"],
    "kind": "prompt",
    "cause": "it gives up",
    "mechanism": "it is told not to",
    "citations": [{"trial": "t1/0", "step": 1, "quote": "I give up"}],
    "refused": [{"kind": "inert"}],
}
BEGUN: dict[str, Any] = {"id": "s/c002", "study": "s", "number": 2, "parent": "a" * 64, "round": 1, "cluster": "limit"}


async def begun(store: Store) -> Candidate:
    """A candidate as its round begins."""
    await store.create_study(make.study(), [make.task("t1")], "text")
    row = Candidate(**BEGUN, edit=[], fixes=[], at_risk=[], state="proposing")
    return await store.add_candidate(row)


def test_every_column_is_one_that_a_round_begins_with_or_one_that_a_session_fills() -> None:
    given = {*BEGUN, "state", "origin", "commit", "rebased"}
    assert {*Candidate.model_fields} - given == {*made.nothing()} == {*OUTCOME, "harness", "failure", "touches"}


async def test_an_edit_is_shown_by_no_reader_before_its_turn_and_by_all_then(path: Where) -> None:
    with Store.open(path) as store:
        before, reader = await begun(store), StoreReader(store)
        assert reader.made("s/c002") is None, "its session has not ended"
        ended = await store.end_session("s/c002", HARNESS, preview=PREVIEW, **OUTCOME)
        assert reader.candidates("s") == [reader.candidate("s/c002")] == [before]
        assert reader.preview("s/c002") is None
        assert [view.title for view in scan(reader, "s").candidates] == [""]
        assert ended.state == "proposing"
        kept = reader.made("s/c002")
        assert kept == ended
        assert kept is not None
        assert kept.model_dump(include={*OUTCOME}) == OUTCOME
        assert (kept.harness, kept.touches) == (HARNESS.sha, PREVIEW.touches.as_json())
        assert reader.harness(HARNESS.sha).text == HARNESS.text
        shown = await store.update_candidate("s/c002", "proposing", state="proposed")
        assert shown.model_dump() == {**kept.model_dump(), "state": "proposed"}
        assert reader.candidates("s") == [reader.candidate("s/c002")] == [shown]
        assert (reader.preview("s/c002"), reader.made("s/c002")) == (PREVIEW, None)


async def test_a_session_without_an_edit_has_ended_too(path: Where) -> None:
    with Store.open(path, scrubber(["hunter2-hunter2"])) as store:
        before, reader = await begun(store), StoreReader(store)
        await store.end_session("s/c002", failure="a poem on hunter2-hunter2", refused=[{"kind": "inert"}])
        assert reader.candidate("s/c002") == before
        kept = reader.made("s/c002")
        assert kept is not None
        assert (kept.failure, kept.refused) == (f"a poem on {MASK}", [{"kind": "inert"}])


async def test_of_an_edit_that_fails_in_its_turn_nothing_is_left(path: Where) -> None:
    with Store.open(path) as store:
        before, reader = await begun(store), StoreReader(store)
        await store.end_session("s/c002", HARNESS, preview=PREVIEW, **OUTCOME)
        failed = await store.update_candidate("s/c002", "proposing", state="failed", failure="a twin")
        assert failed.model_dump() == {**before.model_dump(), "state": "failed", "failure": "a twin"}
        assert (reader.candidate("s/c002"), reader.preview("s/c002")) == (failed, None)


async def test_the_end_of_a_session_is_stored_as_a_whole_or_not_at_all(path: Where) -> None:
    with Store.open(path) as store:
        await begun(store)
        reader = StoreReader(store)
        await store.update_candidate("s/c002", "proposing", state="failed", failure="given up")
        with pytest.raises(InternalError, match="candidate s/c002 is failed, not proposing"):
            await store.end_session("s/c002", HARNESS, preview=PREVIEW, **OUTCOME)
        assert (reader.harness_texts([HARNESS.sha]), reader.preview("s/c002")) == ({}, None)
