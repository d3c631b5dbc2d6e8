"""The meta-agent's conversation, kept within a budget of tokens and always well-formed.

Tokens are estimated from characters. When the conversation outgrows its budget, the oldest tool results are replaced by a
line that says so, then the newest are shortened, then whole old turns go. The first message stays: it holds the task, and the
experiments so far. Where not even it fits, it is written anew for less room, so that the newest experiments are still in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lorimer.harness.api import Message, Tool, user
from lorimer.harness.size import CHARS_PER_TOKEN, tokens
from lorimer.meta_agent.proposer.cases import CUT_MARK_CHARS, cut

MESSAGE_CHARS = 16
"""What a chat template adds around a message, roughly."""

DROPPED = "[result dropped to save room; call the tool again if you need it]"

SHRINK_TO = 0.75
"""The share of the budget to which it shrinks. Shrinking further than needed lets several turns go by, with an unchanged
prefix that a cache can serve."""

LEAST_RESULT_CHARS = 600
"""What is left of a result that is shortened as far as it goes, where a context is not so small that a quarter of what tools and
system prompt leave of it is less."""

KEPT_RESULTS = 2
"""Newest results that are shortened rather than dropped."""


@dataclass
class Turn:
    """An answer of the model and what it was told in return."""

    answer: Message | None
    """`None` where it said nothing at all: providers refuse empty assistant messages."""
    replies: list[Message]
    silent: bool = False
    """It held no call that could be read, and the reply says so."""


@dataclass
class Conversation:
    """Grows by turns; `fit` keeps it within bounds for good, so that what was dropped stays dropped."""

    first: Message
    overhead: int
    """Characters of the system prompt and the tools, which are sent with every call."""
    smaller: Callable[[int], str]
    """Writes the first message for so many characters in all, or about so many."""
    turns: list[Turn] = field(default_factory=list)

    @property
    def messages(self) -> tuple[Message, ...]:
        found = [self.first]
        for turn in self.turns:
            found += ([turn.answer] if turn.answer else []) + turn.replies
        return tuple(found)

    def add(self, turn: Turn) -> None:
        """Append a turn. Of silent ones in a row the last alone stays: small models repeat what they see repeated."""
        if turn.silent and self.turns and self.turns[-1].silent:
            self.turns.pop()
        self.turns.append(turn)

    @property
    def tokens(self) -> int:
        """Estimated tokens of the next request."""
        return tokens(self.overhead + sum(map(chars_of, self.messages)))

    def fit(self, budget: int) -> bool:
        """Shrink to `SHRINK_TO` of `budget` tokens if it is over the budget; whether it was."""
        if self.tokens <= budget:
            return False
        target = int(budget * SHRINK_TO)
        least = max(150, min(LEAST_RESULT_CHARS, int(budget * CHARS_PER_TOKEN - self.overhead) // 4))
        places = self._places()
        for turn, position in places[:-KEPT_RESULTS]:
            if self.tokens <= target:
                return True
            turn.replies[position] = _with_text(turn.replies[position], DROPPED)
        newest = self._places()[-KEPT_RESULTS:]
        while len(self.turns) > 1 and self.tokens - self._spare(newest, least) / CHARS_PER_TOKEN > target:
            del self.turns[0]
            newest = self._places()[-KEPT_RESULTS:]
        over = self.tokens - target
        if over > 0 and newest:
            weight = sum(len(turn.replies[position].text) for turn, position in newest)
            share = (weight - int(over * CHARS_PER_TOKEN)) // len(newest) - CUT_MARK_CHARS
            for turn, position in newest:
                reply = turn.replies[position]
                turn.replies[position] = _with_text(reply, cut(reply.text, max(least, share)))
        if self.tokens > budget:
            room = int((budget - tokens(self.overhead)) * CHARS_PER_TOKEN) - sum(map(chars_of, self.messages[1:]))
            # A cut would take its middle, where the experiments are.
            self.first = user(cut(self.smaller(max(400, room)), max(400, room - 100)))
        return True

    def _places(self) -> list[tuple[Turn, int]]:
        """Every reply, oldest first."""
        return [(turn, position) for turn in self.turns for position in range(len(turn.replies))]

    @staticmethod
    def _spare(places: Sequence[tuple[Turn, int]], least: int) -> int:
        """Characters that shortening these replies to `least` could save."""
        kept = least + CUT_MARK_CHARS
        return sum(max(0, len(turn.replies[position].text) - kept) for turn, position in places)


def chars_of(message: Message) -> int:
    """What a message weighs, with its calls and its reasoning."""
    calls = sum(
        len(call.name) + len(call.malformed) + len(json.dumps(dict(call.arguments), default=str))
        for call in message.tool_calls
    )
    blocks = sum(len(json.dumps(dict(block.opaque), default=str)) + len(block.text) for block in message.reasoning)
    return MESSAGE_CHARS + len(message.text) + calls + blocks


def chars_of_tools(tools: Sequence[Tool]) -> int:
    return sum(len(tool.name) + len(tool.description) + len(json.dumps(dict(tool.parameters))) + 40 for tool in tools)


def _with_text(message: Message, text: str) -> Message:
    return message if len(message.text) <= len(text) else dataclasses.replace(message, text=text)
