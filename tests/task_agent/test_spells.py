"""Turns between two model calls (`task_agent/serving/spells.py`): who has one, how it ends, and what a trial notices of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.task_agent.serving.spells import Spell, Spells
from tests.support.trials import reply, solve
from tests.task_agent.conftest import Try

LONG = 3600.0


async def waiting(spells: Spells, count: int) -> list[asyncio.Task[Spell]]:
    """So many who ask for their turn, one after another."""
    asking = list[asyncio.Task[Spell]]()
    for _ in range(count):
        asking.append(asyncio.create_task(spells.begin()))
        await asyncio.sleep(0)
    return asking


async def test_so_many_have_their_turn_at_once_and_the_first_to_come_is_the_first_to_have_it() -> None:
    spells = Spells(at_once=2, seconds=LONG)
    first, second = await spells.begin(), await spells.begin()
    asking = await waiting(spells, 3)
    assert [each.done() for each in asking] == [False, False, False]
    first.end()
    first.end()  # frees no second place
    await asyncio.wait({asking[0]})
    await asyncio.sleep(0)
    assert [each.done() for each in asking] == [True, False, False]
    second.end()
    await asyncio.wait({asking[1]})
    assert not asking[2].done()
    asking[2].cancel()


async def test_a_turn_is_over_by_itself() -> None:
    spells = Spells(at_once=1, seconds=0.01)
    await spells.begin()
    await spells.begin()


async def test_who_no_longer_waits_takes_no_turn() -> None:
    spells = Spells(at_once=1, seconds=LONG)
    held = await spells.begin()
    gone, stays = await waiting(spells, 2)
    gone.cancel()
    await asyncio.wait({gone})
    held.end()
    await asyncio.wait({stays})


@pytest.mark.bubblewrap
async def test_a_trial_that_calls_its_model_leaves_its_turn_to_others(attempt: Try) -> None:
    """Its second answer would wait for the turn that it has itself."""
    agent = solve("for _ in range(3):\n    llm.complete([user('x')])\nreturn env.exec('echo fine').stdout")
    played = await attempt(agent, spells=Spells(at_once=1, seconds=LONG))
    assert (played.end.cause, played.end.answer, played.end.used.calls) == ("finished", "fine\n", 3)


@pytest.mark.bubblewrap
async def test_a_trial_waits_for_its_turn_and_not_on_its_own_time(attempt: Try) -> None:
    spells = Spells(at_once=1, seconds=LONG)
    held = await spells.begin()

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        asyncio.get_running_loop().call_later(1.0, held.end)
        return reply()

    began = time.monotonic()
    agent = solve("llm.complete([user('x')])\nreturn env.exec('echo fine').stdout")
    played = await attempt(agent, spells=spells, answer=answer)
    took = time.monotonic() - began
    assert (played.end.cause, played.end.answer) == ("finished", "fine\n")
    assert played.end.active_seconds <= took - 0.9
