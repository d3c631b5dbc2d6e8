"""Requests of one client, each of which waits for its turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar

from lorimer.models.flow import control, places
from lorimer.models.flow.control import Flow, User
from lorimer.models.flow.places import Place
from lorimer.models.flow.told import held_up

T = TypeVar("T")

LOOK_SECONDS = 0.05
"""The pause between two looks: what another process leaves stays free for half of that on average; a call takes seconds."""

LONG_SECONDS = 60.0
"""How long a request waits until people are told which processes it waits for: longer than most calls take."""

_NUMBERS = itertools.count()


class RequestTurn:
    """A request that is in flight."""

    def __init__(self, turns: Turns, began: float) -> None:
        self._turns, self._began = turns, began

    def refused(self, after: float | None) -> int | None:
        """The provider has too much to do.

        Args:
            after: seconds that it asked to be left alone.

        Returns how many requests may be in flight from now on, where those were more; else `None`.
        """
        return self._turns.refused(self._began, after)

    def answered(self) -> None:
        """The provider took the request."""
        self._turns.answered(self._began)


class Turns:
    """The requests of a client at a place that it may share with others.

    Args:
        place: opens that place, before the first request.
        bound: how many may be in flight at once, whatever the provider takes; `None` sets no bound.
        adapts: whether refusals change how many may be in flight.
        patience: see `control.is_turn_of`.
        within: seconds that a request is in flight at most, see `User`.
    """

    def __init__(
        self,
        place: Callable[[], Place],
        provider: str,
        bound: int | None,
        wall: Callable[[], float],
        *,
        adapts: bool,
        patience: float,
        within: float,
    ) -> None:
        self._opened, self._wall, self._adapts, self._patience = place, wall, adapts, patience
        self._place: Place | None = None
        self._name = places.name_of(next(_NUMBERS))
        self._me = User(bound=bound, provider=provider, within=within)
        self._found, self._told = Flow(), False
        self._first = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def turn(
        self,
        queued: Callable[[], AbstractContextManager[None]] = nullcontext,
        say: Callable[[str], None] = lambda words: None,
    ) -> AsyncIterator[RequestTurn]:
        """Within it a request may be sent. They get their turns in the order in which they came.

        Args:
            queued: entered while the request waits.
            say: told once, of all of this client's requests, where one waits long for other processes.
        """
        if self._first.locked() or not self._look():
            with queued():
                async with self._first:  # one looks for all
                    await self._wait(say)
        try:
            yield RequestTurn(self, self._wall())
        finally:
            self._set(replace(self._me, flying=self._me.flying - 1))
            self._left.set()

    def refused(self, began: float, after: float | None) -> int | None:
        """See RequestTurn."""
        if not self._adapts:
            return None

        def work(flow: Flow) -> tuple[Flow, int | None]:
            flow = flow.with_user(self._name, self._me)
            cut = control.refused(flow, began, self._wall(), after, self._patience)
            return cut, cut.allowed if cut.allowed is not None and cut.allowed < flow.flying else None

        return self._change(work)

    def answered(self, began: float) -> None:
        """See RequestTurn."""
        if self._adapts:
            self._change(lambda flow: (control.answered(flow.with_user(self._name, self._me), self._name, began), None))

    def close(self) -> None:
        """Leave the place. Safe to call again."""
        if self._place is None:
            return

        def gone(flow: Flow) -> tuple[Flow, None]:
            return replace(flow, users={name: user for name, user in flow.users.items() if name != self._name}), None

        self._place.change(gone)
        self._place.close()
        self._place = None

    async def _wait(self, say: Callable[[str], None]) -> None:
        began = self._wall()
        try:
            while True:
                self._left.clear()
                if self._look():
                    return
                if not self._told and self._wall() - began >= LONG_SECONDS:
                    words = held_up(self._found, self._name, self._me.provider)
                    self._told = bool(words)
                    if words:
                        say(words)
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._left.wait()
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            self._set(replace(self._me, waits=False))
            raise

    def _look(self) -> bool:
        """Whether it is this client's turn, which is taken."""

        def work(flow: Flow) -> tuple[Flow, bool]:
            flow, mine = control.looked(flow, self._name, self._me, self._wall(), self._patience)
            self._me, self._found = flow.users[self._name], flow
            return flow, mine

        return self._change(work)

    def _set(self, me: User) -> None:
        self._me = me
        self._change(lambda flow: (flow.with_user(self._name, me), None))

    def _change(self, work: Callable[[Flow], tuple[Flow, T]]) -> T:
        self._place = self._place or self._opened()
        return self._place.change(work)


class TurnsWaited:
    """How long a call has waited for its turns, all in all.

    Args:
        queued: entered while it waits.
        say: told what a long wait is for.
    """

    def __init__(
        self,
        queued: Callable[[], AbstractContextManager[None]],
        monotonic: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._queued, self._monotonic, self.say = queued, monotonic, say
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        began = self._monotonic()
        try:
            with self._queued():
                yield
        finally:
            self.seconds += self._monotonic() - began
