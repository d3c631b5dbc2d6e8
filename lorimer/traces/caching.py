"""Where a conversation lost what its provider keeps of earlier requests, found as its calls are recorded.

A provider that caches prompts reads the beginning that two requests have in common from its cache, and bills that at a fraction.
So a call that carries on a conversation should read from there what the call before it sent. Where it does not, the harness
changed what it had sent (a clock in its system prompt, a history that was rewritten), or the provider had let go of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorimer.harness.api import Tool, Usage

LEAST_TOKENS = 1024
"""Providers cache no prompt that is shorter: OpenAI's and most of Anthropic's models begin there."""

FAR_LESS = 0.5
"""The share of what was sent before under which a call has read far less. Providers cache whole blocks and up to marks, so a few
hundred tokens are always read anew."""

SYSTEM = "its system prompt had changed"
TOOLS = "its tools had changed"
HISTORY = "its earlier messages had changed"
SAME = "it began with all that the call before had sent"


@dataclass(frozen=True)
class CacheBreaks:
    """Calls that read far less from the provider's cache than the calls before them had sent."""

    calls: int = 0
    changed: int = 0
    """Those of them that began otherwise than the call before: what the harness sends made them. Of the others it is not known
    whether the provider's cache had expired, or never held it."""
    lost_tokens: int = 0
    """Input tokens that the calls before had sent, and that were not read from the cache."""
    trials: int = 0
    trial: str = ""
    """The trial that lost the most, by its id; never one of the holdout. Empty where there is none to name."""
    step: int = 0
    """The first such call of that trial."""
    why: str = ""
    """How that call began, in words."""


NONE_BROKEN = CacheBreaks()


@dataclass(frozen=True)
class Sent:
    """A call as far as the one after it is held against it."""

    system: str | None
    tools: tuple[Tool, ...]
    messages: tuple[str, ...]
    """Their digests."""
    said: frozenset[str]
    """The digests of what the assistant said in it, its answer included."""
    tokens: int
    """Input tokens, as the provider counted them; 0 where it was not asked, or counted nothing."""

    def carried_on(
        self, system: str | None, tools: Sequence[Tool], messages: Sequence[str], said: Iterable[str]
    ) -> str:
        """How a later call that carries this conversation on begins, in words; "" of one that does not.

        A call carries it on when it holds all its messages and more, or anything that the assistant said after the first message
        in which the two differ: another conversation of the same trial, and one that was begun anew, do neither.
        """
        keep = next(
            (place for place, (a, b) in enumerate(zip(self.messages, messages, strict=False)) if a != b),
            min(len(self.messages), len(messages)),
        )
        longer = keep == len(self.messages) < len(messages)
        if not longer and self.said.isdisjoint(set(messages[keep:]).intersection(said)):
            return ""
        if system != self.system:
            return SYSTEM
        if tuple(tools) != self.tools:
            return TOOLS
        return SAME if longer else HISTORY


@dataclass
class CacheWatch:
    """The breaks of one trial so far."""

    calls: int = 0
    changed: int = 0
    lost_tokens: int = 0
    step: int = 0
    """The first of them."""
    why: str = ""

    def look(self, before: Iterable[Sent], call: Sent, usage: Usage, index: int) -> None:
        """Take a call that the provider answered.

        Args:
            before: the newest call of each conversation, the latest first.
            index: the call's step.
        """
        if call.tokens < LEAST_TOKENS or usage.cached_tokens >= FAR_LESS * call.tokens:
            return
        for earlier in before:
            why = earlier.carried_on(call.system, call.tools, call.messages, call.said)
            if not why:
                continue
            sent = min(earlier.tokens, call.tokens)
            if sent >= LEAST_TOKENS and usage.cached_tokens < FAR_LESS * sent:
                if not self.calls:
                    self.step, self.why = index, why
                self.calls += 1
                self.changed += why != SAME
                self.lost_tokens += sent - usage.cached_tokens
            return
