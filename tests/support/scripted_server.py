"""A real HTTP server on loopback that plays a script: what providers do on good days and bad."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Reply:
    """One scripted answer."""

    body: Any = ""
    """Bytes and text are sent as they are, anything else as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    ending: Literal["full", "half", "hang", "trickle", "close"] = "full"
    """`half`: promises all of the body, sends half, closes. `hang`: sends nothing and keeps the connection open.
    `trickle`: promises the body, sends white space byte by byte, never ends. `close`: closes without a byte."""

    pieces: tuple[bytes | float, ...] = ()
    """A stream instead of a body: what is sent at once, and seconds of silence between. With `half` it breaks off after them,
    with `hang` the connection stays open in silence, with `trickle` comments follow without end."""

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class Request:
    """One recorded request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    lines: tuple[str, ...] = ()
    """The header as it came, line by line."""

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def all_headers(self, name: str) -> list[str]:
        """The value of each line that has this name, whatever its case."""
        pairs = (line.partition(":") for line in self.lines)
        return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]


Otherwise = Reply | Callable[[Request], Reply | Awaitable[Reply]]


_PORTS: set[int] = set()
"""Those that servers of this process had."""


def _at_new_port() -> socket.socket:
    """A listening socket at a port that no server of this process had before: what a client remembers of an address, by its own
    clock, would be believed by the client of the next server there."""
    while True:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if port not in _PORTS:
            _PORTS.add(port)
            return listening
        listening.close()


class ScriptedServer:
    """Answers requests with the script's replies in order; past its end with `otherwise`, which may look at the request, else
    with status 418."""

    def __init__(self, script: Iterable[Reply], otherwise: Otherwise | None) -> None:
        self._script = list(script)
        self._otherwise: Otherwise = otherwise or Reply(
            {"error": {"message": "the test's script is at its end"}}, status=418
        )
        self.requests: list[Request] = []
        self.asked = asyncio.Event()
        """Set by the first request."""
        self.url = ""
        self._port = 0
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def add(self, *replies: Reply) -> None:
        """Append to the script."""
        self._script += replies

    def from_now_on(self, reply: Otherwise) -> None:
        """Forget the script and answer everything with this."""
        self._script, self._otherwise = [], reply

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]

    async def listen(self) -> None:
        """Accept connections, on the port of the first time."""
        listening = socket.create_server(("127.0.0.1", self._port)) if self._port else _at_new_port()
        self._listening = await asyncio.start_server(self.accept, sock=listening, limit=1 << 26)
        self._port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def go_down(self) -> None:
        """End every connection and refuse new ones, until it listens again."""
        if self._listening is not None:
            # A connection that was accepted and whose server is closed at once would leave its socket behind: asyncio makes no
            # transport for it.
            for listening in self._listening.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await _turns()
            self._listening.close()
        self.hang_up()
        await _turns()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it ends, or the server does."""
        self._open.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                self.asked.set()
                reply = self._script.pop(0) if self._script else self._otherwise
                said = reply if isinstance(reply, Reply) else reply(request)
                reply = said if isinstance(said, Reply) else await said
                if not await self._play(reply, reader, writer):
                    return
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(method, path, headers, raw, tuple(head[1:]))

    async def _play(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        await asyncio.sleep(reply.delay)
        if reply.pieces:
            return await self._stream(reply, reader, writer)
        if reply.ending == "close":
            return False
        if reply.ending == "hang":
            await reader.read()
            return False
        body = reply.encoded()
        length = 1 << 30 if reply.ending == "trickle" else len(body)
        headers = {"content-type": "application/json", **reply.headers, "content-length": str(length)}
        lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        if reply.ending == "trickle":
            writer.write("\r\n".join(lines).encode("latin-1"))
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
            return False
        sent = body[: len(body) // 2] if reply.ending == "half" else body
        writer.write("\r\n".join(lines).encode("latin-1") + sent)
        await writer.drain()
        return reply.ending == "full"

    async def _stream(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        headers = {"content-type": "text/event-stream", **reply.headers, "transfer-encoding": "chunked"}
        lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        for piece in reply.pieces:
            if isinstance(piece, bytes):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            else:
                await asyncio.sleep(piece)
        while reply.ending == "trickle" and not writer.is_closing():
            writer.write(b"9\r\n: alive\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
        if reply.ending == "hang":
            await reader.read()
        if reply.ending == "full":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return reply.ending == "full"

    def hang_up(self) -> None:
        """End every connection, whatever was not sent yet: its client may read no more."""
        for writer in list(self._open):
            writer.transport.abort()

    async def end(self) -> None:
        """Leave no connection behind: a task or a socket that outlives its test is an error of the test that comes next."""
        await self.go_down()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


TURNS = 10
"""More turns of the event loop than lie between an accepted socket and `accept`, or between the end of a transport and that of
its socket."""


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def scripted_server(*script: Reply, otherwise: Otherwise | None = None) -> AsyncIterator[ScriptedServer]:
    """Serve `script` on a free port of 127.0.0.1; `.url` is its root, without a path."""
    server = ScriptedServer(script, otherwise)
    await server.listen()
    try:
        yield server
    finally:
        await server.end()
