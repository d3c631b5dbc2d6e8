"""A stream read to its end: within a time limit between tokens, and told as it comes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lorimer.models.failing.failures import Unreachable, UnreadableAnswer, WentSilent
from lorimer.models.streams.events import OVER, EventReader, ServerEvent, is_stream

MOST_BYTES = 64 << 20
"""A longer stream is not a model's: a million tokens, each in an event of its own, take 200 MB at the most wordy server, and
no model writes so many."""
TAIL_SECONDS = 2.0
"""How long the usage and the stream's end are waited for after the end of an answer: where they come, they come at once."""
_SHOWN = 200


class Assembler(Protocol):
    """Events of one API in, the answer out that would have come in one piece."""

    @property
    def complete(self) -> bool:
        """Whether the answer has its end, or has failed: what else may come is of no weight."""
        ...

    def take(self, name: str, data: Mapping[str, Any]) -> int:
        """Heed an event, `OVER` by that name; how many characters of the answer it brought."""
        ...

    def whole(self) -> dict[str, Any]:
        """The answer as the API has it, or `{"error": ...}` where the stream told of one."""
        ...


@dataclass(frozen=True)
class Pace:
    """How a stream is read."""

    between_seconds: float
    """The longest pause after a token, until the next."""
    heard: Callable[[int], None]
    """Told of the characters of an answer as they come."""


def network_errors() -> tuple[type[Exception], ...]:
    """What an SDK lets through while it reads a stream, or an error in a stream's place: it wraps what fails in sending alone.
    The SDKs have changed from httpx to httpx2."""
    return tuple(sys.modules[package].HTTPError for package in ("httpx", "httpx2") if package in sys.modules)


def had_begun(error: BaseException) -> bool:
    """Whether a request whose sending failed, in an SDK's words, was taken and may be billed.

    That is so where its answer broke off, or was waited for until the time was up. A connection that was never made, or that
    ended without a byte of an answer, is that of a server or a gateway that is down. An HTTP error that breaks off looks like an
    answer that does.
    """
    cause = error.__cause__ or error.__context__
    return type(cause).__name__ == "ReadTimeout" or "without sending complete message body" in str(cause)


async def pieces(response: Any) -> AsyncIterator[bytes]:
    """The bytes of an SDK's streamed response. Raises Unreachable."""
    try:
        async for piece in response.iter_bytes():
            yield piece
    except network_errors() as error:
        raise Unreachable(f"the stream broke off: {type(error).__name__} {error}".strip(), begun=True) from None


async def collect(stream: AsyncIterator[bytes], answer: Assembler, pace: Pace) -> bytes:
    """The answer of a stream, as the API sends it in one piece. What is no stream is returned as it is.

    Comments and pings show that a server lives, and are no tokens. Before the first token any pause is allowed, as the prompt is
    read then: the request's own time limit holds.

    Raises Unreachable for a stream that ends before its answer; UnreadableAnswer for what is no stream of the API; WentSilent.
    """
    incoming, loop = _Incoming(), asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            async for piece in stream:
                for event in incoming.take(piece):
                    was = answer.complete
                    if count := _taken(answer, event):
                        pace.heard(count)
                        limit.reschedule(loop.time() + pace.between_seconds)
                    if answer.complete and not was:
                        limit.reschedule(loop.time() + TAIL_SECONDS)
    except TimeoutError:
        if not answer.complete:
            raise WentSilent(f"no token for {pace.between_seconds:g} s in the middle of an answer") from None
    except Unreachable:
        if not answer.complete:
            raise
    return incoming.body if incoming.is_body else _ended(answer, incoming.rest())


class _Incoming:
    """What comes from a server: events, or a body in place of a stream. The first bytes tell which."""

    def __init__(self) -> None:
        self._reader, self._head, self._size = EventReader(), b"", 0
        self._body: list[bytes] | None = None
        self._known = False

    @property
    def is_body(self) -> bool:
        return self._body is not None

    @property
    def body(self) -> bytes:
        return b"".join(self._body or ())

    def take(self, piece: bytes) -> Iterable[ServerEvent]:
        """The events that this piece ends; none of a body. Raises UnreadableAnswer for what is longer than any answer."""
        self._size += len(piece)
        if self._size > MOST_BYTES:
            raise UnreadableAnswer(f"the stream is longer than {MOST_BYTES >> 20} MiB", begun=True)
        if not self._known:
            self._head += piece
            if len(self._head.strip()) < len("event:"):
                return ()
            piece, self._known = self._head, True
            self._body = None if is_stream(piece) or piece.lstrip()[:1] not in (b"{", b"[", b"<") else []
        if self._body is not None:
            self._body.append(piece)
            return ()
        return self._reader.feed(piece)

    def rest(self) -> Iterator[ServerEvent]:
        """The events that the end of the stream ends."""
        yield from self._reader.feed(b"" if self._known else self._head)
        yield from self._reader.end()


def assembled(body: bytes, answer: Assembler) -> bytes:
    """The same of a stream that has come whole. Raises as `collect` does."""
    reader = EventReader()
    return _ended(answer, (*reader.feed(body), *reader.end()))


def _ended(answer: Assembler, last: Iterable[ServerEvent]) -> bytes:
    for event in last:
        _taken(answer, event)
    if not answer.complete:
        raise Unreachable("the stream ended before its answer did", begun=True)
    return json.dumps(answer.whole()).encode()


def _taken(answer: Assembler, event: ServerEvent) -> int:
    text = event.data.strip()
    if not text:
        return 0
    if text == OVER:
        return answer.take(OVER, {})
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        said = f"the stream holds what is not JSON: {' '.join(text[:_SHOWN].split())}"
        raise UnreadableAnswer(said, begun=True) from None
    if not isinstance(data, Mapping):
        raise UnreadableAnswer(f"the stream holds what is no event: {' '.join(text[:_SHOWN].split())}", begun=True)
    return answer.take(event.name, data)
