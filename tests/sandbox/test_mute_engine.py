"""An engine that hangs is left as it is, soon, and what it may have made is named."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import EngineOutage, NotRemoved, PrerequisiteError
from lorimer.sandbox.base import Group, JailRequest, Network, Owner, PulledImage, SandboxRequest, Service
from lorimer.sandbox.docker.calls import BlockingCalls
from lorimer.sandbox.docker.commands.ahead import AheadSeries
from lorimer.sandbox.docker.commands.running import Execs
from lorimer.sandbox.docker.engine import Engine, NoAnswer, is_running
from lorimer.sandbox.docker.group import Groups
from lorimer.sandbox.docker.patience import Patience
from lorimer.sandbox.docker.provider import WORKERS, DockerProvider
from lorimer.sandbox.pool import Pool
from tests.support.mute_engine import (
    ENDED_MEANWHILE,
    HALF,
    NO_IMAGE,
    REMOVED,
    UPGRADED,
    VERSION,
    MuteEngine,
    mute_engine,
)

# Of a connection that is refused, the SDK leaves the socket to the garbage collector, which the fixture calls.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
JAIL = JailRequest(["true"], Owner("test-mute", "jail"))
WAIT = 90
"""Seconds; one call to an engine may take 180."""
SOON = Patience(1.0)
"""What the engines of these tests answer, they answer in milliseconds, and in tenths of a second on a busy machine. What is given
up is mute for good."""
STREAMS = HALF | {
    "/containers/create": {"Id": "c"},
    "/containers/c/attach": UPGRADED,
    "/containers/c/start": {},
    "/containers/c/exec": {"Id": "e"},
    "/exec/e/start": UPGRADED,
}
"""What is answered by an engine whose processes say nothing."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector is collected under its own filter."""
    yield
    gc.collect()


async def asked(engine: MuteEngine, path: str, times: int = 1) -> None:
    await asyncio.to_thread(engine.wait_for, path, times)


async def test_leaving_an_engine_that_makes_no_container_names_what_may_stay(tmp_path: Path) -> None:
    """Jails that a study waits for, and those that are made ahead, as after an outage."""
    with mute_engine(tmp_path / "s", HALF) as engine:
        pool = Pool(DockerProvider(base_url=engine.url, patience=SOON), jails=2)
        waiting = [asyncio.create_task(pool.jail(JAIL)) for _ in range(2)]
        await asked(engine, "/containers/create", 2)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(WAIT):
            with pytest.raises(NotRemoved, match=r"containers could not be removed \(lorimer-.*; `lorimer gc` tries"):
                await pool.close()


async def test_who_waits_for_an_engine_that_is_left_hears_of_it_at_once(tmp_path: Path) -> None:
    with mute_engine(tmp_path / "s", HALF) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        waiting = asyncio.create_task(provider.jail(JAIL))
        await asked(engine, "/containers/create")
        async with asyncio.timeout(WAIT):
            with pytest.raises(NotRemoved):
                await provider.close()
            with pytest.raises(EngineOutage, match=r"the engine at unix://.* does not answer \(for 1 s\)"):
                await waiting


async def stopped(work: Coroutine[Any, Any, object], engine: MuteEngine, path: str) -> None:
    """Begin something, cancel it once the engine was asked for this, and wait until it has come to its end."""
    task = asyncio.create_task(work)
    await asked(engine, path)
    task.cancel()
    async with asyncio.timeout(WAIT):
        await asyncio.wait({task})
    assert task.cancelled()


async def test_who_is_stopped_waits_for_no_exec_that_is_being_made(tmp_path: Path) -> None:
    with mute_engine(tmp_path / "s", HALF) as engine:
        docker = Engine(workers=4, base_url=engine.url, patience=SOON)

        async def commands() -> None:
            series = AheadSeries(Execs(docker, "c"), no_command, env=None, user=None, idle=0.0)
            try:
                await asyncio.Event().wait()
            finally:
                await series.close()

        await stopped(commands(), engine, "/containers/c/exec")
        await docker.close()


async def test_who_is_stopped_waits_for_no_removal_of_the_networks_around_a_task(tmp_path: Path) -> None:
    volume = Service("main", None, volumes=(("data", "/data"),))
    with mute_engine(tmp_path / "s", HALF | {"/networks/create": {"Id": "n"}}) as engine:
        docker = Engine(workers=4, base_url=engine.url, patience=SOON)
        groups = Groups(docker, no_image, no_container, no_container)
        group = Group(volume, networks=(Network("default"),))
        await stopped(groups.make(group, {}, open_=True, runtime=None), engine, "/volumes/create")
        await asked(engine, "/networks/n")
        await docker.close()


async def no_command(*_: Any, **__: Any) -> Any:
    raise AssertionError


async def no_image(_: object) -> str:
    raise AssertionError


async def no_container(_: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize("answers", [None, VERSION], ids=["nothing", "a ping"])
async def test_an_engine_that_does_not_say_what_it_has_is_told_in_plain_words(
    tmp_path: Path, answers: dict[str, object] | None
) -> None:
    with mute_engine(tmp_path / "s", answers) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        async with asyncio.timeout(WAIT):
            with pytest.raises(PrerequisiteError) as told:
                await provider.reap()
            await provider.close()
    assert str(told.value) == (
        f"the Docker Engine at {engine.url} takes connections and does not answer (for 1 s); restart it "
        "(`sudo systemctl restart docker`), or set DOCKER_HOST to one that answers"
    )


async def test_an_engine_that_answers_a_ping_alone_is_not_taken_to_be_back(tmp_path: Path) -> None:
    answers = dict(HALF)
    with mute_engine(tmp_path / "s", answers) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        await provider.answers()
        del answers["/info"]
        async with asyncio.timeout(WAIT):
            with pytest.raises(NoAnswer, match=r"^docker: .*: the engine does not answer \(for 1 s\)$"):
                await provider.answers()
            await provider.close()


async def test_a_call_that_is_answered_at_once_is_not_waited_for_as_long_as_others(tmp_path: Path) -> None:
    with mute_engine(tmp_path / "s", HALF) as engine:
        docker = Engine(workers=4, base_url=engine.url, patience=SOON)
        async with asyncio.timeout(WAIT):
            with pytest.raises(
                NoAnswer, match=r"^docker: inspect a container: the engine does not answer \(for 3 s\)$"
            ):
                await is_running(docker, "c")
        await docker.close()


async def test_an_engine_that_answers_is_not_given_up_for_a_call_that_takes_long(tmp_path: Path) -> None:
    with mute_engine(tmp_path / "s", HALF) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        waiting = asyncio.create_task(provider.jail(JAIL))
        await asked(engine, "/containers/create")
        await asked(engine, "/info", 3)
        assert not waiting.done()
        with pytest.raises(NotRemoved):
            await provider.close()
        await asyncio.wait({waiting})


async def test_who_waits_for_an_engine_that_hangs_is_told_and_it_is_asked_again(tmp_path: Path) -> None:
    """Whatever is awaited: a process's words, a container, more of them than there are threads."""
    answers = dict(STREAMS)
    with mute_engine(tmp_path / "s", answers) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        jail = await provider.jail(JAIL)
        hearing = asyncio.create_task(jail.receive())
        info = answers.pop("/info")
        del answers["/containers/create"]
        making = [asyncio.create_task(provider.jail(JAIL)) for _ in range(WORKERS + 1)]
        async with asyncio.timeout(WAIT):
            for task in (hearing, *making):
                with pytest.raises(NoAnswer, match=r"the engine does not answer \(for 3 s\)$"):
                    await task
            answers["/info"] = info
            await provider.answers()
            with suppress(NotRemoved):
                await provider.close()


async def test_a_command_on_an_engine_that_hangs_is_lost_and_did_not_run_out_of_its_time(tmp_path: Path) -> None:
    answers = dict(STREAMS)
    with mute_engine(tmp_path / "s", answers) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        sandbox = await provider.acquire(SandboxRequest("image", JAIL.owner))
        command = asyncio.create_task(sandbox.exec("sleep 1", timeout=600))
        await asked(engine, "/exec/e/start")
        del answers["/info"]
        async with asyncio.timeout(WAIT):
            with pytest.raises(NoAnswer):
                await command
            with suppress(NotRemoved):
                await provider.close()


async def test_a_pull_that_the_engine_does_not_end_is_no_fault_of_the_image(tmp_path: Path) -> None:
    answers = HALF | {"/images/x/json": NO_IMAGE}
    with mute_engine(tmp_path / "s", answers) as engine:
        provider = DockerProvider(base_url=engine.url, patience=SOON)
        pulling = asyncio.create_task(provider.prepare(PulledImage("x")))
        await asked(engine, "/images/create")
        del answers["/info"]
        async with asyncio.timeout(WAIT):
            with pytest.raises(NoAnswer):
                await pulling
            await provider.close()


@pytest.mark.parametrize(("answers", "asks"), [([ENDED_MEANWHILE, REMOVED], 2), ([ENDED_MEANWHILE], 2), ([REMOVED], 1)])
async def test_a_container_that_ended_while_the_engine_would_kill_it_is_removed_all_the_same(
    tmp_path: Path, answers: list[bytes], asks: int
) -> None:
    """The engine refuses such a removal as it refuses one that is under way already."""
    with mute_engine(tmp_path / "s", STREAMS | {"/containers/c": answers}) as engine:
        provider = DockerProvider(base_url=engine.url)
        await provider.jail(JAIL)
        async with asyncio.timeout(WAIT):
            await provider.close()
        assert engine.times("/containers/c") == asks


async def test_more_calls_than_threads_are_all_answered_and_a_closed_engine_takes_none(tmp_path: Path) -> None:
    with mute_engine(tmp_path / "s", HALF) as server:
        engine = Engine(workers=2, base_url=server.url)
        found = await asyncio.gather(*(engine.call("list", lambda client: client.containers()) for _ in range(9)))
        assert found == [[]] * 9
        engine.leave()
        assert not engine.given_up
        await engine.close()
        with pytest.raises(Exception, match="the docker provider is closed"):
            await engine.call("list", lambda client: client.containers())


def test_no_proxy_is_looked_for_on_the_way_to_a_socket(tmp_path: Path) -> None:
    """The SDK's client goes through the whole environment for one, before each of its calls."""
    with mute_engine(tmp_path / "s", HALF) as server:
        client = Engine(workers=1, base_url=server.url).new_client(5.0)
        assert not client.trust_env
        client.close()


async def test_what_a_failed_call_had_open_goes_with_its_error() -> None:
    """Not later, with the garbage: an archive that stays open keeps its container locked."""

    class Open:
        pass

    held: list[weakref.ref[Open]] = []

    def fails() -> None:
        opened = Open()
        held.append(weakref.ref(opened))
        raise LookupError

    calls = BlockingCalls(1)
    gc.disable()
    try:
        with suppress(LookupError):
            await calls.run(fails)
        for thread in threading.enumerate():
            if thread.name == "lorimer-docker":
                thread.join()
        await asyncio.sleep(0)  # the loop lets go of what it woke this test with
        assert [each() for each in held] == [None]
    finally:
        gc.enable()
