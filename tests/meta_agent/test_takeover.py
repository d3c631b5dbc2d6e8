"""A study whose process ran on a machine of another name, which nobody can ask whether it lives."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from lorimer.errors import TakenOver, UserError
from lorimer.meta_agent.proposer.proposal import Proposal
from lorimer.meta_agent.study import takeover
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.study.takeover import take_over
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_hand import bench, settings, studied
from tests.meta_agent.test_loop import Bench, script

__all__ = ["bench"]

ELSEWHERE = "box-before:7862:1"


@pytest.fixture
def held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> StudyRow:
    """A study as a process on another machine left it, or runs it."""
    monkeypatch.setattr(takeover, "BEAT_SECONDS", 0.01)
    studied(bench, script("NULL"), settings(1))

    async def claimed() -> None:
        with Store.open(bench.root / bench.store) as store:
            await store.claim("demo", ELSEWHERE)

    asyncio.run(claimed())
    return bench.reader().study("demo")


def test_a_study_of_a_machine_that_is_gone_is_taken_over_when_a_person_says_so(bench: Bench, held: StudyRow) -> None:
    with pytest.raises(
        UserError,
        match=r"study demo is being run by process 7862 on the machine box-before since .*; end that one first; if that machine "
        r"is gone or has another name now, `lorimer resume demo --take-over` goes on",
    ):
        studied(bench, script("NULL"), settings(2))
    asyncio.run(take_over(bench.root, held))
    assert bench.reader().study("demo").holder == this_process()
    assert studied(bench, script("NULL", "NULL"), settings(2)).reason.startswith("budget.candidates: 2 of 2 tried")
    assert bench.reader().study("demo").holder == ""


def test_a_process_elsewhere_that_counts_on_is_left_alone(bench: Bench, held: StudyRow) -> None:
    async def counted() -> None:
        with Store.open(bench.root / bench.store) as store:
            await store.set_seconds("demo", held.seconds + 5)
        with pytest.raises(
            UserError,
            match=r"study demo is being run by process 7862 on the machine box-before since .*, which counts its seconds on",
        ):
            await take_over(bench.root, held)

    asyncio.run(counted())
    assert bench.reader().study("demo").holder == ELSEWHERE


def test_nobody_is_taken_over_where_this_machine_can_tell(bench: Bench) -> None:
    studied(bench, script("NULL"), settings(1))
    asyncio.run(take_over(bench.root, bench.reader().study("demo")))
    assert bench.reader().study("demo").holder == ""


async def test_a_process_that_finds_its_study_taken_over_says_so_whatever_else_fails_then(bench: Bench) -> None:
    """Such as a sandbox that was ended while it slept."""

    async def wakes(*_: object, **__: object) -> Proposal:
        with Store.open(bench.root / bench.store) as other:
            await other.claim("demo", ELSEWHERE, over=this_process())
            await other.set_study_state("demo", "running")
        raise OSError(9, "Bad file descriptor")

    async def runs() -> None:
        with bench.parts(script("NULL"), settings(1)) as (parts, _, _):
            await bench.create(parts)
            await optimize(dataclasses.replace(parts, propose=wakes), "demo")

    with pytest.raises(TakenOver, match=r"^study demo is being run by process 7862 on the machine box-before since"):
        await runs()
    kept = bench.reader().study("demo")
    assert (kept.state, kept.holder) == ("running", ELSEWHERE)
