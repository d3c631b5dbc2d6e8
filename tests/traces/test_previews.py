"""What a candidate's edit touches is stored with the candidate, and comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from lorimer.errors import InternalError
from lorimer.meta_agent.state.world import scan
from lorimer.traces.previews import CandidatePreview, Touch, Touches, TrialPreview
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import MASK, scrubber
from lorimer.traces.tables import Candidate
from lorimer.traces.writing.store import Store

from . import support as make
from .test_migrations import older, put_candidate, put_study

FIRST, LATER = (
    Touch(1, 10, "llm.complete", ("system",), 0, 0),
    Touch(7, 9, "env.exec", ("command", "timeout"), 3, 1_200),
)
TRIALS = (
    TrialPreview("s/b/t1/0/0", "t1", 0, False, FIRST),
    TrialPreview("s/b/t1/1/0", "t1", 1, True),
    TrialPreview("s/b/t2/0/0", "t2", 0, True, LATER),
    TrialPreview("s/b/t2/1/0", "t2", 1, False, why="it has no record"),
    TrialPreview("s/b/t3/0/0", "t3", 0, False, FIRST),
    TrialPreview("s/b/t3/1/0", "t3", 1, False),
)
PREVIEW = CandidatePreview("a" * 64, TRIALS)


def candidate(**changes: Any) -> Candidate:
    values: dict[str, Any] = {"id": "s/c001", "study": "s", "number": 1, "parent": "a" * 64, "state": "proposing"}
    return Candidate(**{**values, "edit": [], "fixes": [], "at_risk": [], **changes})


@pytest.mark.parametrize(
    "preview",
    [
        PREVIEW,
        CandidatePreview("a" * 64, TRIALS[:2], idle=("the text of A was changed and reached no request",)),
        CandidatePreview("a" * 64, (), "there was no jail for it"),
        CandidatePreview("b" * 64, ()),
    ],
)
async def test_a_preview_comes_back_as_it_was(tmp_path: Path, preview: CandidatePreview) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        await store.create_study(make.study(), [make.task("t1")], "text")
        await store.add_candidate(candidate())
        reader = StoreReader(store)
        assert reader.preview("s/c001") is None
        assert scan(reader, "s").candidates[0].touches is None
        stored = await store.update_candidate("s/c001", "proposing", state="proposed", preview=preview)
        assert reader.preview("s/c001") == preview
        (view,) = scan(reader, "s").candidates
        assert view.touches == preview.touches
        assert stored.touches == preview.touches.as_json()


async def test_no_preview_is_left_where_the_candidate_was_not_changed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        await store.create_study(make.study(), [make.task("t1")], "text")
        await store.add_candidate(candidate())
        with pytest.raises(InternalError):
            await store.update_candidate("s/c001", "proposed", state="rejected", preview=PREVIEW)
        assert StoreReader(store).preview("s/c001") is None


async def test_a_secret_in_a_reason_is_masked(tmp_path: Path) -> None:
    key = "hunter2-hunter2"
    told = CandidatePreview("a" * 64, (TrialPreview(f"s/b/{key}/0/0", key, 0, False, why=f"not JSON: {key}"),))
    with Store.open(tmp_path / "traces.db", scrubber([key])) as store:
        await store.create_study(make.study(), [make.task("t1")], "text")
        await store.add_candidate(candidate())
        await store.update_candidate("s/c001", "proposing", state="proposed", preview=told)
        kept = StoreReader(store).preview("s/c001")
    assert kept is not None
    assert (kept.trials[0].why, kept.trials[0].task) == (f"not JSON: {MASK}", key), "names stay"


def test_what_it_touches_is_counted_and_said() -> None:
    touches = PREVIEW.touches
    assert touches == Touches((2, 3), (1, 2), untold=1, untold_failed=1)
    assert str(touches) == "touches 2 of 3 failed and 1 of 2 solved trials (of 1 more it cannot be told)"
    assert not touches.inert
    nothing = Touches.of([each for each in TRIALS if each.touch is None and each.told])
    assert nothing.inert
    assert str(nothing) == "touches 0 of 1 failed and 0 of 1 solved trials"


def test_an_edit_is_not_called_inert_where_a_failed_trial_could_not_be_told_of() -> None:
    """Trials of which nothing can be told are not like the others: a limit may have ended them, which the edit is about."""
    untouched = [each for each in TRIALS if each.touch is None and each.told]
    solved = TrialPreview("s/b/t9/0/0", "t9", 0, True, why="it has no record")
    assert Touches.of([*untouched, solved]).inert
    assert not Touches.of([*untouched, TRIALS[3]]).inert
    assert not Touches.of([*untouched, solved, solved]).inert, "not even half can be told of"


def test_where_nothing_can_be_told_it_is_said_why() -> None:
    other = TrialPreview("s/b/t9/0/0", "t9", 0, True, why="a secret was in it")
    untold = Touches.of([other, TRIALS[3], TRIALS[3]])
    assert str(untold) == (
        "was not previewed: of none of 3 recorded trials it can be told what it touches: it has no record"
    )
    assert str(Touches.of([])) == "was not previewed: there is no recorded trial yet"
    failed = CandidatePreview("a" * 64, (), "there was no jail for it (the engine is down)").touches
    assert str(failed) == "was not previewed: there was no jail for it (the engine is down)"
    assert not any(each.inert for each in (untold, failed, Touches.of([])))


def test_a_candidate_of_an_older_lorimer_has_none(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0009") as connection:
        put_study(connection, {})
        name = put_candidate(connection, 1, "rejected")
        assert connection.execute(text("SELECT count(*) FROM sqlite_master WHERE name = 'preview'")).scalar() == 0
    Store.open(path).close()
    reader = StoreReader(path)
    assert reader.preview(name) is None
    row = reader.candidate(name)
    assert row is not None
    assert row.touches is None
    assert scan(reader, "s").candidates[0].touches is None
