"""Trying again: jittered exponential backoff inside a finite window, visible while it waits."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorimer.errors import CallFailed, OutageKind, ProviderOutage
from lorimer.models.base import Billed
from lorimer.models.provider import RetryPolicy

T = TypeVar("T")

PATIENCE = 4
"""Failures in a row that raise the question whose they are. With the default waits that is after five seconds or so: most
hiccups are over by then, and a conversation that fails for ever does not hold up its trial for the whole window."""

_YEAR = 366 * 86_400.0


class Retryable(Exception):
    """An attempt failed in a way that may pass.

    Args:
        why: one line for the user.
        after: seconds that the provider asked to wait; `None` leaves it to the policy.
        kind: see ProviderOutage.
        everybodys: never the fault of one call alone: a rate limit, an overload, or a wait that the provider asks for.
        billed: what it may be billed all the same; `None` where it is not.
    """

    def __init__(
        self,
        why: str,
        after: float | None = None,
        kind: OutageKind = "busy",
        *,
        everybodys: bool = False,
        billed: Billed | None = None,
    ) -> None:
        super().__init__(why)
        self.why, self.after, self.kind, self.everybodys, self.billed = why, after, kind, everybodys, billed


@dataclass(frozen=True)
class RetryClock:
    """Time and chance, so that a test need not wait for either."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    """Uniform in [0, 1)."""


@dataclass(frozen=True)
class Retried(Generic[T]):
    """What the last attempt gave, and what it took to get there."""

    value: T
    seconds: float
    """All of it: the attempts and the waits between."""
    retries: int


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    clock: RetryClock,
    on_wait: Callable[[float, str], None],
    who: str,
    answers: Callable[[], Awaitable[bool]] | None = None,
    held: Callable[[], float] = lambda: 0.0,
) -> Retried[T]:
    """Call `attempt` until it does not raise Retryable.

    Raises ProviderOutage when the next wait would end past the policy's window, at once rather than after a wait in vain.
    `who` names the model in its message. Whatever else `attempt` raises passes through.

    After PATIENCE failures, and once more before the outage, `answers` is asked whether the provider answers others. Where it
    does, the call is tried once more at once, as the provider may be back; raises CallFailed where that fails too.

    `held` says how many seconds its attempts have waited for their turn, which is no part of the window.
    """
    start = clock.monotonic()
    deadline: float | None = None
    retries = 0
    while True:
        try:
            value = await attempt()
        except Retryable as failure:
            now = clock.monotonic() - held()
            if deadline is None:
                deadline = now + policy.window_seconds
            wait = _wait(retries, failure.after, policy, clock)
            last = now + wait > deadline
            if answers and not failure.everybodys and (last or retries + 1 == PATIENCE) and await answers():
                try:
                    value = await attempt()
                except Retryable as again:
                    told = f"failed {retries + 2} times at this conversation and answered a plain question meanwhile"
                    raise CallFailed(f"{who}: {told}: {again.why}") from None
                return Retried(value, clock.monotonic() - start, retries + 1)
            if last:
                raise ProviderOutage(_outage(who, failure, retries, policy), failure.why, failure.kind) from None
            retries += 1
            on_wait(wait, failure.why)
            await clock.sleep(wait)
        else:
            return Retried(value, clock.monotonic() - start, retries)


def _wait(retries: int, asked: float | None, policy: RetryPolicy, clock: RetryClock) -> float:
    # 2**30 seconds is past any window; the bound keeps the power from overflowing in a long one with tiny waits.
    backoff = min(policy.maximum_seconds, math.ldexp(policy.initial_seconds, min(retries, 30)))
    if asked is None:
        # Half fixed, half chance: trials that failed together do not come back together, and none comes back at once.
        return backoff * (0.5 + 0.5 * clock.chance())
    # Never sooner than asked; spread over what our own first wait would be.
    return asked + policy.initial_seconds * clock.chance()


def _outage(who: str, failure: Retryable, retries: int, policy: RetryPolicy) -> str:
    if failure.after is not None and failure.after > policy.window_seconds:
        asked = f"{failure.after:.0f} s" if failure.after <= _YEAR else "more than a year"
        return f"{who}: asked to wait {asked}, past the retry window of {policy.window_seconds:g} s: {failure.why}"
    times = "once" if retries == 0 else f"{retries + 1} times"
    return f"{who}: failed {times}, retry window of {policy.window_seconds:g} s used up: {failure.why}"
