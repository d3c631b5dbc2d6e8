"""What a trial may use: its clock, and the metered model that reserves from the study's budget before it spends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

from lorimer.errors import CallFailed, ConfigError, ProviderOutage
from lorimer.harness.api import Usage
from lorimer.kinds import REFUSED
from lorimer.models.base import Billed, CallContext, ModelClient, ModelNote, ModelReply, ModelRequest
from lorimer.models.usage import estimate_tokens
from lorimer.task_agent.budget import UNANSWERED, Budget, uncounted
from lorimer.traces import wired
from lorimer.traces.schema import ModelCallData, TraceSink, Used

__all__ = ["ActiveClock", "Budget", "Metered", "TaskModel"]


class ActiveClock:
    """Seconds since the start, less those spent waiting for provider retries (overlapping waits count once)."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waited = 0.0
        self._waiting_until = self._began
        self._stopped, self._stops = 0.0, 0

    def pause(self, seconds: float) -> None:
        """The next `seconds` do not count."""
        now = self._now()
        start, end = max(now, self._waiting_until), max(self._waiting_until, now + seconds)
        self._waited += end - start
        self._waiting_until = end

    def seconds(self) -> float:
        """Active seconds so far."""
        now = self._now()
        still_to_come = max(0.0, self._waiting_until - now)
        return now - self._began - (self._waited - still_to_come)

    def reach(self, seconds: float) -> None:
        """It is as late as this, or later."""
        self._began -= max(0.0, seconds - self.seconds())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nothing counts meanwhile, however many ask for it at once."""
        if self._stops == 0:
            self._stopped = time.monotonic()
        self._stops += 1
        try:
            yield
        finally:
            self._stops -= 1
            if self._stops == 0:
                now = time.monotonic()
                self._began += now - self._stopped
                # A wait that went on meanwhile does not count once already.
                self._waited -= max(0.0, min(self._waiting_until, now) - self._stopped)

    def _now(self) -> float:
        return self._stopped if self._stops else time.monotonic()


class TaskModel(Protocol):
    """A model as trials use it: every call is reserved, settled and traced. `Metered` does that."""

    @property
    def id(self) -> str: ...

    @property
    def max_tokens(self) -> int:
        """The most tokens of output, and the number where a request names none; a harness may not ask for more."""
        ...

    @property
    def control(self) -> ModelRequest | None:
        """The shortest request of a harness that this model has answered in this process."""
        ...

    def at_most(self, request: ModelRequest) -> tuple[int, float | None]:
        """Tokens and dollars that the call may cost; the dollars are `None` where the price is unknown."""
        ...

    async def complete(
        self,
        request: ModelRequest,
        context: CallContext,
        *,
        owner: str,
        began: float,
        traced: bool = True,
        call: int | None = None,
    ) -> ModelReply:
        """One call under `owner`'s name.

        Args:
            began: the monotonic time from which its trace counts.
            traced: whether it becomes a step; a question of lorimer's own becomes none.
            call: the number of the harness's call, in the record of the trial.

        Raises BudgetExhausted, ProviderOutage, ConfigError, CallFailed.
        """
        ...

    def recorded(self, request: ModelRequest, reply: ModelReply, *, owner: str, at: float, call: int) -> None:
        """Trace a call that was answered from a record: it reserves and bills nothing.

        Args:
            at: seconds since the trial began.
            call: the number of the harness's call.
        """
        ...


class Metered:
    """A TaskModel of a model client, for one study's budget."""

    def __init__(self, model: ModelClient, budget: Budget, sink: TraceSink, default_max_tokens: int) -> None:
        self._model, self._budget, self._sink = model, budget, sink
        self.max_tokens = default_max_tokens
        self.control: ModelRequest | None = None

    @property
    def id(self) -> str:
        return self._model.id

    def at_most(self, request: ModelRequest) -> tuple[int, float | None]:
        """See TaskModel."""
        return at_most(request, self.max_tokens, self._model.price)

    async def complete(
        self,
        request: ModelRequest,
        context: CallContext,
        *,
        owner: str,
        began: float,
        traced: bool = True,
        call: int | None = None,
    ) -> ModelReply:
        """See TaskModel."""
        tokens, usd = self.at_most(request)
        aside = _SetAside(self._budget, partial(self._reserved, context, owner, usd, tokens))
        started = time.monotonic()
        await aside.begin()
        try:
            reply = await self._model.complete(request, replace(context, on_billed=aside.billed))
        except (ProviderOutage, ConfigError, CallFailed):
            aside.end(UNANSWERED)
            raise
        except BaseException:
            aside.end(None)  # a cancelled one may be billed
            raise
        reply = replace(reply, waited_seconds=reply.waited_seconds + aside.waited)
        usage = reply.completion.usage
        aside.end(_used(usage, reply.cost_usd))
        for noted in (*((uncounted(self.id),) if usage.estimated else ()), *reply.notes):
            self._budget.note(self.id, noted)
        if not traced:
            return reply
        if reply.completion.stop_reason not in REFUSED:
            self.control = shorter(self.control, request)
        self._sink.model_call(step_of(self.id, request, reply, owner, started - began, call))
        return reply

    async def _reserved(
        self, context: CallContext, owner: str, usd: float | None, tokens: int, waited: Callable[[float], None]
    ) -> str:
        """Set aside what a call may cost; tell how many seconds that had to wait. Raises BudgetExhausted."""

        @contextmanager
        def waits(why: str) -> Iterator[None]:
            self._budget.note(self.id, ModelNote("waits", why))
            began = time.monotonic()
            with context.queued():
                yield
            waited(time.monotonic() - began)

        return await self._budget.reserve(context.role, owner, usd, tokens, waits=waits, question=context.once)

    def recorded(self, request: ModelRequest, reply: ModelReply, *, owner: str, at: float, call: int) -> None:
        """See TaskModel."""
        self._sink.model_call(step_of(self.id, request, reply, owner, at, call, recorded=True))


class _SetAside:
    """What is set aside for a call, from attempt to attempt."""

    def __init__(self, budget: Budget, reserve: Callable[[Callable[[float], None]], Awaitable[str]]) -> None:
        self._budget, self._reserve, self._name = budget, reserve, ""
        self.waited = 0.0
        """Seconds that it took until there was room for the first attempt; for later ones they are part of the retries'."""

    async def begin(self) -> None:
        """Set it aside. Raises BudgetExhausted."""
        self._name = await self._reserve(self._has_waited)

    def _has_waited(self, seconds: float) -> None:
        self.waited += seconds

    def end(self, used: Used | None) -> None:
        """What an attempt has used takes its place; it stays spent where nobody knows that."""
        name, self._name = self._name, ""
        if not name:
            return  # there was nothing left to be set aside for a further attempt
        if used is None:
            self._budget.abandon(name)
        else:
            self._budget.settle(name, used)

    async def billed(self, failed: Billed) -> None:
        """An attempt has failed and may be billed; for the next one as much is set aside anew. Raises BudgetExhausted."""
        self.end(None if failed.usage is None else _used(failed.usage, failed.cost_usd))
        self._name = await self._reserve(lambda seconds: None)


def _used(usage: Usage, usd: float | None) -> Used:
    return Used(1, usage.input_tokens, usage.output_tokens, usage.cached_tokens, usd)


def at_most(
    request: ModelRequest, max_tokens: int, price: Callable[[int, int], float | None]
) -> tuple[int, float | None]:
    """Tokens and dollars that a call may cost, where a request that names no number gets at most `max_tokens` of output."""
    tokens_in, tokens_out = estimate_tokens(request), request.max_tokens or max_tokens
    return tokens_in + tokens_out, price(tokens_in, tokens_out)


def shorter(one: ModelRequest | None, other: ModelRequest) -> ModelRequest:
    """The shorter of two requests."""
    return min(one or other, other, key=estimate_tokens)


def step_of(
    model: str,
    request: ModelRequest,
    reply: ModelReply,
    owner: str,
    at: float,
    call: int | None,
    *,
    recorded: bool = False,
) -> ModelCallData:
    """The step that a call becomes."""
    return ModelCallData(
        owner=owner,
        at=at,
        seconds=reply.seconds,
        waited_seconds=reply.waited_seconds,
        retries=reply.retries,
        system=request.system,
        tools=request.tools,
        messages=request.messages,
        settings={
            "max_tokens": request.max_tokens,
            "stop": list(request.stop),
            "temperature": request.temperature,
            "effort": request.effort,
            **wired.structure(request.schema, request.tool_choice),
        },
        completion=reply.completion,
        cost_usd=reply.cost_usd,
        model=model,
        call=call,
        recorded=recorded,
    )
