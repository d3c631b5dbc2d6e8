"""What every model client offers, to task agents and to the meta-agent alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from lorimer.harness.api import Completion, Effort, Message, Tool, ToolChoice, Usage


@dataclass(frozen=True)
class ModelRequest:
    """One model call. Messages hold no system message; `system` does, once the request is `messages.in_effect`."""

    messages: tuple[Message, ...]
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    max_tokens: int | None = None
    """The most tokens of output. `None` takes the model's configured default."""
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    """Left out of the request where the provider no longer takes it for the model."""
    effort: Effort | None = None
    """Reasoning effort, where the model has such a setting; else ignored."""
    schema: Mapping[str, Any] | None = None
    """A JSON Schema that the answer's text is to fit: the server is held to it, or the prompt states it. The caller checks."""
    tool_choice: ToolChoice | None = None
    """Which tool must be called; said in the prompt where the server has no such setting."""


def unheard(seconds: float, why: str) -> None:
    """Takes word of a wait that nobody is to see."""


@dataclass(frozen=True)
class Billed:
    """What an attempt at a call that failed may be billed."""

    usage: Usage | None = None
    """What the provider counted; `None` where it did not say."""
    cost_usd: float | None = None
    """Dollars for that; `None` where they are unknown."""


async def unbilled(failed: Billed) -> None:
    """Takes word of a failed attempt that nobody pays for."""


@dataclass(frozen=True)
class CallContext:
    """Where a call comes from. Real providers ignore all of it but `on_wait`; simulated and replayed replies are a
    function of it (DESIGN 4.5), so it holds no time, no autoincrement id and no completion order."""

    role: str
    """`task` or `meta`."""
    seed: int = 0
    harness: str = ""
    """SHA-256 of the harness under trial; for the meta-agent, of the champion."""
    task: str = ""
    """Task id; for the meta-agent, the candidate's name."""
    attempt: int = 0
    """The repeat's number in the plan (not the retry's: a retry sees the same replies)."""
    call_index: int = 0
    stage: str = ""
    """Why the trial runs: the same repeat of another stage is a fresh trial, with luck of its own."""
    on_wait: Callable[[float, str], None] = field(default=unheard, compare=False)
    """Told before each wait for a retry: seconds to come and the reason, to be shown to the user. Where a wait for the call's
    turn has become long, it is told with 0 seconds whom that is for."""
    queued: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, compare=False)
    """Entered while the call waits for its turn among the requests that are in flight at once, or for its budget."""
    on_billed: Callable[[Billed], Awaitable[None]] = field(default=unbilled, compare=False)
    """Told of each attempt that failed and may be billed all the same, before the call is tried again. It may raise."""
    answers: Callable[[], Awaitable[bool]] | None = field(default=None, compare=False)
    """Asks the provider a plain question: whether it answers others while it fails at this call. `None` takes every failure
    for the provider's own."""
    once: bool = field(default=False, compare=False)
    """The call is never tried again."""

    def alone(self) -> CallContext:
        """The same without what can be called in it: values alone, for another process."""
        return replace(self, on_wait=unheard, queued=nullcontext, on_billed=unbilled, answers=None)


@dataclass(frozen=True)
class ModelNote:
    """What the user should know of how a model is served; told once a study."""

    kind: str
    """A word that tells it from others of the same model: `estimated`, `max_tokens`, `window`, `cut`, `stream`, `schema`,
    `tool_choice`, `images`."""
    text: str
    """One line, with the model's name and with what to set."""


@dataclass(frozen=True)
class ModelReply:
    """A completion with what the host alone may know of it."""

    completion: Completion
    cost_usd: float | None
    """Dollars; `None` where the price is unknown, never 0 for that."""
    seconds: float = 0.0
    """Wall time of the answered request."""
    waited_seconds: float = 0.0
    """Time spent before it in retries and waiting for its turn or its budget; does not count as the agent's active time."""
    retries: int = 0
    answered: str = ""
    """The model that the provider's answer names; "" where it names none."""
    notes: tuple[ModelNote, ...] = ()
    """All that was learned until now."""


class ModelClient(Protocol):
    """One model of one provider."""

    @property
    def id(self) -> str:
        """`provider/name`, as the user wrote it and the trace shows it."""
        ...

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        """One call, retried as configured.

        A request that the provider refuses (malformed, context overflow, refusal) is returned as a completion with that
        stop reason. An answer's usage is the provider's count; where the provider sends none, usage and cost are estimates,
        and the usage says so (`models.usage`). Raises ProviderOutage past the retry window; ConfigError for a bad key or
        an unknown model, at once, with the provider's words; CallFailed where `context.answers` says that the failure is
        this call's own; never a provider SDK's own exception.
        """
        ...

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Dollars that such a call costs at most at list price, for reservations; `None` where unknown."""
        ...

    async def close(self) -> None: ...
