"""Which process runs a study, and whether it still does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lorimer.errors import TakenOver, UserError
from lorimer.processes import exists, started

if TYPE_CHECKING:
    from sqlalchemy import Connection

_HELD = "SELECT holder, held_since FROM study WHERE id = :study"


def this_process() -> str:
    """This process as the holder of a study: `host:pid:start`, where `start` tells a reused pid apart."""
    return f"{socket.gethostname()}:{os.getpid()}:{started(os.getpid()) or '0'}"


def alive(holder: str) -> bool:
    """Whether a holder may still run. One on another host counts as alive: nobody here can tell."""
    _, pid, start = holder.rsplit(":", 2)
    if elsewhere(holder):
        return True
    # A start of 0: the system did not say it. An empty one: it does not say it now.
    return exists(int(pid)) and (start == "0" or started(int(pid)) in (start, ""))


def elsewhere(holder: str) -> bool:
    """Whether a holder ran on a machine of another name. That is this one too, where it was renamed since."""
    return holder.rsplit(":", 2)[0] != socket.gethostname()


def pid_of(holder: str) -> int:
    """The number of a holder's process, on its own host."""
    return int(holder.rsplit(":", 2)[1])


def described(holder: str, since: str = "") -> str:
    """A holder for people: `process 17 on this machine since 2026-01-01 08:00:00 UTC`."""
    host, pid, _ = holder.rsplit(":", 2)
    where = "this machine" if host == socket.gethostname() else f"the machine {host}"
    return f"process {pid} on {where}" + (f" since {since[:19].replace('T', ' ')} UTC" if since else "")


def check_held(connection: Connection, held: Mapping[str, str]) -> None:
    """Raises TakenOver where a study is no more held by the process that claimed it.

    A process may sleep for long (a laptop that was closed, SIGSTOP), be counted as dead and wake again.

    Args:
        held: who claimed it, by study.
    """
    from sqlalchemy import text

    for study, mine in held.items():
        found = connection.execute(text(_HELD), {"study": study}).one_or_none()
        if found is None or found.holder == mine:
            continue
        if found.holder:
            who = f"is being run by {described(found.holder, found.held_since)}"
        else:
            who = "was run by another process meanwhile, which has ended"
        raise TakenOver(
            f"study {study} {who}: it was taken over from this process, which had not answered and has stored nothing since"
        )


def check_may_upgrade(connection: Connection, older: str) -> None:
    """Raises UserError where a process of this machine runs a study in a store that is to be upgraded: it is of an older lorimer,
    or was begun before this one came in its place, and could write nothing more. Of one on another machine nobody here can tell
    whether it lives.

    Args:
        older: what the store is, in words.
    """
    for study, holder in connection.exec_driver_sql("SELECT id, holder FROM study WHERE holder <> ''").all():
        if not elsewhere(holder) and alive(holder):
            raise UserError(
                f"{older}, and its study {study} is being run by {described(holder)}, which could not write to it once it is "
                "upgraded",
                f"let it end, or stop it (`kill {pid_of(holder)}`, as by Ctrl-C); `lorimer resume {study}` then upgrades it and "
                "goes on",
            )
