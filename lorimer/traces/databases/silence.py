"""A connection to a PostgreSQL server that does not wait for ever for a server that is there and answers nothing.

A machine that is gone is the kernel's to notice (`tcp_user_timeout`). A server that is frozen, or a proxy that has stopped
forwarding, is not: the kernel at the other end goes on acknowledging what is sent. A statement that takes long looks the same
from here, so the server is asked by another connection whether it answers at all, and is waited for as long as it does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

STOPPED_SECONDS = 10.0
"""How long an answer is waited for that somebody wants who was told to stop, whatever else the server answers."""
SERVERS_OWN = "FATAL:"
"""What a server's own refusal begins with (too many connections, a shutdown), and no error of the way to it."""


class Hurried:
    """Who waits for a server and was told to stop; shared by all connections to it of one `Postgresql`."""

    def __init__(self) -> None:
        self._since: dict[Future[Any], float] = {}
        self.over = False
        """The connection that writes has given the server up: no other waits for it."""
        self.reached = False
        """A connection was made: where none can be from now on, the server has gone away, and its URL is right."""

    def add(self, until: Future[Any]) -> None:
        """One waits for this. It may be told of again."""
        self._since.setdefault(until, time.monotonic())
        until.add_done_callback(lambda done: self._since.pop(done, None))

    def out_of_time(self) -> bool:
        """Whether nobody is to wait any longer, whatever the server answers others."""
        first = min(list(self._since.values()), default=None)
        return self.over or (first is not None and time.monotonic() - first >= STOPPED_SECONDS)


class Listening(psycopg.Connection[Any]):
    """A connection whose every wait for an answer ends. Raises OperationalError, upon which it is closed."""

    _silence = 0.0
    _hurried = Hurried()
    _writes = False
    _address = ""

    def listen(self, silence: float, given: Mapping[str, Any], hurried: Hurried, *, writes: bool) -> None:
        """Give up a server from now on that has answered nothing for so many seconds, and then no new connection either.

        Args:
            given: how this connection was made, by which the new one is, and how long that may take.
        """
        self._silence, self._hurried, self._writes = silence, hurried, writes
        self._address = psycopg.conninfo.make_conninfo("", **given)

    def wait(self, gen: PQGen[T], *settings: Any, **named: Any) -> T:
        """See psycopg's."""
        return super().wait(self._bounded(gen) if self._address else gen, *settings, **named)

    def _bounded(self, gen: PQGen[T]) -> PQGen[T]:
        """The same, which psycopg wakes every 0.1 s while nothing comes: then this looks how long that is."""
        try:
            wanted, heard = next(gen), time.monotonic()
            looked, asked = heard, None
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    looked, heard, asked = now, now, None
                elif self._hurried.out_of_time() or (asked is not None and asked.answered is False):
                    self._hurried.over = self._hurried.over or self._writes
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {now - heard:.0f} s")
                elif asked is not None and asked.answered:
                    looked, asked = now, None
                elif asked is None and now - looked >= self._silence:
                    asked = _Asked(self._address)
                wanted = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found


class _Asked:
    """Whether a server answers a new connection, be it to refuse one. It is asked in a thread, as psycopg does not say how far a
    connection is, and libpq's own ping stops all threads meanwhile."""

    def __init__(self, address: str) -> None:
        self.answered: bool | None = None
        """`None` until that is known."""
        self._address = address
        threading.Thread(target=self._ask, name="lorimer-asks", daemon=True).start()

    def _ask(self) -> None:
        try:
            psycopg.Connection[Any].connect(self._address).close()
        except psycopg.OperationalError as error:
            self.answered = SERVERS_OWN in str(error)
        else:
            self.answered = True
