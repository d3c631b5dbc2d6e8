"""The pool on a real provider: what is warm, what is cold, and that nothing is left over."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from lorimer.errors import SandboxError
from lorimer.sandbox.base import Jail, JailRequest, Owner, PulledImage, SandboxRequest
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.fake import FakeProvider
from lorimer.sandbox.pool import Pool

IMAGE = "python:3.12-slim"
STUDY = f"test-pool-{os.getpid()}"
"""Another worker may be in the middle of its own test of pools."""
TASK = SandboxRequest(IMAGE, Owner(STUDY, "one"))
JAIL = JailRequest(["python3", "-I", "-u", "-c", "print(input())"], Owner(STUDY, "one"))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(DockerProvider(), jails=1)
    await made.prepare(PulledImage(IMAGE))
    yield made
    await made.close()


@pytest.fixture
def engine() -> Any:
    from docker import APIClient

    client = APIClient(version="auto")
    yield client
    client.close()


def running(engine: Any, trial: str = "warm") -> list[str]:
    """Running containers of this study and `trial`, by their short ids."""
    labels = [f"lorimer.study={STUDY}", f"lorimer.trial={trial}"]
    return [found["Id"][:12] for found in engine.containers(filters={"label": labels})]


async def until(engine: Any, count: int) -> list[str]:
    """The warm containers, once there are `count`."""
    deadline = time.monotonic() + 60
    while len(found := running(engine)) != count:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


async def test_the_pool_is_any_providers() -> None:
    fake = FakeProvider()
    pool = Pool(fake, jails=2)
    assert pool.name == "fake"
    assert await pool.prepare(PulledImage("any")) == "fake"
    assert await pool.acquire(TASK) is fake.sandboxes[0]
    assert len(fake.sandboxes) == 1
    await pool.close()


@pytest.mark.docker
async def test_the_next_jail_is_warm_and_an_odd_one_is_cold(pool: Pool, engine: Any) -> None:
    first = await pool.jail(JAIL)
    assert first.id in running(engine, "one")
    warm = await until(engine, 1)
    odd = await pool.jail(replace(JAIL, memory_mb=300))
    assert odd.id not in warm
    assert running(engine) == warm
    second = await pool.jail(JAIL)
    assert second.id == warm[0]
    for jail in (first, odd, second):
        await jail.send(b"hello")
        assert await jail.receive() == b"hello"


async def test_a_warm_up_that_failed_is_no_failure_of_the_one_that_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, asked = FakeProvider(allow_unsandboxed_jail=True), list[str]()
    cold = fake.jail

    async def jail(request: JailRequest) -> Jail:
        asked.append(request.owner.trial)
        if request.owner.trial == "warm":
            raise SandboxError("the engine was busy")
        return await cold(request)

    monkeypatch.setattr(fake, "jail", jail)
    pool = Pool(fake, jails=1)
    for _ in range(2):
        made = await pool.jail(JAIL)
        await made.send(b"hello")
        assert await made.receive() == b"hello"
        await made.close()
        await asyncio.sleep(0)
    await pool.close()
    assert asked == ["one", "warm", "one", "warm"]


async def test_a_warm_jail_that_does_not_say_whether_it_runs_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def fails() -> bool:
        raise SandboxError("inspect: 500")

    async def hangs() -> bool:
        asked.set()
        return await asyncio.Event().wait()

    pool = Pool(FakeProvider(allow_unsandboxed_jail=True), jails=1)
    await pool.jail(JAIL)
    failed = await pool._jails._warm[0].making
    monkeypatch.setattr(failed, "running", fails)
    assert await pool.jail(JAIL) is not failed
    silent = await pool._jails._warm[0].making
    monkeypatch.setattr(silent, "running", hangs)
    taking = asyncio.create_task(pool.jail(JAIL))
    await asked.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    monkeypatch.undo()
    left = [await jail.running() for jail in (failed, silent)]
    await pool.close()
    assert left == [False, False]


@pytest.mark.docker
async def test_a_cancelled_taker_leaves_nothing_and_closing_removes_the_unused(engine: Any) -> None:
    pool = Pool(DockerProvider(), jails=2)
    first = await pool.jail(JAIL)
    await until(engine, 2)
    taking = [asyncio.create_task(pool.acquire(TASK)), *(asyncio.create_task(pool.jail(JAIL)) for _ in range(4))]
    await asyncio.sleep(0.05)
    for each in taking:
        each.cancel()
    await asyncio.wait(taking)
    await first.close()
    await pool.close()
    assert engine.containers(all=True, filters={"label": f"lorimer.study={STUDY}"}) == []
