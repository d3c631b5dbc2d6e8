"""An engine that stops or hangs up is never taken for something that the agent did."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from lorimer.errors import EngineOutage, SandboxError
from lorimer.sandbox.base import ExecOutput, JailRequest, Owner, PulledImage, Sandbox, SandboxFileError, SandboxRequest
from lorimer.sandbox.docker.commands import running
from lorimer.sandbox.docker.labels import PID, process_identity
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.pool import Pool
from tests.support.engine_proxy import EngineProxy

# Of a connection that is refused, the SDK leaves the socket to the garbage collector, which the fixture calls.
pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

IMAGE = "python:3.12-slim"
STUDY = f"test-outage-{os.getpid()}"
"""Containers with this label are killed here: never those of another worker."""
JAIL = JailRequest(
    ["python3", "-I", "-u", "-c", "import time; print(input(), flush=True); time.sleep(60)"], Owner(STUDY, "jail")
)


@pytest.fixture(autouse=True)
def lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine calls running here does run: it is asked for no longer than it may take to hear of an end."""
    monkeypatch.setattr(running, "LAG_SECONDS", 1.0)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    yield proxy
    proxy.stop(kill=f"lorimer.study={STUDY}")
    gc.collect()


@pytest.fixture
async def provider(engine: EngineProxy) -> AsyncIterator[DockerProvider]:
    made = DockerProvider(base_url=engine.url)
    yield made
    await made.close()


async def begun(sandbox: Sandbox) -> asyncio.Task[ExecOutput]:
    """A command that lasts, once it has begun in the sandbox."""
    task = asyncio.create_task(sandbox.exec("touch /begun; echo begun; sleep 600", timeout=900))
    await sandbox.exec("until [ -e /begun ]; do sleep 0.05; done; rm /begun", timeout=60)
    return task


async def test_a_connection_cut_in_the_middle_is_a_lost_sandbox_not_an_exit_code(
    engine: EngineProxy, provider: DockerProvider
) -> None:
    image = await provider.prepare(PulledImage(IMAGE))
    sandbox = await provider.acquire(SandboxRequest(image, Owner(STUDY, "task")))
    jail = await provider.jail(JAIL)
    await jail.send(b"hello")
    assert await jail.receive() == b"hello"
    command = await begun(sandbox)
    engine.stop()
    with pytest.raises(EngineOutage, match=r"docker: .*: the engine does not answer"):
        await command
    with pytest.raises(EngineOutage):
        await sandbox.exec("true", timeout=10)
    with pytest.raises(EngineOutage):
        await provider.reap()
    assert await jail.receive() is None
    with pytest.raises(EngineOutage):
        await jail.wait()

    command = asyncio.create_task(sandbox.exec("true", timeout=10))
    engine.start()
    await asyncio.gather(command, return_exceptions=True)
    # Both live on, and what they were doing goes on unheard: that is lost, and no end of theirs.
    assert await sandbox.running()
    assert await jail.running()
    with pytest.raises(SandboxError, match="the connection to its process was lost"):
        await jail.wait()
    command = await begun(sandbox)
    engine.stop()
    engine.start()
    with pytest.raises(SandboxError, match="the connection to a command was lost"):
        await command
    assert (await sandbox.exec("echo on", timeout=10)).stdout == b"on\n"


async def test_a_command_that_was_not_heard_to_begin_is_a_lost_sandbox_and_not_one_that_could_not_be_started(
    engine: EngineProxy, provider: DockerProvider
) -> None:
    image = await provider.prepare(PulledImage(IMAGE))
    sandbox = await provider.acquire(SandboxRequest(image, Owner(STUDY, "task")))
    engine.speechless = True
    command = asyncio.create_task(sandbox.exec("echo runs >/begun; sleep 600", timeout=900))
    async with asyncio.timeout(60):
        await _until_it_holds(sandbox, "/begun", b"runs\n")
    engine.speechless = False
    engine.stop()
    engine.start()
    with pytest.raises(SandboxError, match="the connection to a command was lost"):
        await command


async def _until_it_holds(sandbox: Sandbox, path: str, data: bytes) -> None:
    while True:
        with suppress(SandboxFileError):
            if await sandbox.read(path, max_bytes=99) == data:
                return
        await asyncio.sleep(0.05)


async def test_a_warm_jail_that_died_with_its_engine_is_not_given_out(engine: EngineProxy) -> None:
    pool = Pool(DockerProvider(base_url=engine.url), jails=1)
    try:
        first = await pool.jail(JAIL)
        deadline = time.monotonic() + 60
        while len(found := engine.running(f"lorimer.study={STUDY}")) != 2:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.05)
        engine.stop(kill=f"lorimer.study={STUDY}")
        engine.start()
        assert not await first.running()
        second = await pool.jail(JAIL)
        await second.send(b"hello")
        assert await second.receive() == b"hello"
    finally:
        await pool.close()
    assert engine.containers(f"{PID}={process_identity()}") == []


async def test_what_could_not_be_removed_in_an_outage_is_removed_by_the_next_reap(
    engine: EngineProxy, provider: DockerProvider
) -> None:
    jail = await provider.jail(JAIL)
    engine.stop()
    await jail.close()
    await asyncio.sleep(0.2)
    assert engine.containers(f"lorimer.study={STUDY}")
    engine.start()
    await provider.reap()
    assert engine.containers(f"lorimer.study={STUDY}") == []


async def test_what_a_cancelled_reap_has_not_come_to_is_removed_when_the_provider_is_closed(
    engine: EngineProxy, provider: DockerProvider
) -> None:
    """A study is stopped just when an engine is back: what was left there is being removed, and the rest is not forgotten."""
    jails = [await provider.jail(JAIL) for _ in range(3)]
    engine.stop()
    for jail in jails:
        await jail.close()
    await asyncio.gather(*provider._removals)
    assert len(provider._stuck) == len(jails)
    engine.start()
    reaping = asyncio.create_task(provider.reap())
    while len(engine.containers(f"lorimer.study={STUDY}")) == len(jails):
        assert not reaping.done()
        await asyncio.sleep(0.01)
    reaping.cancel()
    await asyncio.gather(reaping, return_exceptions=True)
    await provider.close()
    assert engine.containers(f"lorimer.study={STUDY}") == []


async def test_a_container_whose_making_was_not_answered_is_removed_all_the_same(
    engine: EngineProxy, provider: DockerProvider
) -> None:
    await (await provider.jail(JAIL)).close()  # what is asked once has been answered
    engine.hushed = True
    with pytest.raises(EngineOutage):
        await provider.jail(JAIL)
    engine.hushed = False
    assert engine.containers(f"lorimer.study={STUDY}")
    await provider.close()
    assert engine.containers(f"lorimer.study={STUDY}") == []
