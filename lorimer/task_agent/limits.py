"""What may be used: a trial's limits, a study's budget, and the metered model that reserves before it spends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from lorimer.config import BudgetSettings
from lorimer.errors import BudgetExhausted, ConfigError, ProviderOutage
from lorimer.models.base import CallContext, ModelClient, ModelReply, ModelRequest
from lorimer.traces.schema import ModelCallData, Reservation, Settlement, TraceSink

CHARS_PER_TOKEN = 3.0
"""For reservations only: English runs at about 4 characters a token, code and numbers at 3; too high is safe here."""


def estimate_tokens(request: ModelRequest) -> int:
    """An upper guess of a request's input tokens, from its text."""
    chars = len(request.system or "")
    for message in request.messages:
        chars += len(message.text) + 16
        chars += sum(len(block.text) for block in message.reasoning)
        chars += sum(
            len(call.name) + len(str(dict(call.arguments))) + len(call.malformed) for call in message.tool_calls
        )
    for tool in request.tools:
        chars += len(tool.name) + len(tool.description) + len(str(dict(tool.parameters)))
    return int(chars / CHARS_PER_TOKEN) + 1


@dataclass(frozen=True)
class Spent:
    """What a study has used so far."""

    usd: float = 0.0
    tokens: int = 0
    trials: int = 0
    hours: float = 0.0


class Budget:
    """Counts and caps what a study spends, and nothing else. Reservations not settled count as spent.

    The overshoot is at most one call in flight per worker, as each call is reserved at its largest possible cost.
    """

    def __init__(
        self,
        study: str,
        settings: BudgetSettings,
        sink: TraceSink,
        spent: Spent | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        spent = spent or Spent()
        self._study, self._settings, self._sink, self._clock = study, settings, sink, clock
        self._usd, self._tokens, self._trials = spent.usd, spent.tokens, spent.trials
        self._began = clock() - spent.hours * 3600
        self._reserved: dict[str, tuple[float, int]] = {}

    @property
    def spent(self) -> Spent:
        """Settled and reserved together."""
        return Spent(
            usd=self._usd + sum(usd for usd, _ in self._reserved.values()),
            tokens=self._tokens + sum(tokens for _, tokens in self._reserved.values()),
            trials=self._trials,
            hours=(self._clock() - self._began) / 3600,
        )

    def begin_trial(self) -> None:
        """Count one trial. Raises BudgetExhausted."""
        self._check(Spent(trials=1))
        self._trials += 1

    async def reserve(self, role: str, owner: str, usd: float | None, tokens: int) -> str:
        """Set aside what a call may cost. Raises BudgetExhausted, and then nothing is reserved."""
        self._check(Spent(usd=usd or 0.0, tokens=tokens))
        name = uuid.uuid4().hex
        self._reserved[name] = (usd or 0.0, tokens)
        await self._sink.reserve(Reservation(name, self._study, role, owner, usd, tokens))
        return name

    def settle(self, name: str, usd: float | None, input_tokens: int, output_tokens: int) -> None:
        """Replace a reservation by what the call really cost."""
        del self._reserved[name]
        self._usd += usd or 0.0
        self._tokens += input_tokens + output_tokens
        self._sink.settle(Settlement(name, usd, input_tokens, output_tokens))

    def _check(self, wanted: Spent) -> None:
        spent, limits = self.spent, self._settings
        for name, used, more, limit in (
            ("usd", spent.usd, wanted.usd, limits.usd),
            ("tokens", spent.tokens, wanted.tokens, limits.tokens),
            ("trials", spent.trials, wanted.trials, limits.trials),
            ("hours", spent.hours, wanted.hours, limits.hours),
        ):
            # The last trial that is allowed may still spend; it is only no further one that begins.
            if limit is not None and (used + more > limit or (used >= limit and name != "trials")):
                raise BudgetExhausted(f"budget.{name}: {used:.6g} of {limit:.6g} used")


class ActiveClock:
    """Seconds since the start, less those spent waiting for provider retries (overlapping waits count once)."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waited = 0.0
        self._waiting_until = self._began

    def pause(self, seconds: float) -> None:
        """The next `seconds` do not count."""
        now = time.monotonic()
        start, end = max(now, self._waiting_until), max(self._waiting_until, now + seconds)
        self._waited += end - start
        self._waiting_until = end

    def seconds(self) -> float:
        """Active seconds so far."""
        now = time.monotonic()
        still_to_come = max(0.0, self._waiting_until - now)
        return now - self._began - (self._waited - still_to_come)


class Metered:
    """A model client that reserves before each call, settles after it, and traces it."""

    def __init__(self, model: ModelClient, budget: Budget, sink: TraceSink, default_max_tokens: int) -> None:
        self._model, self._budget, self._sink = model, budget, sink
        self.max_tokens = default_max_tokens
        """Of output, where a request names no number of its own; a harness may not ask for more."""

    @property
    def id(self) -> str:
        return self._model.id

    def at_most(self, request: ModelRequest) -> tuple[int, float | None]:
        """Tokens and dollars that the call may cost; the dollars are `None` where the price is unknown."""
        tokens_in, tokens_out = estimate_tokens(request), request.max_tokens or self.max_tokens
        return tokens_in + tokens_out, self._model.price(tokens_in, tokens_out)

    async def complete(self, request: ModelRequest, context: CallContext, *, owner: str, began: float) -> ModelReply:
        """One call under `owner`'s name; `began` is the monotonic time from which its trace counts.

        Raises BudgetExhausted, ProviderOutage, ConfigError.
        """
        tokens, usd = self.at_most(request)
        name = await self._budget.reserve(context.role, owner, usd, tokens)
        started = time.monotonic()
        try:
            reply = await self._model.complete(request, context)
        except (ProviderOutage, ConfigError):
            self._budget.settle(name, 0.0, 0, 0)  # unanswered calls are not billed; a cancelled one may be, and stays
            raise
        usage = reply.completion.usage
        self._budget.settle(name, reply.cost_usd, usage.input_tokens, usage.output_tokens)
        self._sink.model_call(
            ModelCallData(
                owner=owner,
                at=started - began,
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
                },
                completion=reply.completion,
                cost_usd=reply.cost_usd,
                model=self._model.id,
            )
        )
        return reply
