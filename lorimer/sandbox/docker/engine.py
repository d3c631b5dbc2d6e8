"""The Engine API: one lazily made SDK client, a bounded number of threads, attached streams as asyncio streams.

The only module that touches the `docker` SDK's errors; the others see `EngineError`, or `NoAnswer` of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lorimer.errors import EngineOutage, PrerequisiteError, SandboxError
from lorimer.sandbox.docker.calls import BlockingCalls

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

CALL_TIMEOUT = 180
"""Seconds without an answer after which an engine call is given up. A start takes 0.2 s on an idle machine and some
tens of seconds on one that thrashes; more than this means that the engine hangs."""

LOCAL_SOCKET = "unix:///var/run/docker.sock"
"""Where an engine is looked for that nobody named."""

ANSWER_SECONDS = 10
"""An engine that does not say by then what it is and has does not answer: it takes some hundredths of a second, and some seconds
on a machine that thrashes."""

LEAVE_SECONDS = 10
"""An engine that is being left, and answers none of the calls that clear up for so long, is left as it is."""

LIMITS = {"MemoryLimit": "memory", "PidsLimit": "processes"}
"""What an engine says of its cgroups -> what it cannot limit where it says no. It takes such limits and drops them."""

STREAM_BUFFER = 256 << 10
"""Bytes of an attached stream held on the host; beyond twice this the engine, then the process, has to wait."""


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


class Attached:
    """A hijacked connection to a process's stdio. Not framed here; see `stream.Demux`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        early: bytes,
        closed: Callable[[Attached], None],
    ) -> None:
        self._reader, self._writer, self._early, self._closed = reader, writer, early, closed

    async def read(self) -> bytes:
        """Some bytes; empty at the end of the stream or when the connection broke. Safe to cancel."""
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            return await self._reader.read(STREAM_BUFFER)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send to the process's stdin; silent if it is gone."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """Drop the connection at once. The process is not told."""
        self._writer.transport.abort()
        self._closed(self)


class Engine:
    """Calls to one Docker Engine. `base_url=None` takes `DOCKER_HOST` and its TLS variables, as every Docker tool does."""

    def __init__(self, *, workers: int, base_url: str | None = None) -> None:
        self.base_url = base_url
        self._calls = BlockingCalls(workers)
        self._closed = False
        self._client: APIClient | None = None
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

    async def call(self, what: str, function: Callable[[Any], T]) -> T:
        """Run `function` on the client in a thread. Raises EngineError, PrerequisiteError if there is no engine."""
        client = self._client or await self._connect()
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

    async def attach(self, what: str, function: Callable[[Any], Any]) -> Attached:
        """Like `call` for a function that returns the SDK's socket of a hijacked connection (after all else it does)."""
        work = asyncio.ensure_future(self.call(what, lambda client: _take_over(function(client))))
        try:
            connection, early = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread goes on; what it brings back has no owner any more.
            work.add_done_callback(
                lambda done: None if done.cancelled() or done.exception() else done.result()[0].close()
            )
            raise
        try:
            if connection.family == getattr(socket, "AF_UNIX", None):
                reader, writer = await asyncio.open_unix_connection(sock=connection, limit=STREAM_BUFFER)
            else:
                reader, writer = await asyncio.open_connection(sock=connection, limit=STREAM_BUFFER)
        except BaseException:
            connection.close()
            raise
        attached = Attached(reader, writer, early, self._attached.discard)
        self._attached.add(attached)
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
        finally:
            if not work.done() and answers:
                for answer in answers:
                    answer.raw.shutdown()
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
        """Nothing but clearing up comes from now on: an engine that is mute for LEAVE_SECONDS meanwhile is given up. What is
        asked of it then, and was before, raises NoAnswer at once."""
        self._calls.leave(
            LEAVE_SECONDS,
            lambda: NoAnswer("clear up", f"the engine at {self.where} does not answer (for {LEAVE_SECONDS} s)"),
        )

    async def close(self) -> None:
        """Close every connection. Threads that wait for an answer are left to themselves."""
        self.detach_all()
        client, self._client, self._closed = self._client, None, True
        self._calls.close()
        if client is not None:
            client.close()

    async def _run(self, function: Callable[[], T]) -> T:
        if self._closed:
            raise SandboxError("the docker provider is closed")
        return await self._calls.run(function)

    async def _connect(self) -> APIClient:
        async with self._connecting:
            if self._client is None:
                client = await self._run(
                    lambda: _translated("connect", lambda _: self.new_client(ANSWER_SECONDS), None)
                )
                try:
                    info = await self._run(lambda: _translated("info", lambda c: c.info(), client))
                except NoAnswer as error:
                    if error.waited:
                        raise _mute(self.where) from error
                    raise
                client.timeout = CALL_TIMEOUT
                unlimited = [words for key, words in LIMITS.items() if info.get(key) is False]
                if unlimited:
                    await self._run(client.close)
                    raise PrerequisiteError(
                        f"the Docker Engine at {self.where} does not limit the {' and the '.join(unlimited)} of a container, "
                        "so a harness could take all of this machine's",
                        "give it cgroups (a rootless engine needs cgroup v2, delegated to its user: "
                        'https://docs.docker.com/engine/security/rootless/), or set [sandbox] provider = "bubblewrap"',
                    )
                self.cpus = int(info.get("NCPU") or 1)
                self.memory = int(info.get("MemTotal") or 0)
                self.folder = str(info.get("DockerRootDir") or "")
                self._client = client
            return self._client

    async def answers(self) -> None:
        """Returns where the engine answers, and soon. Raises NoAnswer, PrerequisiteError.

        It is asked for more than a ping: an engine that hangs may answer that, and make no container.
        """
        await self.connect()
        await self.call(
            "ask whether it is there",
            lambda client: client.get(
                f"{client.base_url}/v{client.api_version}/info", timeout=ANSWER_SECONDS
            ).raise_for_status(),
        )

    @property
    def where(self) -> str:
        """The engine's address, for people."""
        return self.base_url or os.environ.get("DOCKER_HOST") or LOCAL_SOCKET

    def new_client(self, timeout: float) -> APIClient:
        """A client of this engine's, to be closed by the caller. Raises PrerequisiteError. Blocks."""
        from docker import APIClient
        from docker.errors import DockerException
        from docker.utils import kwargs_from_env

        settings: dict[str, Any] = dict(kwargs_from_env())
        if self.base_url is not None:
            settings = {"base_url": self.base_url}
        where = self.where
        if settings.get("tls") or where.startswith("ssh"):
            raise PrerequisiteError(
                f"lorimer reaches a Docker Engine over unix:// or plain tcp:// only, not {where}",
                "forward its socket (`ssh -L /tmp/docker.sock:/var/run/docker.sock HOST`) and set "
                "DOCKER_HOST=unix:///tmp/docker.sock",
            )
        try:
            _probe(where)
            return APIClient(version="auto", timeout=max(1, int(timeout)), **settings)
        except (DockerException, OSError) as error:
            if "permission denied" in str(error).lower():
                raise PrerequisiteError(
                    f"the Docker Engine at {where} may not be used by this user",
                    "join its group (`sudo usermod -aG docker $USER`, then log in again)",
                ) from error
            if _waited(error):
                raise _mute(where) from error
            raise PrerequisiteError(
                f"no Docker Engine answers at {where}",
                "install and start one (https://docs.docker.com/engine/install, `systemctl start docker`), or set "
                "DOCKER_HOST to one that runs",
            ) from error


def version_of(base_url: str | None = None) -> tuple[str, str]:
    """What kind of engine answers (`Engine`, `Podman Engine`) and its version; two empty words where none does. Blocks."""
    engine = Engine(workers=1, base_url=base_url)
    try:
        client = engine.new_client(ANSWER_SECONDS)
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
        found = await engine.call("inspect a container", lambda client: client.inspect_container(container))
    except EngineError as error:
        if error.status == 404:
            return False
        raise
    return bool(found["State"]["Running"])


def _probe(where: str) -> None:
    """Connect once to a local socket: of a connection that fails, the SDK leaves the socket open. Raises OSError."""
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
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


def _mute(where: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the Docker Engine at {where} takes connections and does not answer (for {ANSWER_SECONDS} s)",
        "restart it (`sudo systemctl restart docker`), or set DOCKER_HOST to one that answers",
    )


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


def _take_over(stream: Any) -> tuple[socket.socket, bytes]:
    """Make the SDK's hijacked connection ours: a socket of our own, and the bytes that the HTTP parser had read ahead."""
    response = stream._response  # set by the SDK, which offers no public way to what its reader holds
    connection = socket.socket(fileno=os.dup(stream.fileno()))
    try:
        # Of the SDK's own object, whose timeout it waits for whatever the open file says, and of ours, to the same open file.
        stream._sock.setblocking(False)
        connection.setblocking(False)  # now the peek below cannot wait for a process that says nothing yet
        early: bytes = response.raw._fp.fp.peek()
        response.close()
    except BaseException:
        connection.close()
        raise
    return connection, early
