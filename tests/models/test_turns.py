"""Requests of several clients and processes that share a key, on real files and through the real SDKs."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import user
from lorimer.models.base import CallContext
from lorimer.models.failing.retry import RetryClock
from lorimer.models.flow import control, places
from lorimer.models.flow.control import Flow, User
from lorimer.models.flow.places import InFile, InMemory, is_alive, name_of
from lorimer.models.flow.told import limits
from lorimer.models.flow.turns import Turns
from lorimer.models.provider import Api, RetryPolicy
from lorimer.traces.writing.holder import this_process
from tests.models.test_retries import ANY_API, BUSY
from tests.support.model_clients import KEY, FakeTime, asked, client, context, good
from tests.support.scripted_server import Reply, Request, ScriptedServer, scripted_server

HELD = """
import asyncio, sys
from pathlib import Path
from lorimer.models.flow.places import InFile
from lorimer.models.flow.turns import Turns
import time

async def main():
    turns = Turns(lambda: InFile(Path(sys.argv[1])), "local", 1, time.time, adapts=True, patience=600, within=600)
    async with turns.turn():
        print("holds", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "lorimer" / "requests"


class Crowded(ScriptedServer):
    """Answers so many requests at once, each in a moment, and refuses the others."""

    def __init__(self, takes: int) -> None:
        super().__init__((), Reply(good("chat"), delay=0.02))
        self.takes, self.serving, self.most, self.refused = takes, 0, 0, 0

    async def _play(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.serving >= self.takes:
            self.refused += 1
            return await super()._play(BUSY, reader, writer)
        self.serving += 1
        self.most = max(self.most, self.serving)
        try:
            return await super()._play(reply, reader, writer)
        finally:
            self.serving -= 1


@asynccontextmanager
async def crowded(takes: int, api: Api) -> AsyncIterator[Crowded]:
    server = Crowded(takes)
    server.from_now_on(Reply(good(api), delay=0.02))
    await server.listen()
    try:
        yield server
    finally:
        await server.end()


@asynccontextmanager
async def holding(place: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has a request in flight."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELD, str(place), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"holds\n"
        yield holder
    finally:
        with suppress(ProcessLookupError):
            holder.kill()
        await holder.wait()


@asynccontextmanager
async def held_up(place: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A call waits for the other process's request, and has its turn once that process has met what a test does to it."""
    async with holding(place) as holder:
        turns = own(place, bound=1)
        waiting = asyncio.create_task(_one(turns))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        yield holder
        async with asyncio.timeout(60):
            await waiting
        turns.close()


@dataclass
class Hurried(FakeTime):
    """A clock that each look at it moves on."""

    step: float = 0.0

    def clock(self) -> RetryClock:
        def look() -> float:
            self.now += self.step
            return self.now

        return RetryClock(look, look, self.sleep, lambda: self.chance)


def list_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()] if folder.is_dir() else []


def only_file_in(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def own(place: Path, *, bound: int | None = None) -> Turns:
    return Turns(lambda: InFile(place), "local", bound, time.time, adapts=True, patience=600, within=600)


@ANY_API
async def test_a_provider_that_takes_a_few_at_once_gets_several_and_seldom_refuses(api: Api, state: Path) -> None:
    quick = RetryPolicy(window_seconds=600, initial_seconds=0.01, maximum_seconds=0.01)
    many = [asked(user("hi"))] * 60
    async with crowded(4, api) as server, client(server.url, api, real=True, retry=quick) as model:
        first = await asyncio.gather(*(model.complete(each, context()) for each in many))
        learned, server.refused, server.most = server.refused, 0, 0
        second = await asyncio.gather(*(model.complete(each, context()) for each in many))
    assert {reply.completion.text for reply in first + second} == {"hello"}
    assert learned >= 56  # nobody knew
    assert server.refused <= 9
    # How full a provider is kept is simulated in test_flow.py; here it would depend on how fast this machine sends.
    assert server.most > 1
    assert sum(reply.retries for reply in second) == server.refused


@ANY_API
async def test_without_adapting_every_refusal_is_each_calls_own(api: Api, state: Path) -> None:
    limited = Reply(BUSY.body, status=429, headers={"Retry-After": "7"})
    time, waits = FakeTime(chance=0.0), list[tuple[float, str]]()
    async with (
        scripted_server(limited, Reply(good(api))) as server,
        client(server.url, api, time=time, adaptive_concurrency=False) as model,
    ):
        assert (await model.complete(asked(user("hi")), context(waits))).completion.text == "hello"
    assert waits == [(7.0, "HTTP 429: slow down")]
    assert not list_of(state)


async def test_a_refusal_says_how_many_requests_there_are_from_then_on(state: Path) -> None:
    waits = list[tuple[float, str]]()
    quick = RetryPolicy(window_seconds=600, initial_seconds=0.01, maximum_seconds=0.01)
    async with crowded(2, "chat") as server, client(server.url, "chat", real=True, retry=quick) as model:
        await asyncio.gather(*(model.complete(asked(user("hi")), context(waits)) for _ in range(8)))
    assert (waits[0][1]).startswith("HTTP 429: slow down (from now on ")
    assert (waits[0][1]).endswith(" at once)")


async def test_two_clients_with_one_key_share_a_file_and_leave_it(state: Path) -> None:
    async with (
        scripted_server(otherwise=Reply(good("chat"))) as server,
        client(server.url, "chat") as one,
        client(server.url, "chat", name="other") as two,
    ):
        await one.complete(asked(user("hi")), context())
        await two.complete(asked(user("hi")), context())
        [stored] = list_of(state)
        assert sorted(each.provider for each in places.read(stored).users.values()) == ["local", "other"]
    assert [places.read(stored).users for stored in list_of(state)] == [{}]


async def test_the_bound_holds_over_two_clients(tmp_path: Path) -> None:
    one, two = own(tmp_path / "key.json", bound=3), own(tmp_path / "key.json", bound=3)
    flying, most = 0, 0

    async def request(turns: Turns) -> None:
        nonlocal flying, most
        async with turns.turn():
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.01)
            flying -= 1

    await asyncio.gather(*(request(turns) for turns in (one, two) for _ in range(10)))
    assert most == 3
    one.close()
    two.close()


async def test_requests_of_a_killed_process_are_taken_out(tmp_path: Path) -> None:
    async with held_up(tmp_path / "key.json") as holder:
        holder.send_signal(signal.SIGKILL)
        await holder.wait()


async def test_requests_of_a_suspended_process_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STOPPED_SECONDS", 0.0)
    async with held_up(tmp_path / "key.json") as holder:
        holder.send_signal(signal.SIGSTOP)


async def test_who_waits_long_for_another_process_is_told_once_for_which(state: Path) -> None:
    """And waits until its request must have ended long ago."""
    waits = list[tuple[float, str]]()
    now = Hurried(time.time())
    async with (
        scripted_server(otherwise=Reply(good("chat"))) as server,
        client(server.url, "chat", concurrency=1, time=now) as model,
    ):
        await model.complete(asked(user("hi")), context(waits))
        place = only_file_in(state)
        async with holding(place) as holder:
            now.step = 5.0
            for _ in range(2):
                async with asyncio.timeout(60):
                    reply = await model.complete(asked(user("hi")), context(waits))
                assert reply.completion.text == "hello"
    assert waits == [(0.0, f"for a turn: local may have 1 request in flight at once, and process {holder.pid} has 1")]


async def _one(turns: Turns) -> None:
    async with turns.turn():
        pass


async def test_a_call_that_is_given_up_while_it_waits_leaves_its_place_to_others(tmp_path: Path) -> None:
    one, two = own(tmp_path / "key.json", bound=1), own(tmp_path / "key.json", bound=1)
    async with one.turn():
        waiting = asyncio.create_task(_one(two))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(60):
        await _one(one)
        await _one(two)
    one.close()
    two.close()


def test_a_file_that_a_stopped_process_keeps_locked_holds_nobody_up(tmp_path: Path) -> None:
    place = InFile(tmp_path / "key.json")
    place.change(lambda flow: (flow.with_user(name_of(1), User(flying=2)), None))
    with (tmp_path / "key.json").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert place.change(lambda flow: (flow, flow)) == Flow()
    place.close()


async def test_a_file_that_cannot_be_written_holds_no_call_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    turns, looks = own(tmp_path / "key.json", bound=1), list[Flow]()
    monkeypatch.setattr(os, "pwrite", full)
    async with asyncio.timeout(60):
        for _ in range(3):
            await _one(turns)
    turns.close()

    def look(flow: Flow) -> tuple[Flow, None]:
        looks.append(flow)
        return flow, None

    place = InFile(tmp_path / "key.json")
    place.change(look)
    assert looks == [Flow()], "it looks once, whether or not that can be kept"
    place.close()


@given(
    st.binary(max_size=60) | st.sampled_from([b"", b"{", b"[]", b'{"users": {"a": {"flying": -1}}}', b'{"limit": NaN}'])
)
def test_a_file_that_makes_no_sense_is_nothing(stored: bytes) -> None:
    assert places.read(stored) == Flow()


def test_what_is_kept_is_read_as_it_was(tmp_path: Path) -> None:
    place = InFile(tmp_path / "key.json")
    kept = Flow(6.75, 12.5, 9, 13.5, {name_of(1): User(2, 8, True, 1.5, 2.5, "local")})
    place.change(lambda flow: (kept, None))
    assert place.change(lambda flow: (flow, flow)) == kept
    place.close()


def test_a_file_of_an_older_lorimer_is_read() -> None:
    name, stored = name_of(1), {"flying": 2, "bound": 8, "waits": True, "seen": 1.5, "last": 2.5, "provider": "local"}
    flow = places.read(json.dumps({"limit": 6.75, "cut": 12.5, "users": {name: stored}}).encode())
    assert flow == Flow(6.75, 12.5, users={name: User(2, 8, True, 1.5, 2.5, "local", control.UNSAID_SECONDS)})


def test_a_name_is_a_living_processs_or_not() -> None:
    assert is_alive(name_of(1))
    assert not is_alive(f"{os.getpid()}:1:1")
    assert not is_alive("nonsense")


def test_no_file_holds_a_key_or_is_named_by_what_can_be_turned_back_into_one(state: Path) -> None:
    opened = [
        places.at("https://one.example", KEY, {}),
        places.at("https://one.example", KEY, {}),
        places.at("https://two.example", KEY, {}),
        places.at("https://one.example", "another", {}),
        places.at("https://one.example", KEY, {"X-Api-Key": "of the gateway"}),
    ]
    for place in opened:
        place.change(lambda flow: (flow, None))
        place.close()
    files = list(state.iterdir())
    assert len(files) == 4
    assert all(KEY.encode() not in path.read_bytes() and "example" not in path.name for path in files)
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}


def test_where_there_can_be_no_file_a_client_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert isinstance(places.at("https://one.example", KEY, {}), InMemory)


async def test_waiting_for_a_turn_is_no_part_of_the_retry_window(state: Path) -> None:
    """A call that was refused, then waited for long behind others and is refused again, goes on."""
    now = FakeTime(chance=0.0)

    def stepping(request: Request) -> Reply:
        now.now += 90.0  # as long as the call before it takes
        return BUSY if len(server.requests) % 2 else Reply(good("chat"))

    async with (
        scripted_server(otherwise=stepping) as server,
        client(server.url, "chat", time=now, concurrency=1) as model,
    ):
        replies = await asyncio.gather(*(model.complete(asked(user("hi")), context()) for _ in range(3)))
    assert [reply.completion.text for reply in replies] == ["hello"] * 3


async def test_a_call_says_when_it_waits_for_its_turn(state: Path) -> None:
    entered = 0

    class Queued:
        def __enter__(self) -> None:
            nonlocal entered
            entered += 1

        def __exit__(self, *given: object) -> None:
            pass

    async with (
        scripted_server(otherwise=Reply(good("chat"), delay=0.05)) as server,
        client(server.url, "chat", concurrency=1) as model,
    ):
        told = CallContext("task", queued=Queued)
        await asyncio.gather(*(model.complete(asked(user("hi")), told) for _ in range(3)))
    assert entered == 2


async def test_people_are_told_what_holds_back_a_process(state: Path) -> None:
    turns = own(state / "key.json")
    async with turns.turn(), turns.turn(), turns.turn() as third:
        assert limits(this_process(), 0.0) == []
        assert third.refused(30.0) == 2
        cut = time.time()
        [said] = limits(this_process(), cut)
        assert limits(this_process().replace(f":{os.getpid()}:", ":1:"), cut) == []
    turns.close()
    since = time.strftime("%H:%M", time.gmtime(cut))
    assert said.startswith(f"local: at most 2 at once, as it had too much to do at {since} UTC; it asked for ")
    assert limits(this_process(), cut) == []
