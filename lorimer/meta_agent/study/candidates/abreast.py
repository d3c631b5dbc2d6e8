"""Work that is done side by side and taken in order: the proposals of a round, and its runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lorimer.errors import BudgetExhausted

T = TypeVar("T")


async def abreast(works: Sequence[Awaitable[T]], take: Callable[[T], Awaitable[None]]) -> None:
    """Do all of these at once, and `take` what they come to in their order, each as soon as it and those before it are done.

    What one raises ends all of them at once, and is raised. A spent budget alone waits for the others, as each of their calls
    ends within what was set aside for it; what comes before it in order has been taken by then. What comes after what was raised
    is not taken, though it may be done: so a work itself stores what was paid for, before it is done.
    """

    async def outcome(work: Awaitable[T]) -> T | BudgetExhausted:
        try:
            return await work
        except BudgetExhausted as spent:
            return spent

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(outcome(work)) for work in works]
            for task in tasks:
                found = await task
                if isinstance(found, BudgetExhausted):
                    await asyncio.wait(tasks)
                    raise found
                await take(found)
    except BaseExceptionGroup as failures:  # the first says what is wrong
        raise failures.exceptions[0] from None
