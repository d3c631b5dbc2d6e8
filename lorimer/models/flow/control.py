"""The rule by which requests get their turn, as functions of values: what is known of a key goes in and comes out.

Additive increase, multiplicative cut: a provider that says that it has too much lowers how many requests may be in flight, and
answers raise it slowly. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

CUT = 0.75
"""What a refusal leaves of the requests that were in flight; half, as networks have it, would leave more of a provider's places
empty."""

GAIN = 0.5
"""How many requests more a round of answers allows, where nothing was refused at so many."""

PROBE = 0.1
"""The same for the last step to where one was refused: it costs a refusal if nothing has changed there. With these three
numbers a provider that takes 8 at once has 9 of 10 places taken and refuses 1 of 100 requests, once those are answered that come
before anything is known (simulated in tests/models/test_flow.py)."""

FORGOTTEN_SECONDS = 600.0
"""After so long without a refusal nothing is known of a key that nobody uses: limits are by the minute, mostly."""

STALE_SECONDS = 2.0
"""Whoever waits looks twenty times a second. One that has not looked for this long is stopped, and loses its turn."""

LATE_SECONDS = 60.0
"""A request that is in flight for so much longer than its process allows counts as ended: the process hangs, or cannot run."""

UNSAID_SECONDS = 86_400.0
"""What stands for that time where an older lorimer wrote the file, which did not say it."""


@dataclass(frozen=True)
class User:
    """One client of one process."""

    flying: int = 0
    """Its requests in flight."""
    bound: int | None = None
    """`[providers.NAME] concurrency`."""
    waits: bool = False
    """Whether it has a request that waits for its turn."""
    seen: float = 0.0
    """When it last looked whether it is its turn. This and all times here are seconds of the wall clock."""
    last: float = 0.0
    """When it last had a turn."""
    provider: str = ""
    """What it calls the provider, for people."""
    within: float = UNSAID_SECONDS
    """Seconds that one of its requests is in flight at most, which it sees to itself."""


@dataclass(frozen=True)
class Flow:
    """What is known of a key."""

    limit: float | None = None
    """How many requests may be in flight; `None` where the provider never refused one."""
    cut: float = 0.0
    """When the limit was last cut."""
    refused_at: int = 0
    """How many requests were in flight then."""
    until: float = 0.0
    """Until when the provider asked to be left alone."""
    users: Mapping[str, User] = field(default_factory=dict)

    @property
    def flying(self) -> int:
        """All requests in flight."""
        return sum(user.flying for user in self.users.values())

    @property
    def allowed(self) -> int | None:
        """How many requests may be in flight; `None` sets no bound. Where users name several bounds the smallest holds."""
        bounds = [user.bound for user in self.users.values() if user.bound and (user.flying or user.waits)]
        return min([*bounds, *([] if self.limit is None else [max(1, int(self.limit))])], default=None)

    def with_user(self, name: str, user: User) -> Flow:
        """The same with one user's place changed."""
        return replace(self, users={**self.users, name: user})


def is_turn_of(flow: Flow, name: str, now: float, patience: float) -> bool:
    """Whether a request of a user, who waits, may be sent.

    The first turn goes to whoever has the fewest requests in flight, then to whoever has waited the longest since the last
    turn: so all get the same, however many requests each has.

    Args:
        patience: seconds; a provider that asked to be left alone for longer is asked all the same, so that the request gets that
            answer rather than none.
    """
    if 0 < flow.until - now <= patience:
        return False
    if flow.allowed is not None and flow.flying >= flow.allowed:
        return False
    waiting = [
        (user.flying, user.last, other)
        for other, user in flow.users.items()
        if user.waits and (other == name or now - user.seen <= STALE_SECONDS)
    ]
    return min(waiting)[-1] == name


def is_lost(user: User, now: float) -> bool:
    """Whether a user's requests in flight must have ended long ago, and it has not said so."""
    return user.flying > 0 and now - user.last > user.within + LATE_SECONDS


def looked(flow: Flow, name: str, user: User, now: float, patience: float) -> tuple[Flow, bool]:
    """A user looks whether it is its turn, and takes it if it is.

    Args:
        user: what the user knows of itself.
    """
    if flow.limit is not None and now - flow.cut > FORGOTTEN_SECONDS and not flow.flying:
        flow = replace(flow, limit=None)
    if flow.cut > now:  # the clock was set back
        flow = replace(flow, cut=now, until=now)
    # A process that goes on after all puts its requests back at its next look.
    there = {other: each for other, each in flow.users.items() if other == name or not is_lost(each, now)}
    flow = replace(flow, users=there)
    mine = replace(user, waits=True, seen=now)
    flow = flow.with_user(name, mine)
    if not is_turn_of(flow, name, now, patience):
        return flow, False
    return flow.with_user(name, replace(mine, waits=False, flying=mine.flying + 1, last=now)), True


def answered(flow: Flow, name: str, began: float) -> Flow:
    """A user's request that began at a time was answered; it still counts as in flight.

    The limit rises only where it is what holds requests back, and by requests that it already held back.
    """
    bound = flow.users[name].bound
    if flow.limit is None or began < flow.cut or flow.flying < int(flow.limit) or (bound and flow.limit >= bound):
        return flow
    step = PROBE if flow.refused_at - 1 <= flow.limit < flow.refused_at else GAIN
    return replace(flow, limit=flow.limit + step / flow.limit)


def refused(flow: Flow, began: float, now: float, after: float | None, patience: float) -> Flow:
    """The provider refused a request that began at a time, as it has too much to do; it still counts as in flight.

    Requests that were on their way when the limit was last cut belong to the same refusal, and cut it no deeper than to those
    that the provider has taken.

    Args:
        after: seconds that the provider asked to be left alone.
        patience: seconds; a longer wait is not kept, and makes way for one that is: whoever was refused does not keep to it, and
            the provider itself tells others of it.
    """
    if after is not None and after <= patience:
        kept = flow.until if flow.until - now <= patience else 0.0
        flow = replace(flow, until=max(kept, now + after))
    if began < flow.cut and flow.limit is not None:
        taken = max(1, flow.flying - 1)
        return replace(flow, limit=min(flow.limit, taken), refused_at=min(flow.refused_at, taken + 1))
    most = flow.flying if flow.limit is None else min(flow.limit, flow.flying)
    return replace(flow, limit=max(1.0, most * CUT), cut=now, refused_at=flow.flying)
