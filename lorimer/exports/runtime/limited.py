"""What every model of an exported harness does alike, whoever answers: it counts, and holds the harness to its limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lorimer.exports.runtime.settings import Settings
from lorimer.harness import structured
from lorimer.harness.api import (
    Completion,
    Effort,
    LimitReached,
    Message,
    StopReason,
    Tool,
    ToolChoice,
    assistant,
)
from lorimer.models.base import ModelRequest
from lorimer.models.messages import in_effect
from lorimer.models.usage import counted


class LimitedModel:
    """The LLM of a harness; may be called from several threads. Who answers is said by `_answer`."""

    def __init__(self, settings: Settings, deadline: float) -> None:
        self._settings, self._deadline = settings, deadline
        self._lock = threading.Lock()
        self.calls = self.tokens = 0
        self.failure: Exception | None = None
        """What no later call can mend: a wrong key, or a provider that is out."""
        self.on_call: Callable[[ModelRequest, Completion], None] = lambda request, completion: None
        """Told of every call that was answered, one at a time."""

    def _answer(self, request: ModelRequest) -> Completion:
        """May raise what ends the task."""
        raise NotImplementedError

    def complete(
        self,
        messages: Sequence[Message],
        *,
        system: str | None = None,
        tools: Sequence[Tool] = (),
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float | None = None,
        effort: Effort | None = None,
        schema: Mapping[str, Any] | None = None,
        tool_choice: ToolChoice | None = None,
    ) -> Completion:
        """See LLM. Raises LimitReached, and what ends the task."""
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        most, rest = self._settings.max_tokens, (stops, temperature, effort, schema, tool_choice)
        request = in_effect(ModelRequest(tuple(messages), system, tuple(tools), max_tokens, *rest), most)
        with self._lock:
            self._check()
            self.calls += 1
        try:
            completion = counted(request, self._answer(request), request.max_tokens or most)
        except LimitReached:
            raise
        except Exception as error:
            self.failure = error
            raise
        with self._lock:
            self.tokens += completion.usage.input_tokens + completion.usage.output_tokens
            self.on_call(request, completion)
        if schema is None and tool_choice is None:
            return completion
        return structured.checked(completion, schema, tool_choice)

    @contextmanager
    def to_blame(self) -> Iterator[None]:
        """What a harness runs in: `failure` is what ended it, also where it was caught or died of in words of its own."""
        try:
            yield
        except Exception:
            if self.failure is not None:
                raise self.failure from None
            raise
        if self.failure is not None:
            raise self.failure

    def _check(self) -> None:
        settings = self._settings
        if time.monotonic() >= self._deadline:
            raise LimitReached(f"time limit: {settings.seconds:g} s used")
        if self.calls >= settings.calls:
            raise LimitReached(f"model calls: {self.calls} of {settings.calls} used")
        if settings.tokens is not None and self.tokens >= settings.tokens:
            raise LimitReached(f"tokens: {self.tokens} of {settings.tokens} used")


def ended(reason: StopReason, words: str) -> Completion:
    """A request that was refused, as the harness sees it."""
    return Completion(assistant(""), reason, error=words)
