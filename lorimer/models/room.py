"""How many tokens of output a request may ask for, and whether its prompt fits: what is set, and what was learned of a model.

A provider that refuses a request for its length says what it would have taken: the request is sent again with that, and later
ones are sent with it at once. What a server counts of the prompts that it took tells how many tokens a text is for it. A count
that stays where it is while a conversation grows tells of a server that cuts what does not fit, in silence.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass

from lorimer.harness.api import Usage
from lorimer.models.base import ModelNote, ModelRequest
from lorimer.models.failing.lengths import Lengths
from lorimer.models.provider import ProviderConfig
from lorimer.models.usage import BYTES_PER_TOKEN, estimate_tokens

LEAST = 256
"""A call of one tool and a few words take so many tokens: where a prompt leaves less, it is the prompt that is too long."""

SURELY = 8.0
"""No tokenizer in use averages this many bytes a token on a long text (English 4 to 5, code 3)."""

PLAINLY = 4.0
"""Bytes a token of plain English. Counts above it are believed to be whole; a server that was seen to cut is judged by it."""

_RATIOS = 16
"""The newest counts, which calibrate the estimate: what a harness sends changes in the course of a study."""
_COUNTS = 512
"""Conversations that are remembered by the digest of their messages."""
_ENOUGH = 200
"""Tokens, estimated: under it a count says more of the chat template than of the text; and less growth than this is no growth."""
_GROWN = 1.25
"""A conversation has grown for certain where its estimate has by this factor,"""
_SAME = 0.02
"""and its count has not where it differs by no more than this share."""
_ROUND = 1024
"""Windows are multiples of it."""


@dataclass(frozen=True)
class _Counted:
    """What a server counted of a conversation."""

    guess: int
    reported: int


class Room:
    """What is known of one model's lengths. Does no I/O; lives as long as its client."""

    def __init__(self, model: str, provider: ProviderConfig) -> None:
        self._model, self._provider = model, provider
        self._ceiling: int | None = None
        self._window = provider.context_window
        self._ratios: deque[float] = deque(maxlen=_RATIOS)
        """Tokens that were counted for each that was estimated."""
        self._counted: OrderedDict[bytes, _Counted] = OrderedDict()
        self._cuts = False
        self._notes: dict[str, ModelNote] = {}

    @property
    def notes(self) -> tuple[ModelNote, ...]:
        """What the user should know of this model's lengths."""
        return tuple(self._notes.values())

    def most(self, request: ModelRequest) -> int:
        """The tokens of output to ask for: those that were asked for, within the model's bound and its window."""
        asked = request.max_tokens or self._provider.max_tokens
        if self._ceiling is not None:
            asked = min(asked, self._ceiling)
        if self._window is None:
            return asked
        left = self._window - self._at_most(request)
        if left >= asked:
            return asked
        if self._provider.context_window is not None and request.max_tokens is None:
            self._note(
                "window",
                f"a prompt of {self._model} and max_tokens = {self._provider.max_tokens} together are over its context window of "
                f"{self._window} tokens: each call asks for what its prompt leaves ({self._table}: max_tokens)",
            )
        # Where the guess leaves little the server decides: it is rather too high than too low.
        return max(left, min(asked, LEAST))

    def too_long(self, request: ModelRequest) -> str:
        """Why the prompt cannot fit the window that is set, in words; empty where it may."""
        window = self._provider.context_window
        if window is None:
            return ""
        guess = self._at_least(request)
        if guess <= window:
            return ""
        return f"the request has about {guess} tokens, which exceeds the context window of {window} tokens"

    def refused(self, said: Lengths, sent: int, request: ModelRequest) -> int | None:
        """The smaller number of output tokens with which a refused request is sent again; `None` where none would help.

        What was said is learned. A `None` for a known window means that the prompt leaves no room.
        """
        if said.most is not None and said.most < sent:
            self._ceiling = min(said.most, self._ceiling or said.most)
            self._note(
                "max_tokens",
                f"{self._model} gives at most {self._ceiling} tokens of output: requests ask for no more "
                f"({self._table}: max_tokens = {self._ceiling})",
            )
            return said.most
        if said.window is None:
            return None
        if not said.by_time:
            self._window = min(said.window, self._window or said.window)
            self._note(
                "window",
                f"{self._model} has a context window of {said.window} tokens: a request asks for as many tokens of output as its "
                f"prompt leaves ({self._table}: context_window = {said.window})",
            )
        if said.room is None:
            return None
        # A lower bound of the prompt follows from what was asked for: the guess from the text is better, and halves end.
        left = min(said.room, max(said.window - self._at_most(request), sent // 2)) if said.at_least else said.room
        return left if min(sent, LEAST) <= left < sent else None

    def heard(self, request: ModelRequest, usage: Usage) -> None:
        """A request was answered; `usage` is what the provider counted, not an estimate."""
        guess, reported = estimate_tokens(request), usage.input_tokens
        digests = _digests(request)
        before = next((self._counted[each] for each in reversed(digests[:-1]) if each in self._counted), None)
        self._counted[digests[-1]] = _Counted(guess, reported)
        while len(self._counted) > _COUNTS:
            self._counted.popitem(last=False)
        if usage.cached_tokens:  # some servers leave what they read from a cache out of the count
            before = None
        if self._is_cut(_Counted(guess, reported), before):
            self._cuts = True
            window = self._provider.context_window
            helps = (
                f"requests over context_window = {window} are refused from now on"
                if window is not None and window <= reported * (1 + _SAME)
                else f"and write that to {self._table} context_window, so that longer requests are refused"
            )
            plain = round(guess * BYTES_PER_TOKEN / PLAINLY)
            self._note(
                "cut",
                f"{self._model} counts {reported} tokens in a prompt of about {plain}: its server cuts what does not fit its "
                "window, in silence; give it a larger one (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx), "
                f"{helps}",
            )
        elif guess >= _ENOUGH and reported <= guess * BYTES_PER_TOKEN:  # a byte is a token at most
            self._ratios.append(reported / guess)

    def _is_cut(self, now: _Counted, before: _Counted | None) -> bool:
        plain = now.guess * BYTES_PER_TOKEN / PLAINLY
        known = self._provider.context_window
        at_window = now.reported % _ROUND == 0 or (known is not None and abs(now.reported - known) <= known * _SAME)
        if at_window and now.reported > 0 and plain > now.reported * _GROWN:
            return True
        if before is None or now.guess < before.guess * _GROWN or now.guess - before.guess < _ENOUGH:
            return False
        # Servers that leave out what they read from a cache count less with each call: the first count must be whole.
        whole = before.reported >= before.guess * BYTES_PER_TOKEN / SURELY
        return whole and abs(now.reported - before.reported) <= before.reported * _SAME

    def _at_most(self, request: ModelRequest) -> int:
        """A high guess of the prompt's tokens."""
        return int(estimate_tokens(request) * max(self._ratios, default=1.0)) + 1

    def _at_least(self, request: ModelRequest) -> int:
        """A low guess: what is over a window even by this does not fit."""
        bytes_per_token = PLAINLY if self._cuts else SURELY
        least = BYTES_PER_TOKEN / bytes_per_token
        return int(estimate_tokens(request) * max(min(self._ratios, default=least), least))

    @property
    def _table(self) -> str:
        return f"[providers.{self._provider.name}]"

    def _note(self, kind: str, text: str) -> None:
        self._notes.setdefault(kind, ModelNote(kind, text))


def _digests(request: ModelRequest) -> list[bytes]:
    """One for each beginning of the conversation, the last for all of it."""
    running = hashlib.blake2b(repr((request.system, request.tools)).encode("utf-8", "surrogatepass"), digest_size=16)
    found: list[bytes] = []
    for message in request.messages:
        running.update(repr(message).encode("utf-8", "surrogatepass"))
        found.append(running.digest())
    return found or [running.digest()]
