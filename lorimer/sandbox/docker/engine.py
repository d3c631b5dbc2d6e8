"""The Engine API: one lazily made SDK client, a bounded number of threads, attached streams as asyncio streams.

The only module that touches the `docker` SDK's errors; the others see `EngineError`, or `NoAnswer` of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lorimer.errors import EngineOutage, PrerequisiteError, SandboxError
from lorimer.sandbox.docker.attached import Attached, opened, take_over
from lorimer.sandbox.docker.calls import LOOK_SECONDS, BlockingCalls
from lorimer.sandbox.docker.patience import PATIENCE, Patience

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

LOCAL_SOCKET = "unix:///var/run/docker.sock"
"""Where an engine is looked for that nobody named."""

THERE = "ask whether it is there"

LIMITS = {"MemoryLimit": "memory", "PidsLimit": "processes"}
"""What an engine says of its cgroups -> what it cannot limit where it says no. It takes such limits and drops them."""


class EngineError(SandboxError):
    """The engine refused or failed a call.

    Args:
        what: what was being done, for the user.
        explanation: the engine's words.
        status: its HTTP status; `None` if there was no answer.
    """

    def __init__(self, what: str, explanation: str, status: int | None = None) -> None:
        super().__init__(f"docker: {what}: {explanation}")
        self.explanation, self.status = explanation, status

    @property
    def no_container(self) -> bool:
        """Whether the engine does not know the container any more, or it is not running."""
        text = self.explanation.lower()
        return "no such container" in text or "is not running" in text or "is dead or marked for removal" in text


class NoAnswer(EngineError, EngineOutage):
    """The engine could not be reached, hung up, or took longer than any call may.

    Args:
        waited: whether it was given up after a time without an answer.
    """

    def __init__(self, what: str, explanation: str, *, waited: bool = False) -> None:
        super().__init__(what, explanation)
        self.waited = waited


class Engine:
    """Calls to one Docker Engine. `base_url=None` takes `DOCKER_HOST` and its TLS variables, as every Docker tool does.

    Where calls or streams are awaited and nothing comes of any of them, the engine is asked whether it is there. One that does
    not say so is given up: all who await something of it have NoAnswer raised, and need not wait for their own bounds.
    """

    def __init__(self, *, workers: int, base_url: str | None = None, patience: Patience = PATIENCE) -> None:
        self.base_url = base_url
        self._patience = patience
        self._calls = BlockingCalls(workers)
        self._asking = BlockingCalls(1)
        """A thread that no other call takes: all those of `_calls` may wait for an engine that is mute."""
        self._closed = False
        self._client: APIClient | None = None
        self._quick: APIClient | None = None
        """Waits less long."""
        self._watching: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._attached: set[Attached] = set()
        self._making: set[asyncio.Task[Any]] = set()
        self.cpus = 1
        """The processors of the engine's machine; a container may not be given more."""
        self.memory = 0
        """Bytes of the engine's machine; 0 where it does not say."""
        self.folder = ""
        """Where the engine keeps its data, on its machine."""

    async def connect(self) -> None:
        """Make sure that an engine answers. Raises PrerequisiteError."""
        if self._client is None:
            await self._connect()

    async def call(self, what: str, function: Callable[[Any], T], *, quick: bool = False) -> T:
        """Run `function` on the client in a thread. Raises EngineError, PrerequisiteError if there is no engine.

        Args:
            quick: the engine answers this from what it knows, whatever it does for others: it need not be waited for so long.
        """
        client = self._client or await self._connect()
        if quick:
            client = self._quick or client
        return await self._run(lambda: _translated(what, function, client))

    async def make(self, making: Coroutine[Any, Any, str], remove: Callable[[str], Awaitable[object]]) -> str:
        """The id of what `making` has the engine make. No cancellation reaches the engine: where the caller is cancelled
        meanwhile, what was made for it is removed in the background, which `made` awaits."""
        work = asyncio.create_task(making)
        self._remember(work)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:

            async def undo() -> None:
                await asyncio.wait({work})
                if not work.cancelled() and work.exception() is None:
                    await remove(work.result())

            self.beside(undo())
            raise

    def _remember(self, task: asyncio.Task[Any]) -> None:
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    def beside(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something in the background, where no cancellation reaches it; `made` awaits it."""
        self._remember(asyncio.create_task(work))

    async def made(self) -> None:
        """Wait until all is there that was asked for, and gone again where nobody takes it."""
        while self._making:
            await asyncio.wait(self._making)

    async def attach(self, what: str, function: Callable[[Any], Any], *, quick: bool = False) -> Attached:
        """Like `call` for a function that returns the SDK's socket of a hijacked connection (after all else it does)."""
        work = asyncio.ensure_future(self.call(what, lambda client: take_over(function(client)), quick=quick))
        try:
            connection, early = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread goes on; what it brings back has no owner any more.
            work.add_done_callback(
                lambda done: None if done.cancelled() or done.exception() else done.result()[0].close()
            )
            raise
        attached = await opened(connection, early, self._attached.discard)
        self._attached.add(attached)
        self._watch()
        return attached

    async def stream(
        self,
        what: str,
        function: Callable[[Any], Iterator[Mapping[str, Any]]],
        each: Callable[[Mapping[str, Any]], None],
        *,
        timeout: float,
    ) -> None:
        """Consume a long answer (a build, a pull), calling `each` in its thread. Raises TimeoutError, EngineError.

        At the timeout, and when cancelled, the connection is cut, upon which the engine ends what it was doing.
        """
        client = await self._run(lambda: _translated("connect", lambda _: self.new_client(timeout=timeout), None))
        answers: list[Any] = []
        client.hooks["response"].append(lambda answer, *_, **__: answers.append(answer))

        def consume(_: object) -> None:
            for event in function(client):
                each(event)

        work = asyncio.ensure_future(self._run(lambda: _translated(what, consume, None)))
        try:
            done, _ = await asyncio.wait({work}, timeout=timeout)
            if not done:
                raise TimeoutError
            work.result()
        except NoAnswer:
            _cut(answers)  # the thread may still wait for more of it
            raise
        finally:
            if not work.done() and answers:
                _cut(answers)
                await asyncio.wait({work}, timeout=10)
                if work.done() and not work.cancelled():
                    work.exception()  # the cut connection's own error says nothing new
            client.close()

    def detach_all(self) -> None:
        """Close every attached stream. To be done before a removal: the engine ends a container only when all that it
        printed has been taken or nobody is attached, so an unread flood would block it for good."""
        for attached in list(self._attached):
            attached.close()

    @property
    def given_up(self) -> bool:
        """Whether the engine, while it was being left, did not answer."""
        return self._calls.given_up

    def leave(self) -> None:
        """Nothing but clearing up comes from now on: an engine that is mute for `Patience.answer` meanwhile is given up. What is
        asked of it then, and was before, raises NoAnswer at once."""
        seconds = self._patience.answer
        self._calls.leave(
            seconds,
            lambda: NoAnswer("clear up", f"the engine at {self.where} does not answer (for {seconds:g} s)"),
        )

    async def close(self) -> None:
        """Close every connection. Threads that wait for an answer are left to themselves."""
        self.detach_all()
        clients, self._client, self._quick, self._closed = (self._client, self._quick), None, None, True
        self._calls.close()
        self._asking.close()
        if self._watching is not None:
            self._watching.cancel()
        for client in clients:
            if client is not None:
                client.close()

    async def _run(self, function: Callable[[], T]) -> T:
        if self._closed:
            raise SandboxError("the docker provider is closed")
        self._watch()
        return await self._calls.run(function)

    def _watch(self) -> None:
        """See that the engine is there, for as long as something is awaited of it."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._until_mute())

    async def _until_mute(self) -> None:
        pause, bound, heard = self._patience.answer, self._patience.quick, time.monotonic()
        while self._attached or self._calls.awaited:
            silent = time.monotonic() - max(heard, self._calls.answered)
            if silent < pause or self._client is None:
                await asyncio.sleep(max(pause - silent, LOOK_SECONDS))
                continue
            try:
                await self._asking.run(
                    lambda: _translated(THERE, partial(_info, where=self.where, seconds=bound), self._client)
                )
            except NoAnswer as error:
                if error.waited:  # one that is gone has cut its streams, and calls to it fail by themselves
                    self._give_up(error.explanation)
            except EngineError:
                pass  # an answer
            heard = time.monotonic()

    def _give_up(self, explanation: str) -> None:
        def why() -> NoAnswer:
            return NoAnswer(THERE, explanation, waited=True)

        self._calls.fail(why)
        for attached in list(self._attached):
            attached.lose(why)

    async def _connect(self) -> APIClient:
        async with self._connecting:
            if self._client is None:
                asked = await self._run(
                    lambda: _translated("connect", lambda _: self.new_client(self._patience.answer), None)
                )
                try:
                    info = await self._run(lambda: _translated("info", lambda c: c.info(), asked))
                except NoAnswer as error:
                    if error.waited:
                        raise self._mute() from error
                    raise
                finally:
                    asked.close()
                unlimited = [words for key, words in LIMITS.items() if info.get(key) is False]
                if unlimited:
                    raise PrerequisiteError(
                        f"the Docker Engine at {self.where} does not limit the {' and the '.join(unlimited)} of a container, "
                        "so a harness could take all of this machine's",
                        "give it cgroups (a rootless engine needs cgroup v2, delegated to its user: "
                        'https://docs.docker.com/engine/security/rootless/), or set [sandbox] provider = "bubblewrap"',
                    )
                self.cpus = int(info.get("NCPU") or 1)
                self.memory = int(info.get("MemTotal") or 0)
                self.folder = str(info.get("DockerRootDir") or "")
                version, patience = asked.api_version, self._patience
                self._quick = await self._run(lambda: self.new_client(patience.quick, version))
                self._client = await self._run(lambda: self.new_client(patience.long, version))
            return self._client

    async def answers(self) -> None:
        """Returns where the engine answers, and soon. Raises NoAnswer, PrerequisiteError.

        It is asked for more than a ping: an engine that hangs may answer that, and make no container.
        """
        await self.connect()
        await self.call(THERE, partial(_info, where=self.where, seconds=self._patience.answer))

    @property
    def where(self) -> str:
        """The engine's address, for people."""
        return self.base_url or os.environ.get("DOCKER_HOST") or LOCAL_SOCKET

    def _mute(self) -> PrerequisiteError:
        return PrerequisiteError(
            f"the Docker Engine at {self.where} takes connections and does not answer (for {self._patience.answer:g} s)",
            "restart it (`sudo systemctl restart docker`), or set DOCKER_HOST to one that answers",
        )

    def new_client(self, timeout: float, version: str = "auto") -> APIClient:
        """A client of this engine's, to be closed by the caller. Raises PrerequisiteError. Blocks."""
        from docker import APIClient
        from docker.errors import DockerException
        from docker.utils import kwargs_from_env

        settings: dict[str, Any] = dict(kwargs_from_env())
        if self.base_url is not None:
            settings = {"base_url": self.base_url}
        settings["timeout"] = timeout
        where = self.where
        if settings.get("tls") or where.startswith("ssh"):
            raise PrerequisiteError(
                f"lorimer reaches a Docker Engine over unix:// or plain tcp:// only, not {where}",
                "forward its socket (`ssh -L /tmp/docker.sock:/var/run/docker.sock HOST`) and set "
                "DOCKER_HOST=unix:///tmp/docker.sock",
            )
        try:
            _probe(where, timeout)
            client = APIClient(version=version, **settings)
            # No proxy leads to a socket of this machine, and looking for one takes a fifth of the time of a call.
            client.trust_env = not where.startswith("unix://")
            return client
        except (DockerException, OSError) as error:
            if "permission denied" in str(error).lower():
                raise PrerequisiteError(
                    f"the Docker Engine at {where} may not be used by this user",
                    "join its group (`sudo usermod -aG docker $USER`, then log in again)",
                ) from error
            if _waited(error):
                raise self._mute() from error
            raise PrerequisiteError(
                f"no Docker Engine answers at {where}",
                "install and start one (https://docs.docker.com/engine/install, `systemctl start docker`), or set "
                "DOCKER_HOST to one that runs",
            ) from error


def version_of(base_url: str | None = None) -> tuple[str, str]:
    """What kind of engine answers (`Engine`, `Podman Engine`) and its version; two empty words where none does. Blocks."""
    engine = Engine(workers=1, base_url=base_url)
    try:
        client = engine.new_client(PATIENCE.answer)
        try:
            said = _translated("ask for the version", lambda known: known.version(), client)
        finally:
            client.close()
    except (PrerequisiteError, SandboxError):
        return "", ""
    kinds = [str(part.get("Name") or "") for part in said.get("Components") or ()]
    return next((kind for kind in kinds if "Engine" in kind), "Engine"), str(said.get("Version") or "")


async def is_running(engine: Engine, container: str) -> bool:
    """Whether the engine knows the container and it runs. Raises EngineError where it does not say."""
    try:
        found = await engine.call("inspect a container", lambda client: client.inspect_container(container), quick=True)
    except EngineError as error:
        if error.status == 404:
            return False
        raise
    return bool(found["State"]["Running"])


def _cut(answers: list[Any]) -> None:
    """End the connections that answers come by."""
    for answer in answers:
        with suppress(OSError, ValueError):  # it has ended
            answer.raw.shutdown()


def _info(client: Any, *, where: str, seconds: float) -> None:
    """Have the engine say what it is and has, within so many seconds."""
    _probe(where, seconds)
    client.get(f"{client.base_url}/v{client.api_version}/info", timeout=seconds).raise_for_status()


def _probe(where: str, seconds: float) -> None:
    """Connect once to a local socket: of a connection that fails, the SDK leaves the socket open. Raises OSError."""
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(seconds)
            probe.connect("/" + path.lstrip("/"))


def _translated(what: str, function: Callable[[Any], T], client: APIClient | None) -> T:
    """Call `function`, with the SDK's errors made ours."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        return function(client)
    except APIError as error:
        explanation = str(error.explanation or error)
        raise EngineError(
            what, explanation, error.response.status_code if error.response is not None else None
        ) from error
    except (requests.RequestException, OSError) as error:
        raise NoAnswer(what, f"the engine does not answer ({_reason(error)})", waited=_waited(error)) from error
    except DockerException as error:
        raise EngineError(what, str(error)) from error


def _waited(error: BaseException | None) -> bool:
    """Whether a call was given up after a time without an answer, by its error or by one from under it."""
    import requests

    while error is not None:
        if isinstance(error, (requests.Timeout, TimeoutError)) or "timed out" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    """The system's word for a failed connection, from under what the SDK's libraries put around it."""
    if _waited(error):
        said = re.search(r"timeout=([0-9.]+)", str(error))
        return f"for {float(said[1]):g} s" if said else "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    inner = [each for each in error.args if isinstance(each, BaseException)]
    return _reason(inner[0]) if inner else str(error) or type(error).__name__
