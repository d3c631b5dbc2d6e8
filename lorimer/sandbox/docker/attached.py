"""The stdio of a process in a container, as asyncio streams."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

STREAM_BUFFER = 256 << 10
"""Bytes of an attached stream held on the host; beyond twice this the engine, then the process, has to wait."""


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
        self._lost: Callable[[], Exception] | None = None

    async def read(self) -> bytes:
        """Some bytes; empty at the end of the stream or when the connection broke. Safe to cancel.

        Raises NoAnswer where the engine, which was to bring them, was given up.
        """
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            data = await self._reader.read(STREAM_BUFFER)
        except OSError:
            data = b""
        if not data and self._lost is not None:
            raise self._lost()
        return data

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

    def lose(self, why: Callable[[], Exception]) -> None:
        """Drop it, as nothing comes from its engine any more: whoever reads from it has this raised."""
        self._lost = why
        self.close()


async def opened(connection: socket.socket, early: bytes, closed: Callable[[Attached], None]) -> Attached:
    """The streams of a connection that was taken over, which is theirs to close."""
    try:
        if connection.family == getattr(socket, "AF_UNIX", None):
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=STREAM_BUFFER)
        else:
            reader, writer = await asyncio.open_connection(sock=connection, limit=STREAM_BUFFER)
    except BaseException:
        connection.close()
        raise
    return Attached(reader, writer, early, closed)


def take_over(stream: Any) -> tuple[socket.socket, bytes]:
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
